"""Names under which the server may be reached, and web pages that may call it.

A web page in the user's browser must not reach the server through a name of its own (DNS rebinding).
"""

from urllib.parse import urlsplit

from mcp.server.transport_security import TransportSecuritySettings

from sutro_mcp.settings import Settings

_NAMES = ("127.0.0.1", "localhost", "[::1]")


def allowed_hosts(settings: Settings, authority: str) -> TransportSecuritySettings:
    """The Hosts and Origins of requests: loopback, and what the operator says; never what a request says."""
    public = urlsplit(settings.public_url or "")
    # Any port: a forwarded one is not ours.
    names = [*_NAMES, *filter(None, [public.hostname]), *settings.allowed_hosts]
    origins = [f"{public.scheme}://{public.netloc}"] if public.hostname else []
    return TransportSecuritySettings(
        allowed_hosts=[authority, *names, *(f"{name}:*" for name in names)],
        allowed_origins=[*(f"http://{name}:*" for name in _NAMES), *origins, *settings.allowed_origins],
    )
