"""Keeps artifacts on disk, whole or in parts, and fetches what of them is asked for. Knows no Parquet."""

from .cache import ArtifactSource, ArtifactStore, FetchedArtifact, Variant
from .filling import Artifact, Progress, RemoteArtifact
from .folders import private_folder

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
