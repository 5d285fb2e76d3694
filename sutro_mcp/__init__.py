"""Sutro batch inference over MCP."""
