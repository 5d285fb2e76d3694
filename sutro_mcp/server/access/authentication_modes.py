"""From the mode in the settings to what finds the caller of a request."""

from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.settings import Settings

from .authentication import Authenticate


def authenticate_by(settings: Settings, server: SutroServer | None = None) -> Authenticate:
    """The authentication that `settings.auth`, which is not `none`, asks for; `server` can tell how old its
    keys are.
    """
    if settings.auth == "oauth" and settings.oidc_issuer:
        from sutro_mcp.api import fetch_document

        from .access_tokens import AccessTokens  # the library for tokens is loaded where there are some
        from .issuer_keys import IssuerKeys

        keys = IssuerKeys(settings.oidc_issuer, settings.oidc_jwks_url, fetch_document)
        if server is not None:
            server.keys_age = lambda: keys.age_seconds
        return AccessTokens(settings, keys)
    from .header_credentials import BearerTokens, OwnKeys

    if settings.auth == "bearer" and settings.tokens_file:
        return BearerTokens(settings.tokens_file)
    return OwnKeys()
