"""A team's deployment on loopback: Sutro with an account for each key, replicas, and a balancer."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from sutro_mcp.asgi_serving import listen, serving
from sutro_mcp.emulator import Emulator, Pace
from sutro_mcp.server.access.token_file import add_token

DEPLOY = Path(__file__).parents[1]
READY_SECONDS = 60
SERVE = ("-m", "sutro_mcp", "serve")
"""The code that a Python runs as a replica."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Sutro:
    """One deployment with several accounts, each an emulator, found by its key."""

    def __init__(self, url: str, store_url: str) -> None:
        self.url = url
        self.accounts: dict[str, Emulator] = {}
        self._store_url = store_url

    def add(self, key: str, pace: Pace | None = None) -> Emulator:
        """A new account, with the demo's jobs."""
        self.accounts[key] = Emulator(
            api_key=key, api_origin=self.url, store_origin=self._store_url, pace=pace or Pace()
        )
        return self.accounts[key]

    @property
    def requests(self) -> int:
        """How often it was asked."""
        return sum(len(account.requests) for account in self.accounts.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if f"http://{headers.get('host')}" == self._store_url:
            path = str(scope["raw_path"], "ascii")
            owners = (one for one in self.accounts.values() if one.store.job_at(path) is not None)
            account = next(owners, None)
        else:
            account = self.accounts.get(headers.get("authorization", "").removeprefix("Key "))
        if account is None:
            await JSONResponse({"detail": "Invalid API key"}, 401)(scope, receive, send)
        else:
            await account.app(scope, receive, send)


@asynccontextmanager
async def sutro() -> AsyncGenerator[Sutro]:
    """The deployment, served until the block ends."""
    with listen("127.0.0.1", 0) as api, listen("127.0.0.1", 0) as store:
        urls = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in (api, store)]
        served = Sutro(*urls)
        async with serving(served, api, store, grace_seconds=1):
            yield served


@dataclass
class Access:
    """The folder of what is particular to callers, as an operator keeps it."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "keys").mkdir(parents=True)
        self._write("state-keys", secrets.token_hex(32) + "\n")
        self._write("tokens", "")

    def add(
        self, name: str, sutro_key: str, scope: str = "sutro:cancel", expires: datetime | None = None
    ) -> str:
        """A person with a token, which is returned, and a Sutro key."""
        token = add_token(self.folder / "tokens", name, [scope], expires)
        self.add_key(name, sutro_key)
        return token

    def add_key(self, name: str, sutro_key: str) -> None:
        """The Sutro key of a person."""
        self._write(f"keys/principal-{name}", sutro_key)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        """The settings that name the files."""
        return {
            "SUTRO_MCP_TOKENS_FILE": str(self.folder / "tokens"),
            "SUTRO_MCP_KEYS_DIR": str(self.folder / "keys"),
            "SUTRO_MCP_STATE_KEYS_FILE": str(self.folder / "state-keys"),
        }


@dataclass
class Replica:
    """One server process, which can be stopped and started again at the same place."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    program: tuple[str, ...]
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        """Where its probes are."""
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def log(self) -> Path:
        """The lines that it wrote on stdout and stderr."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start the process; `until_ready` waits for it."""
        command = [sys.executable, *self.program]
        own = {
            "SUTRO_MCP_TRANSPORT": "http",
            "SUTRO_MCP_PORT": str(self.port),
            "SUTRO_MCP_ADMIN_PORT": str(self.admin_port),
            "SUTRO_MCP_CACHE_DIR": str(self.folder / f"cache-{self.name}"),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SUTRO_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**inherited, **self.environment, **own}, stdout=log, stderr=log
            )

    async def until_ready(self) -> float:
        """Return the seconds until it was ready; raises TimeoutError, with its log, if it never is."""
        began = anyio.current_time()
        async with httpx.AsyncClient(trust_env=False) as client:
            while anyio.current_time() - began < READY_SECONDS:
                try:
                    if (await client.get(f"{self.admin_url}/readyz")).is_success:
                        return anyio.current_time() - began
                except httpx.TransportError:
                    pass
                await anyio.sleep(0.05)
        raise TimeoutError(self.log.read_text()[-2000:])

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        with anyio.fail_after(60):
            return await anyio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)

    def usage(self) -> tuple[float, int]:
        """Seconds of CPU and bytes of memory of the process."""
        assert self.process is not None
        proc = Path(f"/proc/{self.process.pid}")
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return seconds, int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


Balancer = Callable[[Path, int, list["Replica"]], AbstractContextManager[None]]
"""Stands before replicas, with its files in a folder, at a port."""


@contextmanager
def haproxy(folder: Path, port: int, replicas: list[Replica], token: str = "") -> Generator[None]:
    """deploy/haproxy.cfg, with the addresses of this machine; `token` is added to each request."""
    bind = f"bind 127.0.0.1:{port}"
    if token:
        bind += f'\n  http-request set-header Authorization "Bearer {token}"'
    text = (DEPLOY / "haproxy.cfg").read_text().replace("bind :8080", bind)
    lines = [line for line in text.splitlines() if not line.startswith("  server ")]
    lines += [f"  server {one.name} 127.0.0.1:{one.port} port {one.admin_port}" for one in replicas]
    (folder / "haproxy.cfg").write_text("\n".join(lines) + "\n")
    with _service(folder, "haproxy", "-db", "-f", str(folder / "haproxy.cfg")):
        yield


@contextmanager
def nginx(folder: Path, port: int, replicas: list[Replica]) -> Generator[None]:
    """deploy/nginx.conf, with the addresses of this machine."""
    text = (DEPLOY / "nginx.conf").read_text().replace("listen 8080", f"listen 127.0.0.1:{port}")
    servers = "".join(f"    server 127.0.0.1:{one.port} max_fails=0;\n" for one in replicas)
    text = re.sub(r"(    server replica-.*\n)+", servers, text)
    (folder / "nginx.conf").write_text(f"daemon off; pid {folder}/nginx.pid; user root;\n{text}")
    log = str(folder / "nginx-error.log")
    with _service(folder, "nginx", "-p", str(folder), "-e", log, "-c", str(folder / "nginx.conf")):
        yield


class Redis(AbstractContextManager["Redis"]):
    """A Redis that keeps nothing, and can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"
        folder.mkdir(parents=True)

    def start(self) -> None:
        """Start it with nothing in it."""
        place = ("--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(["redis-server", *place, "--save", ""], stdout=log, stderr=log)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "Redis":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def _service(folder: Path, *command: str) -> Generator["subprocess.Popen[bytes]"]:
    with (folder / f"{command[0]}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@dataclass
class Team:
    """The deployment under test."""

    folder: Path
    sutro: Sutro
    access: Access
    replicas: list[Replica]
    port: int
    """Of the balancer."""

    @property
    def url(self) -> str:
        """Where callers find it."""
        return f"http://127.0.0.1:{self.port}/mcp"


@asynccontextmanager
async def team(
    folder: Path,
    *,
    count: int = 2,
    balancer: Balancer | None = haproxy,
    settings: Mapping[str, str] | None = None,
    port: int | None = None,
    program: tuple[str, ...] = SERVE,
) -> AsyncGenerator[Team]:
    """Replicas behind a balancer, if one is given, ready; gone when the block ends."""
    folder.mkdir(parents=True)
    port = port or free_port()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(sutro())
        access = Access(folder / "access")
        environment = {
            "SUTRO_API_URL": upstream.url,
            "SUTRO_MCP_AUTH": "bearer",
            "SUTRO_MCP_PUBLIC_URL": f"http://127.0.0.1:{port}/mcp",
            "SUTRO_MCP_LOG_FORMAT": "json",
            "SUTRO_MCP_LOG_LEVEL": "INFO",
            "SUTRO_MCP_RATE": "100000/10000",
            "SUTRO_MCP_RATE_HEAVY": "100000/10000",
            **access.environment,
            **(settings or {}),
        }
        replicas = [
            Replica(f"replica-{number}", folder, environment, program) for number in range(1, count + 1)
        ]
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start()
        for replica in replicas:
            await replica.until_ready()
        if balancer is not None:
            stack.enter_context(balancer(folder, port, replicas))
        yield Team(folder, upstream, access, replicas, port)
