"""streaQ.

Settings: `concurrency` 100, as for all; everything else is the default, as in its own benchmark
(benchmarks/bench_streaq.py): `concurrency` tasks are prefetched, results are kept
five minutes, pickle serializes. Bulk: `Worker.enqueue_many`, a pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaq import Worker

from benchmarks import workload
from benchmarks.contract import CONCURRENCY, redis_url

if TYPE_CHECKING:
    from collections.abc import Sequence


class Adapter:
    """streaQ."""

    backlog: Sequence[tuple[str, ...]] = [
        ("XLEN", "streaq:default:queues:normal"),
        ("SCARD", "streaq:default:index:running"),
    ]

    def __init__(self) -> None:
        self.worker = Worker(redis_url=redis_url(), concurrency=CONCURRENCY)
        self.tasks = {
            "noop": self.worker.task(name="noop")(workload.noop_async),
            "pause": self.worker.task(name="pause")(workload.pause_async),
        }

    async def connect(self) -> None:
        """Enter the worker's context, which is streaQ's client too; the process ends without leaving it."""
        await self.worker.__aenter__()

    async def enqueue(self, task: str, job: int) -> None:
        """Enqueue one task."""
        await self.tasks[task].enqueue(job)

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Enqueue in a pipeline."""
        await self.worker.enqueue_many([self.tasks[task].enqueue(job) for job in jobs])

    def work(self) -> None:
        """Run streaQ's worker."""
        self.worker.run_sync()
