"""How often who may call: sliding windows in memory, or in Redis where several processes serve."""

from __future__ import annotations

import ipaddress
import time

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from node.gateway.problems import Code, ProblemError
from node.gateway.settings import GatewaySettings
from node.logs import get_logger

_log = get_logger("gateway")
_IPV6_PREFIX = 64
"""Bits of an address that count: whoever has one IPv6 address has a whole /64."""


class RateLimits:
    """Counts calls by what is called and who calls. Where Redis does not answer, each process counts by itself."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = self._memory
        if settings.redis_url:
            storage = RedisStorage(
                f"async+{settings.redis_url}",
                wrap_exceptions=True,
                implementation="redispy",
                key_prefix="ponw-gateway",
                socket_timeout=2.0,
                socket_connect_timeout=2.0,
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)
        names = ("register", "login", "worker", "download", "public")
        self._items = {name: parse(getattr(settings, f"rate_{name}")) for name in names}

    async def require(self, name: str, who: str) -> None:
        """Count one call of `who` against the limit `name`.

        Raises:
            ProblemError RATE: too many; says how long to wait.
        """
        item = self._items[name]
        limiter = self._shared
        try:
            allowed = await limiter.hit(item, name, who)
        except StorageError as error:
            _log.warning("rate_limits_local", reason=str(error.storage_error))
            limiter = self._memory
            allowed = await limiter.hit(item, name, who)
        if not allowed:
            raise ProblemError(
                Code.RATE, f"More than {_words(item)}.", retry_after=await _wait(limiter, item, name, who)
            )


async def _wait(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, name: str, who: str) -> int:
    try:
        reset = (await limiter.get_window_stats(item, name, who)).reset_time
    except StorageError:
        return item.get_expiry()
    return max(1, min(item.get_expiry(), int(reset - time.time()) + 1))


def _words(item: RateLimitItem) -> str:
    return f"{item.amount} calls a {item.GRANULARITY.name}"


def address_key(host: str) -> str:
    """What an address is counted as."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if address.version == 6:
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return str(mapped or ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
