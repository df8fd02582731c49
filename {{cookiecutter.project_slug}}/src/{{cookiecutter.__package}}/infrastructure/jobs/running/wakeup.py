"""Waking an idle worker: it blocks on the queue's wake list, and every enqueue leaves a token there."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from .. import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis

logger = logging.getLogger("arq.worker")

#: Seconds that one blocking call waits.
WAIT = 5.0
#: Seconds before listening again after Redis did not answer; the worker polls in the meantime.
RETRY = 0.5


class WakeUp:
    """Listens for tokens in the background, from when the worker is idle."""

    def __init__(self, client: Redis, queues: Callable[[], Sequence[str]]) -> None:
        """Prepare.

        Args:
            client: the connection to Redis.
            queues: gives the keys of those from which the worker could take a job now; a token of any other is passed
                on to another worker.
        """
        self._client: Any = client  # its types are those of the synchronous client, too
        self._queues = queues
        self._event = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        #: The lists on which it listens.
        self._heard: list[str] = []
        # The answer has to come before redis-py gives up on a silent connection.
        silence = client.connection_pool.connection_kwargs.get("socket_timeout")
        self._wait = WAIT if not silence else min(WAIT, silence / 2)

    def set(self) -> None:
        """Wake the worker for a reason of this process."""
        self._event.set()

    def listen_anew(self) -> None:
        """Wake the worker, and listen to other queues from now on; it has to claim, for a token may be lost."""
        if self._listening:
            self._listening.cancel()
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a token, at most so long; a token that comes later is not lost: the next call finds it."""
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())
        elif not set(self._keys()) <= set(self._heard):  # a slot has become free that was kept for others
            self.listen_anew()
        if not self._event.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._event.wait()
        woken = self._event.is_set()
        self._event.clear()
        return woken

    async def _listen(self) -> None:
        try:
            while queues := self._keys():
                self._heard = queues
                token = await self._client.blpop(queues, timeout=self._wait)
                if token and token[0].decode() in self._keys():
                    self._event.set()
                    return
                if token:
                    await self._client.lpush(token[0], token[1])
        except (RedisError, OSError) as error:  # the worker's own next call says so
            logger.debug("not listening, Redis does not answer: %s", error)
            await asyncio.sleep(RETRY)

    def _keys(self) -> list[str]:
        return [keys.wake(queue) for queue in self._queues()]

    async def stop(self) -> None:
        """Listen no more; what a token told that was taken just now, the others find with their next sign of life."""
        if self._listening is None:
            return
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._listening = None
