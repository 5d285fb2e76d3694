"""`python -m sutro_mcp` is `sutro-mcp`."""

from sutro_mcp.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
