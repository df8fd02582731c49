"""Celery on Redis.

Settings, all from its user guide: `worker_prefetch_multiplier` 64 for many short tasks ("Optimizing", which says 64 or
128); `task_ignore_result` and `worker_disable_rate_limits`, for what is not used ("Tasks", "Configuration"); no gossip,
mingle or heartbeat, none of which Redis needs ("Workers"); one process with a pool of 100 threads, the concurrency of
all, since a process of the default pool runs one task at a time. Bulk: many messages by one producer that is taken from
the pool once ("Calling", `producer`), which is what a `group` does too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

from benchmarks import workload
from benchmarks.contract import CONCURRENCY, redis_url

if TYPE_CHECKING:
    from collections.abc import Sequence


class Adapter:
    """Celery."""

    backlog: Sequence[tuple[str, ...]] = [("LLEN", "celery"), ("HLEN", "unacked")]

    def __init__(self) -> None:
        self.app = Celery("benchmarks", broker=redis_url(), set_as_current=False)
        self.app.conf.update(
            task_ignore_result=True,
            worker_disable_rate_limits=True,
            worker_prefetch_multiplier=64,
            worker_hijack_root_logger=False,
        )
        self.tasks = {
            "noop": self.app.task(workload.noop, name="noop"),
            "pause": self.app.task(workload.pause, name="pause"),
        }

    async def connect(self) -> None:
        """Reach Redis."""
        with self.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)

    async def enqueue(self, task: str, job: int) -> None:
        """Call the task."""
        self.tasks[task].delay(job)

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Call the task by one producer."""
        with self.app.producer_pool.acquire(block=True) as producer:
            for job in jobs:
                self.tasks[task].apply_async((job,), producer=producer)

    def work(self) -> None:
        """Run Celery's worker."""
        self.app.worker_main(
            [
                "worker",
                "--pool=threads",
                f"--concurrency={CONCURRENCY}",
                "--loglevel=WARNING",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]
        )
