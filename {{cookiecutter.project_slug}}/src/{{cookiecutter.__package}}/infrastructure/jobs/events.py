"""Being told of the end of jobs: one subscription for everybody in a process who waits for one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from . import keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

#: Seconds after which a waiter looks for itself: a worker of arq's own class tells nobody, and a connection may break.
LOOK = 1.0


def message(status: str, job_ids: list[str]) -> str:
    """Give what is told when jobs have come to something, as the scripts write it."""
    return json.dumps({status: job_ids})


class End:
    """One waiter's view of one job."""

    def __init__(self, look: float, listen: Callable[[], object]) -> None:
        self._look = look
        self._listen = listen
        self.event = asyncio.Event()

    async def wait(self) -> None:
        """Return when the job is told to have ended, or when it is time to look for oneself."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._look):
                await self.event.wait()
        self.event.clear()
        self._listen()  # again, if the connection was lost


class JobEvents:
    """The ends of jobs as workers tell them; it listens while somebody waits."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._ends: defaultdict[str, set[End]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None
        self._subscribed: asyncio.Event = asyncio.Event()

    @asynccontextmanager
    async def of(self, job_id: str, look: float | None = None) -> AsyncIterator[End]:
        """Wait for the end of one job: what ends after the block is entered is told.

        Args:
            job_id: the job.
            look: seconds after which the waiter looks for itself.
        """
        end = End(look or LOOK, self._begin)
        self._ends[job_id].add(end)
        self._begin()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._subscribed.wait()
            yield end
        finally:
            self._ends[job_id].discard(end)
            if not self._ends[job_id]:
                del self._ends[job_id]
            if not self._ends:
                await self.close()

    def _begin(self) -> None:
        if self._listening is None or self._listening.done():
            self._subscribed.clear()
            self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Listen no more."""
        listening, self._listening = self._listening, None
        if listening:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            async with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(keys.EVENTS)
                self._subscribed.set()
                async for message in pubsub.listen():
                    for job_ids in json.loads(message["data"]).values():
                        for job_id in self._ends.keys() & set(job_ids):
                            for end in self._ends[job_id]:
                                end.event.set()
        except (RedisError, OSError, ValueError) as error:  # ValueError: somebody else's message
            logger.debug("not told of the ends of jobs: %s", error)
            self._subscribed.set()
