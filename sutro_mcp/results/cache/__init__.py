"""Keeps artifacts on disk, whole or in parts, and fetches what of them is asked for. Knows no Parquet."""

from .cache import ArtifactSource, ArtifactStore, FetchedArtifact, Variant
from .filling import CachedArtifact, Progress, RemoteArtifact
from .folders import kept_folder

__all__ = [
    "ArtifactSource",
    "ArtifactStore",
    "CachedArtifact",
    "FetchedArtifact",
    "Progress",
    "RemoteArtifact",
    "Variant",
    "kept_folder",
]
