"""Bad credentials, in each mode and both protocol eras: nobody gets in, and Sutro never hears of it."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from sutro_mcp.server.access.token_file import add_token
from tests.e2e.http_process import SESSION, legacy, result_of
from tests.e2e.process import INITIALIZE

from .issuer import AUDIENCE, Issuer, issuing
from .team import ERAS, Accounts, Team, accounts, keys_folder, team, team_settings

pytestmark = pytest.mark.anyio
SUTRO_KEY = "sk_alice_0123456789"
LIST_JOBS: dict[str, Any] = {"name": "list_jobs", "arguments": {}}
CANCEL: dict[str, Any] = {"name": "cancel_job", "arguments": {"job_id": "job-1", "confirm": True}}
Request = Callable[[str, dict[str, Any]], dict[str, Any]]


@dataclass
class Deployed:
    """A server in one mode, and what it takes to call it."""

    team: Team
    sutro: Accounts
    issuer: Issuer
    token: str
    """Of Alice, for reading."""
    expired: str
    keyless: str
    """Of Bob, who has no Sutro key."""


@pytest.fixture(params=ERAS, ids=list(ERAS))
def request_of(request: pytest.FixtureRequest) -> Request:
    """Makes requests of one era."""
    return ERAS[request.param]


@pytest.fixture(scope="module")
async def issuer() -> AsyncGenerator[Issuer]:
    """Keys are slow to make."""
    async with issuing() as made:
        yield made


@asynccontextmanager
async def deployed(mode: str, issuer: Issuer, folder: Path, **settings: Any) -> AsyncGenerator[Deployed]:
    """A server in `mode`, where Alice has a Sutro key."""
    tokens = folder / "tokens"
    token = add_token(tokens, "alice", ["sutro:read"], datetime.now(UTC) + timedelta(days=1))
    expired = add_token(tokens, "alice", ["sutro:read"], datetime.now(UTC) - timedelta(days=1))
    keyless = add_token(tokens, "bob@example.com", ["sutro:read"], None)
    if mode == "oauth":
        token, expired = issuer.token(), issuer.token(exp=1_000_000_000)
        keyless = issuer.token(sub="auth0|bob")
    keys = keys_folder(folder / "keys", alice=SUTRO_KEY)
    found = {"bearer": {"tokens_file": tokens}, "oauth": {"oidc_issuer": issuer.url}}[mode]
    async with AsyncExitStack() as stack:
        sutro = await stack.enter_async_context(accounts(SUTRO_KEY))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SUTRO_API_URL", sutro.url)
            served = team(team_settings(auth=mode, keys_dir=keys, **found, **settings))
            opened = await stack.enter_async_context(served)
        yield Deployed(opened, sutro, issuer, token, expired, keyless)


@pytest.fixture(scope="module")
async def bearer(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployed]:
    """One server for all tests: they only call it."""
    async with deployed("bearer", issuer, tmp_path_factory.mktemp("bearer")) as made:
        yield made


@pytest.fixture(scope="module")
async def oauth(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployed]:
    """Likewise."""
    async with deployed("oauth", issuer, tmp_path_factory.mktemp("oauth")) as made:
        yield made


async def refused(deployed: Deployed, request_of: Request, *authorization: str) -> tuple[int, str]:
    """Status and challenge of a call with these headers, which Sutro must not hear of."""
    request = request_of("tools/call", LIST_JOBS)
    shown = [(b"authorization", each.encode("latin-1")) for each in authorization]
    sent: dict[str, str] = request["headers"]
    headers = [*((name.encode(), value.encode()) for name, value in sent.items()), *shown]
    before = deployed.sutro.requests
    reply = await deployed.team.client.post("/mcp?access_token=x", json=request["json"], headers=headers)
    assert deployed.sutro.requests == before
    assert reply.headers["cache-control"] == "no-store"
    return reply.status_code, reply.headers["www-authenticate"]


async def test_a_good_token_gets_what_its_owners_sutro_key_sees(
    bearer: Deployed, oauth: Deployed, request_of: Request
) -> None:
    """And no proxy keeps it."""
    for each in (bearer, oauth):
        each.sutro.emulators[SUTRO_KEY].add_job(name="canary")
        reply = await each.team.post(
            request_of("tools/call", LIST_JOBS), authorization=f"Bearer {each.token}"
        )
        assert "canary" in str(result_of(reply))
        assert reply.headers["cache-control"] == "no-store, no-transform"


HEADERS: dict[str, Callable[[Deployed], list[str]]] = {
    "none": lambda _: [],
    "empty": lambda _: [""],
    "scheme alone": lambda _: ["Bearer"],
    "blank token": lambda _: ["Bearer  "],
    "Basic": lambda _: ["Basic YWxpY2U6eA=="],
    "token without scheme": lambda made: [made.token],
    "two headers": lambda made: [f"Bearer {made.token}"] * 2,
    "two tokens": lambda made: [f"Bearer {made.token} {made.token}"],
    "another last character": lambda made: [
        f"Bearer {made.token[:-2]}{'AA' if made.token[-2:] != 'AA' else 'BB'}"
    ],
    "cut short": lambda made: [f"Bearer {made.token[:-5]}"],
    "a Sutro key": lambda _: [f"Bearer {SUTRO_KEY}"],
    "expired": lambda made: [f"Bearer {made.expired}"],
    "9 KiB": lambda _: [f"Bearer {'a' * 9 * 1024}"],
    "not ASCII": lambda _: ["Bearer smcp_\u00e9"],
}


@pytest.mark.parametrize("case", HEADERS)
async def test_a_bad_header_is_refused(
    bearer: Deployed, oauth: Deployed, request_of: Request, case: str
) -> None:
    """The challenge says nothing of an error where nothing was sent."""
    for each, start in (
        (bearer, 'Bearer realm="sutro-mcp"'),
        (oauth, 'Bearer realm="sutro-mcp", scope="sutro:read"'),
    ):
        headers = HEADERS[case](each)
        status, challenge = await refused(each, request_of, *headers)
        assert status == 401
        assert challenge.startswith(start)
        assert ("error=" in challenge) == bool(headers)
        assert ("resource_metadata=" in challenge) == (each is oauth)


NOW = int(datetime.now(UTC).timestamp())
TOKENS: dict[str, Callable[[Issuer], str]] = {
    "another audience": lambda it: it.token(aud="https://other.example/mcp"),
    "no audience": lambda it: it.token(aud=None),
    "another issuer": lambda it: it.token(iss=f"{it.url}/other"),
    "the issuer with a slash": lambda it: it.token(iss=f"{it.url}/"),
    "expired 31 seconds ago": lambda it: it.token(expires_in=-31),
    "without expiry": lambda it: it.token(exp=None),
    "not valid yet": lambda it: it.token(nbf=NOW + 3600),
    "without subject": lambda it: it.token(sub=None),
    "a subject that is a number": lambda it: it.token(sub=7),
    "an ID token by its nonce": lambda it: it.token(nonce="n"),
    "an ID token by its hash": lambda it: it.token(at_hash="h"),
    "an ID token by its audience": lambda it: it.token(azp=AUDIENCE),
    "an ID token by its kind": lambda it: it.token(typ="ID"),
    "another type": lambda it: it.token(headers={"typ": "logout+jwt"}),
    "an unknown key": lambda it: it.token(headers={"kid": "nobody"}),
    "no key named": lambda it: it.token(headers={"kid": None}),
    "another key's name": lambda it: it.token("r1", headers={"kid": "e1"}),
    "no signature": lambda it: jwt.encode(
        {"iss": it.url, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 300}, "", "none", {"kid": "r1"}
    ),
    "signed with the public key": lambda it: jwt.encode(
        {"iss": it.url, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 300},
        str(it.published["r1"]["n"]),
        "HS256",
        {"kid": "r1"},
    ),
    "an algorithm that is not ours": lambda it: it.token(algorithm="RS512"),
    "an unknown critical header": lambda it: it.token(headers={"crit": ["x"], "x": 1}),
    "an embedded key": lambda it: it.token(headers={"kid": "nobody", "jwk": it.published["r1"]}),
}


@pytest.mark.parametrize("case", TOKENS)
async def test_a_token_that_is_not_for_this_server_is_refused(
    oauth: Deployed, request_of: Request, case: str
) -> None:
    """Whoever signed it."""
    status, challenge = await refused(oauth, request_of, f"Bearer {TOKENS[case](oauth.issuer)}")
    assert status == 401
    assert 'error="invalid_token"' in challenge


@pytest.mark.parametrize(
    "given",
    [
        {"scope": "sutro:read other"},
        {"scope": None, "scp": ["sutro:read"]},
        {"aud": ["x", AUDIENCE]},
        {"expires_in": -20},
        {"key_id": "e1", "algorithm": "ES256"},
        {"algorithm": "PS256"},
        {"headers": {"typ": "at+jwt"}},
    ],
)
async def test_tokens_of_different_issuers_are_accepted(oauth: Deployed, given: dict[str, Any]) -> None:
    """As each spells them."""
    token = oauth.issuer.token(**given)
    reply = await oauth.team.post(legacy("tools/list", {}), authorization=f"Bearer {token}")
    assert reply.status_code == 200


async def test_a_scope_that_is_missing_is_named_before_anything_is_done(
    bearer: Deployed, oauth: Deployed, request_of: Request
) -> None:
    """Cancelling needs its own; who has none of ours may not even look."""
    cancel = request_of("tools/call", CANCEL)
    before = [each.sutro.requests for each in (bearer, oauth)]
    for each in (bearer, oauth):
        reply = await each.team.post(cancel, authorization=f"Bearer {each.token}")
        assert reply.status_code == 403
        challenge = reply.headers["www-authenticate"]
        assert 'error="insufficient_scope", scope="sutro:read sutro:cancel"' in challenge
        assert reply.json()["id"] == 1
    strange = oauth.issuer.token(scope="openid")
    reply = await oauth.team.post(request_of("tools/list", {}), authorization=f"Bearer {strange}")
    assert reply.status_code == 403
    assert reply.headers["www-authenticate"] == (
        'Bearer realm="sutro-mcp", error="insufficient_scope", scope="sutro:read",'
        ' resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp"'
    )
    assert [each.sutro.requests for each in (bearer, oauth)] == before
    allowed = oauth.issuer.token(scope="sutro:cancel")
    reply = await oauth.team.post(cancel, authorization=f"Bearer {allowed}")
    assert reply.status_code == 200
    assert oauth.sutro.requests > before[1]


ANSWER: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {"action": "accept", "content": {"confirm": True}},
}


async def test_an_answer_to_a_question_needs_the_scope_that_asking_took(bearer: Deployed) -> None:
    """A token that was let in for less since then cannot say yes."""
    request = {**legacy("", {}), "json": ANSWER}
    reply = await bearer.team.post(request, authorization=f"Bearer {bearer.token}")
    assert (reply.status_code, reply.json()["id"]) == (403, None)
    assert 'scope="sutro:read sutro:cancel"' in reply.headers["www-authenticate"]


async def test_a_tools_name_that_is_no_text_is_an_error_of_the_call(bearer: Deployed) -> None:
    """Whatever JSON it is."""
    for name in (["cancel_job"], 7):
        request = legacy("tools/call", {"name": name, "arguments": {}})
        reply = await bearer.team.post(request, authorization=f"Bearer {bearer.token}")
        assert (reply.status_code, "-32602" in reply.text) == (200, True)


async def test_calls_without_their_scope_are_written_down_one_by_one_and_nothing_else_is(
    issuer: Issuer, tmp_path: Path
) -> None:
    """In a batch as well; an origin that is not ours is another matter."""
    file = tmp_path / "audit.jsonl"
    async with deployed("bearer", issuer, tmp_path, sessions="sticky", audit_file=file) as made:
        alice = {"authorization": f"Bearer {made.token}"}
        opening = legacy("initialize", {**INITIALIZE, "protocolVersion": "2025-03-26"})
        session = (await made.team.post(opening, **alice)).headers[SESSION]
        cancel = legacy("tools/call", CANCEL, session)
        batch = [{**cancel["json"], "id": 1}, {**cancel["json"], "id": 2}, ANSWER]
        reply = await made.team.post({**cancel, "json": batch}, **alice)
        assert reply.text.count("lacks the scope sutro:cancel") == 2
        assert (await made.team.post({**cancel, "json": [ANSWER]}, **alice)).status_code == 202
        foreign = await made.team.post(cancel, **alice, origin="https://evil.example")
        assert foreign.status_code == 403
    events = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert events == ["scope_refused"] * 4


async def test_a_body_cannot_name_another_tool_than_the_one_that_is_checked(bearer: Deployed) -> None:
    """A header that lies is refused; a name that is given twice counts as the server reads it."""
    before = bearer.sutro.requests
    request = ERAS["2026-era"]("tools/call", CANCEL)
    lying = {**request, "headers": {**request["headers"], "mcp-name": "list_jobs"}}
    reply = await bearer.team.post(lying, authorization=f"Bearer {bearer.token}")
    assert reply.status_code == 403
    twice = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cancel_job","name":"list_jobs",'
        '"arguments":{}},"params":{"name":"list_jobs","name":"cancel_job","arguments":{"job_id":"job-1"}}}'
    )
    headers = legacy("", {})["headers"] | {
        "authorization": f"Bearer {bearer.token}",
        "content-type": "application/json",
    }
    reply = await bearer.team.client.post("/mcp", content=twice, headers=headers)
    assert reply.status_code == 403
    assert bearer.sutro.requests == before


@pytest.mark.parametrize(
    "path", ["/mcp%0A", "/mcp/", "//mcp", "/MCP", "/mcp;x", "/x/mcp", "/sse", "/", "/messages"]
)
async def test_there_is_no_way_around_the_guard(bearer: Deployed, path: str) -> None:
    """What routes requests may take another path for /mcp."""
    for headers in ({}, {"authorization": f"Bearer {bearer.token}"}):
        request = legacy("tools/list", {})
        reply = await bearer.team.client.post(
            path, json=request["json"], headers=request["headers"] | headers
        )
        assert (reply.status_code, reply.content) == (404, b"")


async def test_only_oauth_has_a_document_for_discovery(bearer: Deployed, oauth: Deployed) -> None:
    """Hosts forget the header that they were given as soon as there is one."""
    for path in (
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/register",
    ):
        closed = await bearer.team.client.get(path)
        assert (closed.status_code, closed.content) == (404, b"")
        reply = await oauth.team.client.get(path)
        if "protected-resource" not in path:
            assert reply.status_code == 404
            continue
        assert reply.json() == {
            "resource": "https://mcp.example/mcp",
            "authorization_servers": [oauth.issuer.url],
            "scopes_supported": ["sutro:read", "sutro:cancel"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Sutro batch inference",
        }


@pytest.mark.parametrize(
    "key", [None, "", "short", "sk with blanks in it", "k" * 513, "sk_\u00e9_0123456789"]
)
async def test_a_caller_who_should_bring_a_key_gets_in_with_one_only(
    request_of: Request, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never with the server's."""
    async with accounts(SUTRO_KEY) as sutro:
        monkeypatch.setenv("SUTRO_API_URL", sutro.url)
        monkeypatch.setenv("SUTRO_API_KEY", SUTRO_KEY)
        async with team(team_settings(auth="sutro-key")) as served:
            request = request_of("tools/call", LIST_JOBS)
            headers = request["headers"] | ({} if key is None else {"x-sutro-key": key.encode()})
            reply = await served.client.post("/mcp", json=request["json"], headers=headers)
            assert (reply.status_code, reply.headers["www-authenticate"].split(",")[0]) == (
                401,
                'Bearer realm="sutro-mcp"',
            )
            assert sutro.requests == 0
            reply = await served.post(request, x_sutro_key=SUTRO_KEY)
            assert not result_of(reply)["isError"]
            reply = await served.post(request, x_sutro_key="sk_nobody_0123456789")
            assert result_of(reply)["isError"]


@pytest.mark.parametrize(
    ("mode", "name", "file"),
    [("bearer", "bob@example.com", "bob_40example.com"), ("oauth", "auth0|bob", "auth0_7cbob")],
)
async def test_who_has_no_sutro_key_is_told_whom_to_ask(
    bearer: Deployed, oauth: Deployed, mode: str, name: str, file: str
) -> None:
    """The server's own key is never the answer."""
    made = {"bearer": bearer, "oauth": oauth}[mode]
    reply = await made.team.post(legacy("tools/call", LIST_JOBS), authorization=f"Bearer {made.keyless}")
    (content,) = result_of(reply)["content"]
    assert content["text"] == (
        f"Cannot use Sutro for you: this server has no Sutro key for {name}. Ask its operator to put one into"
        f" the file principal-{file} of its keys folder."
    )
