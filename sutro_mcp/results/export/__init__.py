"""Results written to files of the export folder."""
