"""The document that tells OAuth clients where to get a token for this server (RFC 9728).

Only the mode `oauth` has it: hosts drop the header that they were configured with as soon as they find one.
"""

from typing import Any
from urllib.parse import urlsplit

from mcp.server.mcpserver import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sutro_mcp.settings import Settings

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


def metadata_url(settings: Settings) -> str:
    """The address of the document, which stands in challenges."""
    parts = urlsplit(settings.public_url or "")
    return f"{parts.scheme}://{parts.netloc}{_WELL_KNOWN}{parts.path.rstrip('/')}"


def metadata_paths(settings: Settings) -> set[str]:
    """Both places where clients look: with the path of the server, and without."""
    return {_WELL_KNOWN, urlsplit(metadata_url(settings)).path}


def serve_metadata(server: MCPServer[Any], settings: Settings) -> None:
    """Serve the document at `metadata_paths`."""
    document = {
        "resource": settings.public_url,
        "authorization_servers": [settings.oidc_issuer],
        "scopes_supported": [settings.scope_read, settings.scope_cancel],
        "bearer_methods_supported": ["header"],
        "resource_name": "Sutro batch inference",
    }

    async def serve(_: Request) -> Response:
        return JSONResponse(document, headers={"cache-control": "public, max-age=3600"})

    for path in metadata_paths(settings):
        server.custom_route(path, methods=["GET"])(serve)
