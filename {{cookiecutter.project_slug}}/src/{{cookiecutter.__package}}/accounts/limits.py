"""How often somebody may try: by the address that is tried, and by the client that tries it.

Known and unknown addresses are counted alike. Attempts are counted where all processes of the service see them; while
that does not answer, or where there is no such place, each process counts by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, TypeVar

import structlog
from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from ..infrastructure.per_loop import PerLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

#: How many times the limit of an address a client has, for a client may stand for a whole office.
PER_CLIENT = 10

#: Seconds to wait for the shared counts; somebody waits for the answer.
PATIENCE = 1

logger = structlog.get_logger(__name__)


class TooManyAttemptsError(Exception):
    """An address or a client has been tried too often lately."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many attempts; try again in {retry_after} seconds")


@PerLoop
def _own_counts() -> MemoryStorage:
    return MemoryStorage()


class AttemptLimit:
    """Counts the attempts at one thing, such as signing in."""

    def __init__(self, action: str, *, limit: Callable[[], str], shared: Callable[[], Storage] | None = None) -> None:
        """Prepare.

        Args:
            action: what is tried; each has counts of its own.
            limit: gives how often an address may be tried, such as `10 per 15 minutes`.
            shared: gives where all processes count, with wrapped exceptions; None: each counts by itself.
        """
        self._action = action
        self._limit = limit
        self._shared = shared

    async def count(self, *, email: str, client: str) -> None:
        """Count an attempt that is about to be made; one that is refused does not count for the address.

        Args:
            email: the address that is tried.
            client: the address that the request came from.

        Raises:
            TooManyAttemptsError: it must not be made.
        """

        async def count(limiter: MovingWindowRateLimiter) -> None:
            for limit in parse_many(self._limit()):
                # The client first: one that has used up its attempts must not use up those of an address.
                for_client = type(limit)(limit.amount * PER_CLIENT, limit.multiples)
                await _hit(limiter, for_client, self._key("client", _origin(client)))
                await _hit(limiter, limit, self._key("email", email.lower()))

        await self._counted(count)

    async def forget(self, *, email: str) -> None:
        """Forget the attempts at an address, for one has succeeded."""

        async def clear(limiter: MovingWindowRateLimiter) -> None:
            for limit in parse_many(self._limit()):
                await limiter.clear(limit, self._key("email", email.lower()))

        await self._counted(clear)

    async def _counted(self, work: Callable[[MovingWindowRateLimiter], Awaitable[T]]) -> T:
        if self._shared:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await work(MovingWindowRateLimiter(self._shared()))
            except (StorageError, TimeoutError) as error:
                logger.warning("attempts are counted by this process alone", action=self._action, error=repr(error))
        return await work(MovingWindowRateLimiter(_own_counts()))

    def _key(self, kind: str, value: str) -> str:
        """Name a count; whose it is cannot be read from it, and nothing that somebody typed gets into it."""
        return f"{self._action}/{kind}/{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"


async def _hit(limiter: MovingWindowRateLimiter, limit: RateLimitItem, key: str) -> None:
    if not await limiter.hit(limit, key):
        free = (await limiter.get_window_stats(limit, key)).reset_time
        raise TooManyAttemptsError(max(1, math.ceil(free - time.time())))


def _origin(client: str) -> str:
    """Give what one customer of a network provider has: an address of IPv4, or 64 bits of one of IPv6."""
    try:
        address = ip_address(client)
    except ValueError:  # a Unix socket has no address
        return client
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or int(address) >> 64)
    return str(address)
