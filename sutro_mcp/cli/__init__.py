"""The `sutro-mcp` command."""
