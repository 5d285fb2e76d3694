"""Keeps artifacts on disk, whole or in parts, and fetches what of them is asked for. Knows no Parquet."""

from .cache import ArtifactSource, ArtifactStore, FetchedArtifact
from .filling import CachedArtifact, OnBytes, RemoteArtifact
from .folders import private_folder

__all__ = [
    "ArtifactSource",
    "ArtifactStore",
    "CachedArtifact",
    "FetchedArtifact",
    "OnBytes",
    "RemoteArtifact",
    "private_folder",
]
