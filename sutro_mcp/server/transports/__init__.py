"""MCP over stdio and over Streamable HTTP, from the first byte to a clean end."""
