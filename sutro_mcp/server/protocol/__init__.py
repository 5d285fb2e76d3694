"""Additions to the MCP SDK's server that hold for every tool and resource."""
