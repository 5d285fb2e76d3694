"""Access tokens and what is read in them: who calls, until when, for what."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.datastructures import Headers

from sutro_mcp.server.access.access_tokens import AccessTokens
from sutro_mcp.server.access.authentication import Caller, CredentialError, bearer_token
from sutro_mcp.server.access.issuer_keys import IssuerKeys
from sutro_mcp.server.context import Principal

from .issuer import AUDIENCE, Issuer
from .team import team_settings

pytestmark = pytest.mark.anyio
ISSUER = Issuer("https://login.example")
ISSUER.add_ec("e1")
EXPIRES = 4_000_000_000


async def keys(_url: str, _doing: str) -> dict[str, object]:
    """What the issuer publishes."""
    return {"keys": list(ISSUER.published.values())}


def header(token: str) -> Headers:
    return Headers({"authorization": f"Bearer {token}"})


async def found(token: str, **settings: Any) -> Principal | str:
    """The caller with this token, but for the name of the token, or why not."""
    given = team_settings(auth="oauth", oidc_issuer=ISSUER.url, shared_key=True, **settings)
    tokens = AccessTokens(given, IssuerKeys(ISSUER.url, "https://login.example/keys", keys))
    try:
        caller = await tokens(header(token))
    except CredentialError as error:
        return error.reason
    assert caller.expires == EXPIRES + 30
    assert len(caller.principal.token_id or "") == 8
    return replace(caller.principal, token_id=None)


def signed(**claims: Any) -> str:
    """A good token but for what is given."""
    given: dict[str, Any] = {"exp": EXPIRES} | claims
    return ISSUER.token("e1", "ES256", **given)


def principal(
    subject: str = "alice", groups: tuple[str, ...] = (), client: str | None = "a-client", *scopes: Any
) -> Principal:
    return Principal(
        f"https://login.example {subject}",
        subject,
        "oauth",
        frozenset(scopes or ("read",)),
        groups,
        "https://login.example",
        client,
    )


CASES: dict[str, tuple[dict[str, Any], Principal | str]] = {
    "plain": ({}, principal()),
    "one letter": ({"sub": "a"}, principal("a")),
    "256 letters": ({"sub": "a" * 256}, principal("a" * 256)),
    "257 letters": ({"sub": "a" * 257}, "not for us"),
    "an empty name": ({"sub": ""}, "not for us"),
    "a name in two lines": ({"sub": "alice\nbob"}, "not for us"),
    "another client claim": ({"azp": None, "client_id": "c"}, principal(client="c")),
    "a third client claim": ({"azp": None, "appid": "c"}, principal(client="c")),
    "no client": ({"azp": None}, principal(client=None)),
    "a client that is no text": ({"azp": 5}, principal(client=None)),
    "its client's": ({"azp": None, "client_id": AUDIENCE}, "not for us"),
    "its client's in a list": ({"aud": [AUDIENCE], "azp": AUDIENCE}, "not for us"),
    "a kind that hosts send": ({"typ": "Bearer"}, principal()),
    "groups": ({"groups": ["night", 5, "day"]}, principal(groups=("night", "day"))),
    "groups that are none": ({"groups": 5}, principal()),
    "cancelling": ({"scope": "sutro:cancel"}, principal("alice", (), "a-client", "read", "cancel")),
    "expired": ({"exp": 1_000_000_000}, "expired"),
    "another audience": ({"aud": "x"}, "not for us"),
    "another kind": ({"headers": {"typ": "logout+jwt"}}, "not for us"),
    "a kind in capitals": ({"headers": {"typ": "AT+JWT"}}, principal()),
    "no kind": ({"headers": {"typ": None}}, principal()),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_token_says_who_calls_and_for_what(case: str) -> None:
    """Or is refused, and hosts hear whether another token would help."""
    claims, expected = CASES[case]
    assert await found(signed(**claims), oidc_group_claim="groups") == expected


def test_the_sdk_tells_callers_and_programs_apart_without_a_credential() -> None:
    """Sessions are kept apart by it."""
    for client, expected in (("a-client", "a-client"), (None, "oauth")):
        made = Caller(principal("alice", (), client, "read", "cancel")).access_token
        assert (made.token, made.client_id, made.subject, made.scopes) == (
            "-",
            expected,
            "https://login.example alice",
            ["cancel", "read"],
        )


async def test_claims_are_read_where_the_operator_says() -> None:
    """Also the audience, which then is no longer the address of the server."""
    named: dict[str, Any] = {
        "oidc_audience": ("api://sutro",),
        "oidc_principal_claim": "email",
        "oidc_scope_claim": "roles",
    }
    token = signed(aud="api://sutro", email="alice@example.com", roles=["sutro:read"], scope="")
    got = await found(token, **named)
    assert isinstance(got, Principal)
    assert (got.label, sorted(got.scopes), got.groups) == ("alice@example.com", ["read"], ())
    assert await found(signed(email="alice@example.com"), **named) == "not for us"
    assert [await found(text) for text in ("a.b.c", "text")] == ["malformed", "malformed"]


@pytest.mark.parametrize(
    ("given", "longest", "expected"),
    [
        ([], 12, "missing"),
        (["Bearer abcde"], 12, "abcde"),
        (["Bearer abcdef"], 12, "malformed"),
        (["bearer  a.b-c_d~e+f/g=="], 99, "a.b-c_d~e+f/g=="),
        (["Bearer a b"], 99, "malformed"),
        (["Bearer "], 99, "malformed"),
        (["Basic abc"], 99, "malformed"),
        (["Bearer a", "Bearer a"], 99, "malformed"),
    ],
)
def test_one_header_that_is_not_too_long_holds_a_token(given: list[str], longest: int, expected: str) -> None:
    """Any other is refused unread."""
    headers = Headers(raw=[(b"authorization", each.encode()) for each in given])
    try:
        token = bearer_token(headers, longest)
    except CredentialError as error:
        token = error.reason
    assert token == expected


@pytest.mark.parametrize(("length", "why"), [(8_185, "that this server accepts"), (8_186, "Send one header")])
async def test_a_header_of_eight_kibibytes_is_looked_at_and_no_longer_one(length: int, why: str) -> None:
    """Tokens with the groups of a person are long."""
    given = team_settings(auth="oauth", oidc_issuer=ISSUER.url, shared_key=True)
    with pytest.raises(CredentialError, match=why):
        await AccessTokens(given, IssuerKeys(ISSUER.url, "https://login.example/keys", keys))(
            header("a" * length)
        )
