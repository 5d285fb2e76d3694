"""Jobs by URI, listed and completed."""
