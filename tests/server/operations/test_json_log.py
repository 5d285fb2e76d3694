"""The log as JSON: what a collector searches by, and nothing that must not be there."""

import json
import logging
from typing import Any

import pytest

from sutro_mcp.emulator import Emulator
from sutro_mcp.server.context import LOCAL, Principal, acting_for
from sutro_mcp.server.operations.json_log import JsonFormatter
from tests.support import talk

pytestmark = pytest.mark.anyio


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert all("\n" not in line for line in lines)
    return [json.loads(line) for line in lines]


async def test_a_call_is_an_object_without_its_arguments(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Who called what with which host, how it went and how long it took."""
    caplog.set_level(logging.INFO, logger="sutro_mcp")
    async with talk(emulator) as chat:
        await chat.refusal("get_job", job_id="job-canary")
    (line,) = [line for line in logged(caplog) if line.get("tool") == "get_job" and "outcome" in line]
    assert line.pop("ts").endswith("+00:00")
    assert isinstance(line.pop("ms"), int)
    line.pop("msg")
    line.pop("request_id")
    assert line == {
        "level": "INFO",
        "logger": "sutro_mcp.server.protocol.middleware",
        "principal": "local",
        "method": "tools/call",
        "tool": "get_job",
        "client": "mcp",
        "era": "2026-07-28",
        "outcome": "done",
    }


def test_an_error_is_one_line_with_its_principal_and_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Redacted before it is quoted for JSON, which would hide where a secret ends."""
    caller = Principal("https://issuer#1", "issuer-1", "oauth", LOCAL.scopes)
    with acting_for(caller):
        try:
            raise ValueError('fetch "https://store/?sig=canary" with Authorization: Bearer canary')
        except ValueError:
            logging.getLogger("sutro_mcp").exception("it failed")
        (line,) = logged(caplog)
    assert line["principal"] == "issuer-1"
    assert line["error"].splitlines()[-1] == (
        'ValueError: fetch "https://store/?[redacted]" with Authorization: Bearer [redacted]'
    )
