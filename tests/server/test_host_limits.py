"""What is served, held against the known limits of every host."""

import pytest
from mcp import Client
from mcp.types import SERVER_INFO_META_KEY
from pydantic import BaseModel

from sutro_mcp.emulator import Emulator
from sutro_mcp.settings import Settings
from tests.support import Era, talk

from .host_limits import GOOD, RULES, Json, Rule, Served

pytestmark = pytest.mark.anyio


def wire(thing: BaseModel) -> Json:
    """As a host reads it."""
    return thing.model_dump(mode="json", by_alias=True, exclude_none=True)


async def served_by(client: Client) -> Served:
    """All that it lists."""
    assert client.server_info is not None
    tools = await client.list_tools()
    return Served(
        wire(client.server_info),
        client.instructions or "",
        [wire(tool) for tool in tools.tools],
        [wire(prompt) for prompt in (await client.list_prompts()).prompts],
        [wire(resource) for resource in (await client.list_resources()).resources],
        [wire(template) for template in (await client.list_resource_templates()).resource_templates],
        (tools.meta or {}).get(SERVER_INFO_META_KEY, {}),
    )


@pytest.mark.parametrize("cancel", ["confirm", "elicit", "allow"])
async def test_what_is_served_is_within_every_limit(emulator: Emulator, era: Era, cancel: str) -> None:
    """In both eras, and under every policy that changes a description."""
    async with talk(emulator, era, settings=Settings.model_validate({"cancel": cancel})) as chat:
        served = await served_by(chat.client)
    assert min(len(served.tools), len(served.templates), len(served.instructions)) > 3
    beyond = {f"{rule.name} ({rule.source})": list(rule.check(served)) for rule in RULES}
    assert {rule: problems for rule, problems in beyond.items() if problems} == {}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_rule_can_fail(rule: Rule) -> None:
    """On what breaks it, and not on what breaks nothing."""
    assert list(rule.check(rule.broken))
    assert list(rule.check(GOOD)) == []


def test_every_rule_says_where_it_is_known_from() -> None:
    """A thread or a page; and no two rules have one name."""
    assert all(rule.host and ("/" in rule.source or "." in rule.source) for rule in RULES)
    assert all(rule.check.__doc__ for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES) > 25
