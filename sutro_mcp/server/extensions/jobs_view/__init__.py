"""A page that shows jobs inside the conversation, and the part of MCP Apps that serves it.

Written from specification/2026-01-26/apps.mdx of modelcontextprotocol/ext-apps.
"""
