"""Replicas that share work through a real Redis: one poller a job, one rate a caller, and nothing lost without."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from sutro_mcp.api import Status
from sutro_mcp.api.status_poller import PollSchedule
from sutro_mcp.concurrency import background
from sutro_mcp.server.live.job_watcher import JobWatcher, Lead
from sutro_mcp.server.protocol.rate_limit import Rate
from sutro_mcp.server.replicas.job_leases import JobLeases
from sutro_mcp.server.replicas.redis_link import RedisLink
from sutro_mcp.server.replicas.shared_rate_limit import SharedRateLimit

from .conftest import RedisServer

pytestmark = pytest.mark.anyio

URI = "sutro://jobs/job-1"
FAST = PollSchedule(first=0.01, slowest=0.02)


@dataclass
class Replica:
    """A replica: how often it read, and what its listeners heard."""

    link: RedisLink
    leases: JobLeases
    world: "World"
    reads: int = 0
    heard: list[str] = field(default_factory=list[str])
    watchers: dict[str, JobWatcher] = field(default_factory=dict[str, JobWatcher])

    async def read(self, _: str) -> Status:
        self.reads += 1
        await anyio.lowlevel.checkpoint()
        return self.world.status

    async def publish(self, uri: str) -> None:
        self.heard.append(uri)
        self.world.changed()


class World:
    """The status of the one job, and an event for whatever happens."""

    def __init__(self) -> None:
        self.status = Status.RUNNING
        self._event = anyio.Event()

    def changed(self) -> None:
        self._event.set()
        self._event = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(30):
            while not condition():
                with anyio.move_on_after(0.05):
                    await self._event.wait()


@asynccontextmanager
async def replicas(world: World, url: str, tenants: list[str]) -> AsyncGenerator[list[Replica]]:
    """One replica for each entry of `tenants`, which watches the job for that tenant."""
    async with background() as tasks:
        made: list[Replica] = []
        for tenant in tenants:
            link = RedisLink(url, pause_seconds=0.05)
            leases = JobLeases(link, look_seconds=0.05)
            tasks.start_soon(link.run)
            replica = Replica(link, leases, world)
            watcher = JobWatcher(tasks, replica.read, replica.publish, FAST, leases.of(tenant))
            replica.watchers[tenant] = watcher
            await watcher.watch(URI)
            made.append(replica)
        yield made


async def test_one_replica_reads_and_the_listeners_of_all_hear_once(redis_server: RedisServer) -> None:
    """The others read once to begin with, and once to see the end with their own eyes."""
    world = World()
    async with redis_server.running(), replicas(world, redis_server.url, ["a", "a", "a"]) as made:
        await world.until(lambda: sum(replica.reads for replica in made) > 12)
        assert sorted(replica.leases.held for replica in made) == [0, 0, 1]
        assert [replica.reads for replica in made if not replica.leases.held] == [1, 1]
        world.status = Status.SUCCEEDED
        await world.until(lambda: all(replica.heard for replica in made))
        assert [replica.heard for replica in made] == [[URI]] * 3
        assert sum(replica.reads == 2 for replica in made) == 2


async def test_the_job_of_another_key_is_another_job(redis_server: RedisServer) -> None:
    """Although its id is the same."""
    world = World()
    async with redis_server.running(), replicas(world, redis_server.url, ["a", "b"]) as made:
        await world.until(lambda: all(replica.reads > 3 for replica in made))
        assert [replica.leases.held for replica in made] == [1, 1]


async def test_another_replica_takes_over_when_the_reader_stops(redis_server: RedisServer) -> None:
    """Its last listener has gone; those of the other replica hear the end."""
    world = World()
    async with redis_server.running(), replicas(world, redis_server.url, ["a", "a"]) as made:
        await world.until(lambda: sum(replica.leases.held for replica in made) == 1)
        (reader,), (other,) = (
            [replica for replica in made if replica.leases.held == held] for held in (1, 0)
        )
        reader.watchers["a"].unwatch(URI)
        await world.until(lambda: other.leases.held == 1)
        world.status = Status.FAILED
        await world.until(lambda: bool(other.heard))
        assert (reader.heard, other.heard) == ([], [URI])


async def test_without_redis_each_reads_for_itself_and_with_it_again_one(redis_server: RedisServer) -> None:
    """Nobody misses anything, before, during and after."""
    world = World()
    async with replicas(world, redis_server.url, ["a", "a"]) as made:
        await world.until(lambda: all(replica.reads > 3 for replica in made))
        assert [replica.leases.is_up for replica in made] == [False, False]
        for _ in range(2):
            async with redis_server.running():
                await world.until(lambda: sum(replica.leases.held for replica in made) == 1)
            before = [replica.reads for replica in made]
            await world.until(
                lambda seen=before: all(replica.reads > n for replica, n in zip(made, seen, strict=True))
            )
        world.status = Status.SUCCEEDED
        await world.until(lambda: all(replica.heard for replica in made))
        assert [replica.heard for replica in made] == [[URI]] * 2


async def test_a_caller_has_one_rate_on_all_replicas(redis_server: RedisServer) -> None:
    """And half of it on each of two while Redis is down, as soon as that is noticed."""
    rate = Rate(per_minute=2, burst=4)
    async with redis_server.running():
        links = [RedisLink(redis_server.url, pause_seconds=600) for _ in range(2)]
        rates = [SharedRateLimit(link, replicas=2) for link in links]
        waits = [await rates[number % 2].take("call:a", rate) for number in range(5)]
        assert waits[:4] == [0, 0, 0, 0]
        assert 0 < waits[4] <= 30
        assert await rates[0].take("call:b", rate) == 0
    for each in rates:
        waits = [await each.take("call:c", rate) for _ in range(3)]
        assert waits[:2] == [0, 0]
        assert waits[2] > 0


@asynccontextmanager
async def links(url: str, number: int) -> AsyncGenerator[list[RedisLink]]:
    """Links of replicas that watch nothing."""
    async with background() as tasks:
        made = [RedisLink(url) for _ in range(number)]
        for link in made:
            tasks.start_soon(link.run)
        yield made


async def forge(link: RedisLink, kind: str, value: str) -> None:
    """Set the one lease (l), status (s) or rate (r) to what Lua reads as a string, with or without an end."""
    script = f"""
        local key = redis.call('KEYS', 'smcp:1:[lr]:*')[1]
        redis.call('SET', string.gsub(key, '^smcp:1:.', 'smcp:1:{kind}'), {value})
    """
    await link.script(script, [])


@pytest.mark.parametrize("forged", ["inf", "9e15", "-inf", "nan", "junk", r"\255"])
async def test_forged_rate_state_keeps_no_caller_out(redis_server: RedisServer, forged: str) -> None:
    """At worst a caller waits as after a full burst, and the state ends by itself."""
    rate = Rate(per_minute=2, burst=4)
    async with redis_server.running(), links(redis_server.url, 1) as (link,):
        rates = SharedRateLimit(link, replicas=2)
        await rates.take("call:a", rate)
        await forge(link, "r", f"'{forged}'")
        assert await rates.take("call:a", rate) <= 30
        assert 0 < await link.script("return redis.call('PTTL', redis.call('KEYS', '*')[1])", []) <= 150_000


async def test_bytes_that_are_no_text_end_no_replica(redis_server: RedisServer) -> None:
    """Whether they are published or stand where a status is told; all still hear the end."""
    world = World()
    async with redis_server.running(), replicas(world, redis_server.url, ["a", "a"]) as made:
        await world.until(lambda: sum(replica.reads for replica in made) > 6)
        link = made[0].link
        before = [replica.reads for replica in made]
        await forge(link, "s", r"'\255'")
        with anyio.fail_after(30):
            hearers = 0
            while hearers < 2:
                hearers = await link.script(r"return redis.call('PUBLISH', 'smcp:1:ev', '\255')", [])
                await anyio.sleep(0.01)
        await world.until(lambda: all(replica.reads > n for replica, n in zip(made, before, strict=True)))
        world.status = Status.SUCCEEDED
        await world.until(lambda: all(replica.heard for replica in made))


@pytest.mark.parametrize("forged", ["'evil'", "'evil', 'PX', 900000"])
async def test_a_forged_lease_silences_no_job(redis_server: RedisServer, forged: str) -> None:
    """One that does not end, or later than any that a replica takes."""
    async with redis_server.running(), links(redis_server.url, 2) as made:
        first, second = (JobLeases(link).of("a") for link in made)
        assert await first.lead("job-1") == Lead(True, None)
        assert await second.lead("job-1") == Lead(False, None)
        await forge(made[0], "l", forged)
        assert await second.lead("job-1") == Lead(True, None)


async def test_there_is_no_secret_in_redis(redis_server: RedisServer) -> None:
    """Hashes, the job's id and its status."""
    world = World()
    async with redis_server.running(), replicas(world, redis_server.url, ["canary", "canary"]) as made:
        world.status = Status.SUCCEEDED
        await world.until(lambda: all(replica.heard for replica in made))
        await SharedRateLimit(made[0].link, 2).take("call:canary", Rate(1, 2))
        dump = """
            local all = {}
            for _, key in ipairs(redis.call('KEYS', '*')) do
              table.insert(all, key); table.insert(all, redis.call('GET', key))
            end
            return all
        """
        found = " ".join(await made[0].link.script(dump, []))
    assert "canary" not in found
    kinds = Counter(word.split(":")[2] for word in found.split() if word.startswith("smcp:1:"))
    assert kinds == {"s": 1, "r": 1}
