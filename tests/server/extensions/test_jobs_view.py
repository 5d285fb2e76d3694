"""The page of jobs on the wire: hosts that can show it are offered it, and to the others nothing changes."""

import json
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from inline_snapshot import snapshot
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.types import TextResourceContents
from pydantic import BaseModel

from sutro_mcp.emulator import Emulator
from sutro_mcp.server.uris import JOBS_PAGE
from sutro_mcp.settings import Settings
from tests.e2e.http_process import modern
from tests.server.test_contract import check_snapshot
from tests.support import Era, Talk, server_for, talk

pytestmark = pytest.mark.anyio

SHOWS_PAGES = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})
PAGE = files("sutro_mcp.server.extensions.jobs_view").joinpath("jobs.html").read_text("utf-8")
GEMMA, QWEN = "model-comparison-gemma", "model-comparison-qwen"


def wire(model: BaseModel) -> dict[str, Any]:
    """As a client reads it."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def lists(chat: Talk) -> list[dict[str, Any]]:
    """Tools and resources."""
    tools, resources = await chat.client.list_tools(), await chat.client.list_resources()
    return [*map(wire, tools.tools), *map(wire, resources.resources)]


async def test_a_host_that_shows_pages_has_one_tool_and_one_page_more_each_last_in_its_list(
    emulator: Emulator, era: Era
) -> None:
    """The rest is the same to the byte, and the tool is what its snapshot says."""
    async with talk(emulator, era) as chat:
        plain = await lists(chat)
    async with talk(emulator, era, extensions=[SHOWS_PAGES]) as chat:
        seen = await lists(chat)
        capabilities = cast("dict[str, Any]", chat.client.server_capabilities.extensions)
        assert capabilities[EXTENSION_ID] == {}
        tools = (await chat.client.list_tools()).tools
    added = [entry for entry in seen if entry not in plain]
    assert [entry for entry in seen if entry in plain] == plain
    assert [seen[len(tools) - 1], seen[-1]] == added
    assert added[1] == snapshot(
        {
            "name": "jobs-view",
            "title": "Sutro jobs",
            "uri": "ui://sutro-mcp/jobs.html",
            "description": "The page that show_jobs fills.",
            "mimeType": "text/html;profile=mcp-app",
            "_meta": {"ui": {"prefersBorder": True}},
        }
    )
    if era == "auto":
        check_snapshot("show_jobs", added[0])


async def test_to_a_host_without_pages_the_lists_are_the_same_bytes_whether_there_are_views_or_not(
    emulator: Emulator,
) -> None:
    """But for who may keep them."""
    said: list[list[str]] = []
    for settings in (Settings(), Settings(views="off")):
        server = server_for(emulator, settings=settings)
        asgi = httpx.ASGITransport(app=server.streamable_http_app())
        host = httpx.AsyncClient(transport=asgi, base_url="http://127.0.0.1:8000")
        async with server.session_manager.run(), host:
            asked = [modern(f"{kind}/list", {}) for kind in ("tools", "resources")]
            said.append([(await host.post("/mcp", **each)).text for each in asked])
    with_views, without = said
    assert [
        with_views[0].replace('"cacheScope":"private"', '"cacheScope":"public"'),
        with_views[1],
    ] == without
    assert len(without[0]) > 10_000


async def test_the_page_comes_as_it_is_in_the_package(emulator: Emulator, era: Era) -> None:
    """Nothing that takes secrets out of answers touches it."""
    async with talk(emulator, era, extensions=[SHOWS_PAGES]) as chat:
        (page,) = (await chat.client.read_resource(JOBS_PAGE)).contents
    assert isinstance(page, TextResourceContents)
    assert (page.text, page.mime_type, page.meta) == (PAGE, APP_MIME_TYPE, {"ui": {"prefersBorder": True}})


@pytest.mark.parametrize("settings", [Settings(views="off"), Settings(output="text")], ids=["off", "text"])
async def test_without_views_a_host_that_shows_pages_sees_what_the_others_see(
    emulator: Emulator, settings: Settings, era: Era
) -> None:
    """Nothing of them is left: neither lists, nor page, nor extension; a page can draw no text."""
    said: list[object] = []
    for extensions in ([], [SHOWS_PAGES]):
        async with talk(emulator, era, settings=settings, extensions=extensions) as chat:
            said.append([await lists(chat), wire(chat.client.server_capabilities)])
            assert (await chat.client.list_tools()).cache_scope == ("public" if era == "auto" else "private")
    assert said[0] == said[1]
    assert JOBS_PAGE not in json.dumps(said)


async def test_what_is_listed_is_for_one_client_where_it_depends_on_the_client(emulator: Emulator) -> None:
    """A cache between must not give it to another."""
    async with talk(emulator) as chat:
        assert (await chat.client.list_tools()).cache_scope == "private"


@pytest.mark.parametrize("settings", [{}, {"mimeTypes": ["text/html"]}, {"mimeTypes": APP_MIME_TYPE}])
async def test_a_host_that_shows_pages_of_another_kind_is_as_any_other(
    emulator: Emulator, era: Era, settings: dict[str, Any]
) -> None:
    """The type of the page is a part of what a host declares."""
    async with talk(emulator, era, extensions=[advertise(EXTENSION_ID, settings)]) as chat:
        assert JOBS_PAGE not in json.dumps(await lists(chat))


async def test_each_view_is_the_answer_of_the_tool_for_its_facts(emulator: Emulator, era: Era) -> None:
    """Also to a host without pages, which gets the same text."""
    job, other = emulator.find(GEMMA), emulator.find(QWEN)
    views: dict[str, tuple[dict[str, str], str, dict[str, str]]] = {
        "board": ({}, "list_jobs", {}),
        "job": ({"job_id": job}, "get_job", {"job_id": job}),
        "comparison": (
            {"job_id": job, "compare_with": other},
            "compare_job_results",
            {"job_id": job, "other_job_id": other},
        ),
    }
    for extensions in ([], [SHOWS_PAGES]):
        async with talk(emulator, era, extensions=extensions) as chat:
            for view, (shown, tool, asked) in views.items():
                assert await chat.text("show_jobs", **shown) == await chat.text(tool, **asked)
                told = await chat.call("show_jobs", **shown)
                assert abs(datetime.now(UTC) - datetime.fromisoformat(told.pop("at"))) < timedelta(minutes=2)
                assert told == {"view": view, "cancel": "confirm", **await chat.call(tool, **asked)}
                assert len(json.dumps(told, separators=(",", ":"))) <= 10_000


@pytest.mark.parametrize("settings", [Settings(cancel="off"), Settings(read_only=True)])
async def test_the_page_learns_that_jobs_cannot_be_cancelled(emulator: Emulator, settings: Settings) -> None:
    """Then it has no button for it."""
    async with talk(emulator, settings=settings) as chat:
        assert (await chat.call("show_jobs"))["cancel"] == "off"


async def test_what_cannot_be_shown_is_refused_as_by_the_other_tools(emulator: Emulator) -> None:
    """In their words, or in its own."""
    async with talk(emulator) as chat:
        assert await chat.refusal("show_jobs", compare_with="job-1") == snapshot(
            "Cannot show two runs compared: job_id is missing. Give both job ids."
        )
        unknown = await chat.refusal("show_jobs", job_id="job-1")
        assert unknown == await chat.refusal("get_job", job_id="job-1")


async def test_a_model_pays_little_for_it(emulator: Emulator) -> None:
    """Description and schemas, in bytes."""
    async with Client(server_for(emulator), extensions=[SHOWS_PAGES]) as client:
        tool = (await client.list_tools()).tools[-1]
    visible = {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
    sizes = [len(json.dumps(each, separators=(",", ":")).encode()) for each in (visible, tool.output_schema)]
    assert (sizes[0] < 850, sizes[1] < 500) == (True, True), sizes


def test_the_page_is_small_and_reaches_nothing_outside() -> None:
    """No address but that of SVG's names and of our documentation, and no markup made of text."""
    assert len(PAGE.encode()) <= 40_960
    assert set(re.findall(r"https?://[^\s\"'`<)]+", PAGE)) <= {
        "http://www.w3.org/2000/svg",
        "https://docs.sutro.sh",
    }
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|srcdoc|createContextualFragment|\beval\b|Function\("
        r"|\bfetch\b|XMLHttp|WebSocket|import\b|src=|url\(|localStorage|sessionStorage|cookie|window\.open"
        r"|alert\(|confirm\(|<form|\son\w+=|<link|@font-face"
    )
    assert re.findall(forbidden, PAGE) == []
    assert PAGE.startswith('<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>')


def test_the_package_holds_the_page_alone() -> None:
    """What is reviewed is what runs: nothing makes it."""
    folder = Path(str(files("sutro_mcp.server.extensions.jobs_view")))
    assert {path.suffix for path in folder.iterdir() if path.is_file()} == {".py", ".html"}
