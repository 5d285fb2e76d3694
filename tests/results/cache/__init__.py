"""The store: bytes on disk, and who fetches them."""
