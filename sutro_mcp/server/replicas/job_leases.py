"""One poller for each watched job, whichever replicas its listeners are on.

The replica that holds the lease of a job reads its status and says what it saw. The others look at that, and
read the job themselves when it differs from what they know: what stands in Redis is a hint, and nobody is
told a status that only Redis has said. A replica that cannot reach Redis reads for itself.
"""

from hashlib import sha256

import anyio

from sutro_mcp.server.live.job_watcher import Lead

from .redis_link import RedisDownError, RedisLink

_LEASE_MS = 15_000
_TOLD_MS = 3_600_000
# So long a change whose news was lost may go unnoticed, and a job unread whose replica died with its lease.
_LOOK_SECONDS = 5.0

# The holder's lease is made longer; one that nobody holds, or that no replica can have made, is taken.
_LEAD = """
local holder, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
if holder == ARGV[1] or left < 0 or left > tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  holder = ARGV[1]
end
return {holder == ARGV[1] and 1 or 0, redis.call('GET', KEYS[2])}
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_TELL = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"


class JobLeases:
    """The leases of one replica, for all its tenants."""

    def __init__(self, link: RedisLink, *, look_seconds: float = _LOOK_SECONDS) -> None:
        self._link = link
        self._look_seconds = look_seconds
        self._held: set[str] = set()
        self._news: dict[str, anyio.Event] = {}
        link.on_news = self._hear
        link.renew = self._renew

    @property
    def held(self) -> int:
        """How many jobs this replica reads for all."""
        return len(self._held)

    @property
    def is_up(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return self._link.is_up

    def of(self, identity: str) -> "TenantLeases":
        """Those of one Sutro key, which `identity` stands for."""
        return TenantLeases(self, sha256(f"replicas {identity}".encode()).hexdigest()[:16])

    async def lead(self, job: str) -> Lead:
        """Whether this replica is to read a job, and what was last told of it."""
        if job in self._held:
            return Lead(True, None)
        try:
            is_mine, told = await self._script_lead(job)
        except RedisDownError:
            return Lead(True, None)
        if is_mine:
            self._held.add(job)
        return Lead(bool(is_mine), told)

    async def tell(self, job: str, status: str) -> None:
        """Say what this replica has read."""
        try:
            await self._link.script(_TELL, [f"s:{job}"], status, _TOLD_MS)
            await self._link.tell(job)
        except RedisDownError:
            return  # the others read for themselves

    async def news(self, job: str) -> None:
        """Wait until another replica has told something, or for 5 seconds."""
        event = self._news.setdefault(job, anyio.Event())
        with anyio.move_on_after(self._look_seconds):
            await event.wait()
        if self._news.get(job) is event:
            del self._news[job]

    async def release(self, job: str) -> None:
        """Let another replica read the job."""
        if job in self._held:
            self._held.discard(job)
            with anyio.CancelScope(shield=True):
                try:
                    await self._link.script(_RELEASE, [f"l:{job}"], self._link.replica)
                except RedisDownError:
                    return  # it ends by itself

    def _hear(self, job: str) -> None:
        if event := self._news.pop(job, None):
            event.set()

    async def _renew(self) -> None:
        for job in list(self._held):
            try:
                is_mine, _ = await self._script_lead(job)
            except RedisDownError:
                return
            if not is_mine:
                self._held.discard(job)

    async def _script_lead(self, job: str) -> tuple[int, str | None]:
        return await self._link.script(_LEAD, [f"l:{job}", f"s:{job}"], self._link.replica, _LEASE_MS)


class TenantLeases:
    """The leases of one replica for the jobs of one Sutro key: the same id may be another's job."""

    def __init__(self, leases: JobLeases, tenant: str) -> None:
        self._leases = leases
        self._tenant = tenant

    async def lead(self, job_id: str) -> Lead:
        """As `JobLeases` says; and so with the others."""
        return await self._leases.lead(f"{self._tenant}:{job_id}")

    async def tell(self, job_id: str, status: str) -> None:
        await self._leases.tell(f"{self._tenant}:{job_id}", status)

    async def news(self, job_id: str) -> None:
        await self._leases.news(f"{self._tenant}:{job_id}")

    async def release(self, job_id: str) -> None:
        await self._leases.release(f"{self._tenant}:{job_id}")
