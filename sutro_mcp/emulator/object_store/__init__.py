"""The store of results on its own origin: signed URLs, ranges, files."""
