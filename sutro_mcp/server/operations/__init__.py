"""What an operator of an HTTP server watches it by: probes, metrics, logs; over stdio none of it is imported."""
