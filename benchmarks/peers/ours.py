"""The rendered project: its own `WorkerSettings`, everything switched on, and its own client.

Settings: `max_jobs` 100, as for all; everything else as rendered, cron jobs and start-up included. The environment sets
`LOG_LEVEL=WARNING`. Bulk: `TaskPool.enqueue_many` where the engine has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import arq.worker
from bench_project.infrastructure.jobs import Worker
from bench_project.infrastructure.tasks import WorkerSettings, get_task_pool

from benchmarks import workload
from benchmarks.contract import CONCURRENCY

if TYPE_CHECKING:
    from collections.abc import Sequence


async def noop(ctx: dict[str, Any], job: int) -> None:  # noqa: ARG001 - every task gets the context
    """Do nothing."""
    await workload.noop_async(job)


async def pause(ctx: dict[str, Any], job: int) -> None:  # noqa: ARG001
    """Wait a little."""
    await workload.pause_async(job)


class Adapter:
    """The project."""

    backlog: Sequence[tuple[str, ...]] = [("ZCARD", "arq:queue")]

    async def connect(self) -> None:
        """Open the pool."""
        self.pool = await get_task_pool()
        await self.pool.ping()

    async def enqueue(self, task: str, job: int) -> None:
        """Enqueue by the pool."""
        await self.pool.enqueue(task, (), {"job": job})

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Enqueue in one call or, where the engine has none, in several at a time."""
        if hasattr(self.pool, "enqueue_many"):
            await self.pool.enqueue_many(task, [{"job": job} for job in jobs])
        else:
            await workload.concurrently(lambda job: self.enqueue(task, job), jobs)

    def work(self) -> None:
        """Run the worker that arq's command line would run with these settings."""
        settings = {**vars(WorkerSettings), "functions": [noop, pause], "max_jobs": CONCURRENCY}
        worker = arq.worker.create_worker(type("Settings", (), settings))
        assert type(worker) is Worker, worker  # noqa: S101 - the engine's, not arq's
        worker.run()
