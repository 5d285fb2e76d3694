"""A table over an artifact: its columns, its JSON, its pages and its frames."""
