"""Fixtures of the judge's tests: the SDK's process, emulators on real sockets, and users of both."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import bootstrap
from sutro_mcp.emulator import DEMO_KEY, Emulator, serve_in_thread

from .sdk import Sdk, SdkProcess

OpenEmulator = Callable[..., Emulator]
SdkOf = Callable[..., Sdk]


@pytest.fixture(scope="session")
def sdk_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SdkProcess]:
    """The SDK in an environment of its own, made at the first use: it needs older libraries than we do."""
    version = "{}.{}".format(*sys.version_info)
    python = bootstrap.environment("judge", bootstrap.CACHE / f"judge-{version}", version)
    process = SdkProcess(Path(python), tmp_path_factory.mktemp("sdk"))
    yield process
    process.close()


@pytest.fixture
def open_emulator() -> Iterator[OpenEmulator]:
    """Serves an emulator of these settings until the test is over."""
    with contextlib.ExitStack() as stack:

        def open_one(**settings: Any) -> Emulator:
            return stack.enter_context(serve_in_thread(**settings))

        yield open_one


@pytest.fixture
def emulator(open_emulator: OpenEmulator) -> Emulator:
    """An emulator with its seed jobs, which stand still."""
    return open_emulator()


@pytest.fixture
def sdk_of(sdk_process: SdkProcess, tmp_path: Path) -> SdkOf:
    """The SDK of someone with an empty home directory and a key for this emulator."""

    home = tmp_path / "sdk-home"
    home.mkdir()

    def sdk(emulator: Emulator, api_key: str = DEMO_KEY) -> Sdk:
        return Sdk(sdk_process, home, emulator.api_origin, api_key)

    return sdk


@pytest.fixture
def sdk(emulator: Emulator, sdk_of: SdkOf) -> Sdk:
    """The same for the emulator of the test."""
    return sdk_of(emulator)
