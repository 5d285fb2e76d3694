"""Changes between two runs: by SQL of ours over their views, in the sandbox of a query."""
