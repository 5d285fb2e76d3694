"""Means by which an operator watches an HTTP server. A server over stdio imports none of it."""
