"""Callers over HTTP: their credentials, their scopes, and their Sutro keys."""
