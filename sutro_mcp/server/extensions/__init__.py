"""Parts of MCP beyond its core, for which the SDK has no class: each is made of its public `Extension`."""
