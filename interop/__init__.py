"""Runs the clients of others against the server, each in an environment of its own (`scripts/interop`)."""
