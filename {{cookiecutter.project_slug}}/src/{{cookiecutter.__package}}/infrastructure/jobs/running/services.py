"""What a worker does beside its jobs, for as long as it lives: relays, clean-ups, listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..worker import Worker

logger = logging.getLogger("arq.worker")

#: A coroutine that works until it is cancelled; it is given the worker.
Service = Callable[["Worker"], Awaitable[None]]
#: Seconds before a service that failed is started again.
RETRY = 1.0


class Services:
    """The services of one worker."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = list(services)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, worker: Worker) -> None:
        """Start them all."""
        self._tasks = [asyncio.create_task(_keep_running(service, worker)) for service in self._services]

    async def stop(self) -> None:
        """Cancel them, and wait until they have ended."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(service: Service, worker: Worker) -> None:
    name = getattr(service, "__name__", repr(service))
    while True:
        try:
            await service(worker)
        except (RedisError, OSError) as error:  # the worker's own next call says so, and louder
            logger.debug("%s waits: %s", name, error)
        except Exception:
            logger.exception("%s failed, and is started again", name)
        else:
            return
        await asyncio.sleep(RETRY)
