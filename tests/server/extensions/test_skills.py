"""The skill: what a host lists is what it reads, and it names only tools that exist."""

import re
from hashlib import sha256

import pytest
from mcp import MCPError
from mcp.types import TextResourceContents

from sutro_mcp.emulator import Emulator
from sutro_mcp.server.build import skill
from sutro_mcp.server.tools import CATALOGUE
from sutro_mcp.settings import Settings
from tests.support import Era, Talk, talk

from .test_tasks import ask

pytestmark = pytest.mark.anyio

URI = "skill://working-with-sutro-batch-jobs/SKILL.md"


async def read(chat: Talk) -> str:
    """The file, as any host reads it."""
    (content,) = (await chat.client.read_resource(URI)).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "text/markdown"
    return content.text


async def test_what_is_listed_is_what_is_read(emulator: Emulator) -> None:
    """Digest, size and frontmatter; the same entry from both methods."""
    async with talk(emulator) as chat:
        listed = await ask(chat.client.session, "skills/list")
        got = await ask(chat.client.session, "skills/get", uri=URI)
        text = await read(chat)
        assert chat.client.server_capabilities.extensions is not None
        assert chat.client.server_capabilities.extensions["io.modelcontextprotocol/skills"] == {}
    (entry,) = listed.pop("skills")
    assert entry == got.pop("skill")
    assert listed == got == {"ttlMs": 3_600_000, "cacheScope": "public", "resultType": "complete"}
    content = text.encode()
    file = {"uri": URI, "digest": f"sha256:{sha256(content).hexdigest()}", "size": len(content)}
    assert entry == {"uri": URI, "frontmatter": entry["frontmatter"], "resources": [file]}
    assert list(entry["frontmatter"]) == ["name", "description", "license"]
    assert URI.split("/")[2] == entry["frontmatter"]["name"]
    assert 1 <= len(entry["frontmatter"]["description"]) <= 1_024


async def test_any_host_can_read_it(emulator: Emulator, era: Era) -> None:
    """It is among the resources, under its own name."""
    async with talk(emulator, era) as chat:
        resources = {resource.uri: resource for resource in (await chat.client.list_resources()).resources}
        assert (await read(chat)).startswith("---\nname: working-with-sutro-batch-jobs\n")
    assert resources[URI].name == "working-with-sutro-batch-jobs"


def test_the_frontmatter_is_yaml_that_needs_no_parser() -> None:
    """Plain values on one line each: nothing in them that YAML would read as something else."""
    _, header, _ = skill(Settings()).split("---\n", 2)
    for line in header.splitlines():
        assert re.fullmatch(r"[a-z]+: [A-Za-z](?:(?!: | #)[^\n\"'{}\[\]&*|>%@`])*[^\s:]", line), line


async def test_another_skill_or_page_is_refused_and_an_older_connection_has_the_file_only(
    emulator: Emulator,
) -> None:
    """The methods belong to the newer era."""
    calls: list[tuple[Era, str, dict[str, str], int]] = [
        ("auto", "skills/get", {"uri": "skill://other/SKILL.md"}, -32602),
        ("auto", "skills/list", {"cursor": "2"}, -32602),
        ("legacy", "skills/list", {}, -32601),
    ]
    for era, method, params, code in calls:
        async with talk(emulator, era) as chat:
            with pytest.raises(MCPError) as caught:
                await ask(chat.client.session, method, **params)
            assert caught.value.code == code


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(read_only=True), Settings(cancel="off")],
    ids=["all", "read", "no-cancel"],
)
def test_the_skill_names_every_tool_that_is_served_and_no_other(settings: Settings) -> None:
    """A point about a tool that is not there is left out."""
    text = skill(settings)
    named = {tool.name for tool in CATALOGUE if re.search(rf"\b{tool.name}\b", text)}
    assert named == {tool.name for tool in CATALOGUE if tool.description_for(settings)}
    assert not re.search(r"^#.*\n\s*(?:#|\Z)", text, re.MULTILINE)
    assert len(text) < 5_000
