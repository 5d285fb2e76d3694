"""From the mode in the settings to what finds the caller of a request."""

from sutro_mcp.settings import Settings

from .authentication import Authenticate


def authenticate_by(settings: Settings) -> Authenticate:
    """The authentication that `settings.auth`, which is not `none`, asks for."""
    if settings.auth == "oauth" and settings.oidc_issuer:
        from sutro_mcp.api import fetch_document

        from .access_tokens import AccessTokens  # the library for tokens is loaded where there are some
        from .issuer_keys import IssuerKeys

        keys = IssuerKeys(settings.oidc_issuer, settings.oidc_jwks_url, fetch_document)
        return AccessTokens(settings, keys)
    from .header_credentials import BearerTokens, OwnKeys

    if settings.auth == "bearer" and settings.tokens_file:
        return BearerTokens(settings.tokens_file)
    return OwnKeys()
