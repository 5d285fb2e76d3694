"""Parts of MCP beyond its core: tasks, skills, icons."""
