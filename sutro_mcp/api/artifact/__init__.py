"""The file of a job's results, where it lies: found, linked, read in parts and downloaded."""
