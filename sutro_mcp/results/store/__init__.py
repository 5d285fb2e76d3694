"""Keeps artifacts on disk, whole or in parts, and fetches what of them is asked for. Knows no Parquet."""

from ._artifact import HEAD, TAIL, Artifact, Progress, RemoteArtifact
from ._spans import Span, Spans, merged
from ._store import ArtifactSource, ArtifactStore, FetchedArtifact, Variant, private_folder

__all__ = [
    "HEAD",
    "TAIL",
    "Artifact",
    "ArtifactSource",
    "ArtifactStore",
    "FetchedArtifact",
    "Progress",
    "RemoteArtifact",
    "Span",
    "Spans",
    "Variant",
    "merged",
    "private_folder",
]
