"""SAQ on Redis.

Settings: `concurrency` 100, as for all; the extra `hiredis`, as its README installs it; everything else is the default.
The default `max_concurrent_ops` of 20 is kept: it is what SAQ ships against too many connections. Bulk: SAQ has no call
for it, so some enqueue at a time, as in its own benchmark (benchmarks/simple.py).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from saq import Queue, Worker

from benchmarks import workload
from benchmarks.contract import CONCURRENCY, redis_url

if TYPE_CHECKING:
    from collections.abc import Sequence


async def noop(ctx: dict[str, Any], *, job: int) -> None:  # noqa: ARG001 - every task gets the context
    """Do nothing."""
    await workload.noop_async(job)


async def pause(ctx: dict[str, Any], *, job: int) -> None:  # noqa: ARG001
    """Wait a little."""
    await workload.pause_async(job)


class Adapter:
    """SAQ."""

    backlog: Sequence[tuple[str, ...]] = [("ZCARD", "saq:default:incomplete"), ("LLEN", "saq:default:active")]

    async def connect(self) -> None:
        """Open the queue."""
        self.queue = Queue.from_url(redis_url())
        await self.queue.connect()

    async def enqueue(self, task: str, job: int) -> None:
        """Enqueue by the queue."""
        # `job` is the name of the argument; `Queue.enqueue` takes those of the job and of the function alike.
        await self.queue.enqueue(task, job=job)

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Enqueue several at a time."""
        await workload.concurrently(lambda job: self.enqueue(task, job), jobs)

    def work(self) -> None:
        """Run SAQ's worker."""
        asyncio.run(self._work())

    async def _work(self) -> None:
        queue = Queue.from_url(redis_url())
        await queue.connect()
        await Worker(queue, functions=[noop, pause], concurrency=CONCURRENCY).start()
