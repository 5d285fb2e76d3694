"""Keeps artifacts on disk, whole or in parts, and fetches what of them is asked for. Knows no Parquet."""

from ._artifact import Artifact, Progress, RemoteArtifact
from ._places import private_folder
from ._store import ArtifactSource, ArtifactStore, FetchedArtifact, Variant

__all__ = [
    "Artifact",
    "ArtifactSource",
    "ArtifactStore",
    "FetchedArtifact",
    "Progress",
    "RemoteArtifact",
    "Variant",
    "private_folder",
]
