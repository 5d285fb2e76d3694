"""Artifacts on disk, whole or in parts, and the fetching of what is asked for. Knows no Parquet.

States. An artifact (one job, one choice of columns, one key, one deployment) is unknown, in use, idle or
bad. `ArtifactStore` opens it for its first caller, and callers at the same time share it. Idle ones stay open
for the next call, the last 32 of them. One that could not be read, or that changed at the deployment, is bad:
no further caller gets it, and it is removed when its last caller is done.

Owners. `ArtifactStore` (`artifact_cache`) owns the folder, and says which artifacts make room: the least
recently used beyond the capacity, and those not used for a week, whichever process fetched them.
`CachedArtifact` (`artifact_fetching`) owns the requests under way, so that each byte is fetched once. `Entry`
(`sparse_file`) owns the file and its list of pieces. `cache_folders` says what in a folder is ours. Several
processes may fill one file: they write the same bytes, and the one that overwrites another's list loses
nothing but the knowledge of what need not be fetched again.

Crashes. Bytes that came and the list of pieces with their digests survive a killed process or lost power. The
next process first asks the deployment whether the entity tag is still the same, and believes a piece once
it has read it and found its digest right. Without a strong entity tag nothing could be checked, so such
artifacts lie in a folder that goes with the process, or, if it was killed, a week later. Lists replace each
other in one step; what is no list, no regular file or of another length counts as missing.
"""

from .artifact_cache import CAPACITY, ArtifactSource, ArtifactStore
from .artifact_fetching import CachedArtifact, OnBytes
from .cache_folders import cache_folder, kept_folder

__all__ = [
    "CAPACITY",
    "ArtifactSource",
    "ArtifactStore",
    "CachedArtifact",
    "OnBytes",
    "cache_folder",
    "kept_folder",
]
