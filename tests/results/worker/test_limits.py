"""The limits that a process puts on itself, called in this one: nothing is lowered, but noted."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results.worker.sandbox import apply_limits, cap_memory

resource = pytest.importorskip("resource")

GIB = 1024**3
LIMITS = ["CORE", "FSIZE", "NPROC", "CPU", "AS", "NOFILE"]


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Limits that would have been lowered, by name, and users. Nothing of it happens, but no pipe opens."""
    seen: dict[str, int] = {}
    names = {getattr(resource, f"RLIMIT_{name}"): name for name in LIMITS}

    def setrlimit(limit: int, values: tuple[int, int]) -> None:
        assert values[0] == values[1]
        seen[names[limit]] = values[0]

    def become(name: str) -> Callable[[Any], None]:
        return lambda value: seen.update({name: value})

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, become(name))
    monkeypatch.setattr(os, "pipe", _no_more)
    return seen


def _no_more(*_arguments: Any) -> Any:
    raise OSError(24, "Too many open files")


def address_space() -> int:
    """Of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def test_every_limit_is_lowered_for_good_and_files_last(lowered: dict[str, int]) -> None:
    """A minute and half a gigabyte more than were used; root becomes nobody, as no NPROC binds it."""
    apply_limits(60)
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert list(lowered)[-1] == "NOFILE"
    assert 58 < lowered.pop("CPU") - (used.ru_utime + used.ru_stime) <= 60
    assert abs(lowered.pop("AS") - address_space() - GIB / 2) < GIB / 4
    assert lowered == {
        "setgroups": [], "setgid": 65534, "setuid": 65534, "CORE": 0, "FSIZE": 0, "NPROC": 0, "NOFILE": 0
    }  # fmt: skip


@pytest.mark.parametrize("hard", [resource.RLIM_INFINITY, 3 * GIB], ids=["no limit", "a limit"])
def test_memory_is_capped_by_what_is_less(hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four gigabytes more than now, or what the system allows, which stays as it is."""
    seen: dict[int, tuple[int, int]] = {}

    def getrlimit(_: int) -> tuple[int, int]:
        return resource.RLIM_INFINITY, hard

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    monkeypatch.setattr(resource, "setrlimit", seen.__setitem__)
    cap_memory()
    soft, still_hard = seen.pop(resource.RLIMIT_AS)
    assert (seen, still_hard) == ({}, hard)
    if hard == resource.RLIM_INFINITY:
        assert abs(soft - address_space() - 4 * GIB) < GIB / 2
    else:
        assert soft == hard


def test_a_limit_that_is_lower_already_is_kept(
    lowered: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody but root may raise one."""

    def getrlimit(_limit: int) -> tuple[int, int]:
        return 7, 7

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    apply_limits(60)
    assert lowered["AS"] == 7


def test_a_user_who_is_not_root_stays_the_same(
    lowered: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a root that cannot become nobody is bound by the limits all the same."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    apply_limits(60)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "setgroups", _no_more)
    apply_limits(60)
    assert "setuid" not in lowered


def test_a_system_that_refuses_a_limit_is_refused(
    lowered: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS does for memory, and Windows for everything."""

    def refuse(*_arguments: Any) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(ConfigurationError, match="Use get_job_results instead"):
        apply_limits(60)
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(ConfigurationError):
        apply_limits(60)


def test_a_system_that_does_not_keep_a_limit_is_refused(
    lowered: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may accept one, and open files all the same."""
    ends = iter([os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)])
    monkeypatch.setattr(os, "pipe", lambda: (next(ends), next(ends)))
    with pytest.raises(ConfigurationError, match="Linux only"):
        apply_limits(60)
