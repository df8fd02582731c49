"""Dramatiq on Redis.

Settings: 100 worker threads, as for all (its default is 8); everything else is the default, middleware included; twice
as many messages as threads are prefetched. `Worker` is what its command line runs in each process. Bulk: a `group`,
which enqueues one by one.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks import workload
from benchmarks.contract import CONCURRENCY, redis_url

if TYPE_CHECKING:
    from collections.abc import Sequence


class Adapter:
    """Dramatiq."""

    #: Messages stay in the hash until they are acknowledged.
    backlog: Sequence[tuple[str, ...]] = [("LLEN", "dramatiq:default"), ("HLEN", "dramatiq:default.msgs")]

    def __init__(self) -> None:
        self.broker = RedisBroker(url=redis_url())
        dramatiq.set_broker(self.broker)
        self.tasks = {
            "noop": dramatiq.actor(workload.noop, broker=self.broker),
            "pause": dramatiq.actor(workload.pause, broker=self.broker),
        }

    async def connect(self) -> None:
        """Reach Redis."""
        self.broker.client.ping()

    async def enqueue(self, task: str, job: int) -> None:
        """Send one message."""
        self.tasks[task].send(job)

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Run a group of messages."""
        dramatiq.group(self.tasks[task].message(job) for job in jobs).run()

    def work(self) -> None:
        """Run Dramatiq's worker."""
        dramatiq.Worker(self.broker, worker_threads=CONCURRENCY).start()
        signal.pause()
