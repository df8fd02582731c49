"""taskiq with the list broker of taskiq-redis.

Settings: `max_async_tasks` 100, as for all (and taskiq's default); uvloop, which its command line takes up by itself
when the extra `uv` is installed; no result backend, which is the default and the fastest; `ListQueueBroker`, which the
README of taskiq-redis offers to those who "don't want acknowledges": a job is gone from Redis before it runs, and lost
with its worker (`taskiq_stream` is the broker that does not lose it). `run_receiver_task` runs the same
receiver as the command line, in this process. Bulk: taskiq has no call for it, so some enqueue at a time, as in
streaQ's benchmark of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uvloop
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker

from benchmarks import workload
from benchmarks.contract import CONCURRENCY, redis_url

if TYPE_CHECKING:
    from collections.abc import Sequence


class Adapter:
    """taskiq."""

    backlog: Sequence[tuple[str, ...]] = [("LLEN", "taskiq")]
    broker_class: Any = ListQueueBroker

    def __init__(self) -> None:
        self.broker = self.broker_class(redis_url())
        self.tasks = {
            "noop": self.broker.task("noop")(workload.noop_async),
            "pause": self.broker.task("pause")(workload.pause_async),
        }

    async def connect(self) -> None:
        """Start the broker."""
        await self.broker.startup()

    async def enqueue(self, task: str, job: int) -> None:
        """Kick the task."""
        await self.tasks[task].kiq(job)

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Enqueue several at a time."""
        await workload.concurrently(self.tasks[task].kiq, jobs)

    def work(self) -> None:
        """Run taskiq's receiver."""
        uvloop.run(run_receiver_task(self.broker, max_async_tasks=CONCURRENCY, run_startup=True))
