"""The rates of callers, whichever replicas they call. Without Redis each replica gives its share."""

from hashlib import sha256

from sutro_mcp.server.protocol.rate_limit import LocalRates, Rate

from .redis_link import RedisDownError, RedisLink

# In milliseconds of Redis's own clock. Nobody can have paid for more than a full burst: what stands there may
# be forged, so it is written anew, with an end, also when the call is refused.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local paid = tonumber(redis.call('GET', KEYS[1]) or now)
if not paid or paid ~= paid then paid = now end
paid = math.min(math.max(paid, now), now + ARGV[1] + ARGV[2])
local early = paid - now - ARGV[2]
local is_early = early > 0.001
if not is_early then paid = paid + ARGV[1] end
redis.call('SET', KEYS[1], string.format('%.3f', paid), 'PX', math.ceil(paid - now))
return is_early and string.format('%.3f', early) or '0'
"""


class SharedRateLimit:
    """Counts calls in Redis, and one in `replicas` of them here while that is down."""

    def __init__(self, link: RedisLink, replicas: int) -> None:
        self._link = link
        self._replicas = replicas
        self._here = LocalRates()

    async def take(self, key: str, rate: Rate) -> float:
        """As `Rates` says."""
        name = f"r:{sha256(key.encode()).hexdigest()[:16]}"
        try:
            waiting = await self._link.script(_TAKE, [name], rate.interval * 1000, rate.tolerance * 1000)
        except RedisDownError:
            share = Rate(max(rate.per_minute // self._replicas, 1), max(rate.burst // self._replicas, 1))
            return self._here.take_now(key, share)
        return float(waiting) / 1000
