"""`sutro-mcp check`: what is configured, and whether the deployment accepts it."""

import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.errors import AuthenticationError, ConfigurationError, SutroError
from sutro_mcp.results.cache import cache_folder
from sutro_mcp.results.export.folder_files import check_folder
from sutro_mcp.results.worker.memory_shares import memory_shares
from sutro_mcp.results.worker.sandbox import has_sandbox
from sutro_mcp.settings import Settings, load_settings

_POLICIES = {
    "off": "is not offered",
    "confirm": "acts once the user agrees, asked by the host or, where it cannot, by the assistant",
    "elicit": "acts once the user agrees, asked by the host and nobody else",
    "allow": "acts at once, without asking",
}
_SQL = {
    "wall": "runs in a process that can open nothing",
    "lock": "runs behind DuckDB's own lock alone, as SUTRO_MCP_SQL says",
    "off": "is off: a process that can open nothing cannot be made on this system (SUTRO_MCP_SQL=lock turns "
    "it on behind DuckDB's own lock alone)",
}
# Errors that are met elsewhere send their reader here.
_SELF_ADVICE = re.compile(r"; `sutro-mcp check` tests [\w ]+")
_MOST_FILES = 10_000


async def check(
    env: Mapping[str, str],
    say: Callable[[str], None] | None,
    token: str | None = None,
    demo: bool | None = None,
    system: Path = Path("/"),
) -> dict[str, Any]:
    """Look at everything in turn: a line to `say` for each finding, and all as facts for a program.

    `token` is one of a caller's, to be tried. `demo` chooses the demo, as that of `serve` does. `system` is
    where the files are that tell the limits of a container.

    The facts end with `ok` and, where something is wrong, `error`, which has not been said.
    """
    facts: dict[str, Any] = {}

    def found(line: str, **values: Any) -> None:
        facts.update(values)
        if say:
            say(line)

    try:
        await _check(env, found, token, demo, system)
    except SutroError as error:
        return {**facts, "ok": False, "error": _SELF_ADVICE.sub("", str(error))}
    return {**facts, "ok": True}


async def _check(
    env: Mapping[str, str], found: Callable[..., None], token: str | None, demo: bool | None, system: Path
) -> None:
    ours, python = version("sutro-mcp"), platform.python_version()
    found(f"sutro-mcp {ours} on Python {python}", version=ours, python=python)
    settings = load_settings(env, demo=demo)
    policy = "off" if settings.read_only else settings.cancel
    found(f"cancel_job {_POLICIES[policy]} ({policy}).", cancel=policy, read_only=settings.read_only)
    _check_folders(settings, found)
    _check_sql(settings, found)
    memory = memory_shares(system)
    if memory.limit is not None:
        found(f"Memory: {memory}.", memory=asdict(memory))
    if settings.for_a_team:
        await _check_team(settings, found, token)
        if not settings.shared_key:
            return
    if settings.demo:
        found("The demo is chosen: the emulator is served, which needs no key and no deployment.", demo=True)
        return
    connection = resolve_connection()
    url, source = connection.origin, connection.url_source
    found(f"URL: {url} (from {source})", url=url, url_source=source)
    fingerprint, source = connection.key.fingerprint, connection.key_source
    found(f"Key: fingerprint {fingerprint} (from {source})", key_fingerprint=fingerprint, key_source=source)
    async with ApiClient(connection) as client:
        auth = await client.check_auth()
        if not auth.authenticated:
            raise AuthenticationError(
                "use the API key",
                "the deployment answered, but did not accept it",
                "Set SUTRO_API_KEY to a current key",
            )
        found(f"Key accepted ({auth.endpoint}).", key_accepted=True)
        page = await client.list_jobs_page(limit=1)
    found(
        "Jobs can be listed." if page.jobs else "Jobs can be listed; there are none yet.",
        has_jobs=bool(page.jobs),
    )


async def _check_team(settings: Settings, found: Callable[..., None], token: str | None) -> None:
    from sutro_mcp.server.operator_check import findings  # loads what serves a team

    seen: list[dict[str, str]] = []
    async for finding in findings(settings, token):
        seen.append(finding._asdict())
        found(f"{finding.level}: {finding.text}", team=seen)
    if failed := [finding["text"] for finding in seen if finding["level"] == "fail"]:
        raise ConfigurationError("serve a team", failed[0], 'Mend what is marked "fail"')


def _check_sql(settings: Settings, found: Callable[..., None]) -> None:
    wall = "wall" if has_sandbox() else "lock" if settings.sql == "lock" else "off"
    found(f"SQL over results {_SQL[wall]} ({wall}).", sql=wall)


def _check_folders(settings: Settings, found: Callable[..., None]) -> None:
    cache = settings.cache_folder
    facts: dict[str, Any] = {
        "folder": cache and str(cache),
        "bytes": 0,
        "max_bytes": settings.cache_max_bytes,
    }
    text = "nothing is kept"
    if cache:
        try:
            facts["bytes"], text = _size(cache_folder(cache))
            text += f", at most {_readable(settings.cache_max_bytes)}"
        except ConfigurationError as error:
            # Results are then fetched anew by each process, which only takes longer.
            facts["problem"] = str(error)
            text = f"nothing is kept. Warning: {error}"
    found(f"Cache: {text}", cache=facts)
    exports = settings.export_folder
    check_folder(exports)
    size, text = _size(exports)
    found(f"Exports: {text}", exports={"folder": str(exports), "bytes": size})


def _size(folder: Path) -> tuple[int, str]:
    """The disk that the files of a folder take, and a text for people; of very many files, the first ones."""
    if not folder.is_dir():
        return 0, f"{folder} (not there yet)"
    sizes = list(islice(_sizes(folder), _MOST_FILES))
    least = "at least " if len(sizes) == _MOST_FILES else ""
    return sum(sizes), f"{folder} ({least}{_readable(sum(sizes))})"


def _sizes(folder: Path) -> Iterator[int]:
    for inside, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                stat = os.lstat(os.path.join(inside, name))  # noqa: PTH118 - a Path for each name is slow
                # A cached file with holes takes less than its length, where the system says so.
                yield getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512


def _readable(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
