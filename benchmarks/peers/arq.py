"""arq as it comes.

Settings: `max_jobs` 100, as for all; everything else is the default, `poll_delay` 0.5 s included, since arq's
documentation (https://arq-docs.helpmanual.io) recommends nothing for throughput. hiredis comes with arq's own
requirements. Bulk: arq has no call for it, so some enqueue at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import arq.worker
from arq.connections import RedisSettings, create_pool

from benchmarks import workload
from benchmarks.contract import CONCURRENCY, redis_url

if TYPE_CHECKING:
    from collections.abc import Sequence


async def noop(ctx: dict[str, Any], job: int) -> None:  # noqa: ARG001 - every task gets the context
    """Do nothing."""
    await workload.noop_async(job)


async def pause(ctx: dict[str, Any], job: int) -> None:  # noqa: ARG001
    """Wait a little."""
    await workload.pause_async(job)


class Adapter:
    """arq, default."""

    backlog: Sequence[tuple[str, ...]] = [("ZCARD", "arq:queue")]
    poll_delay = 0.5

    async def connect(self) -> None:
        """Open the pool."""
        self.pool = await create_pool(RedisSettings.from_dsn(redis_url()))

    async def enqueue(self, task: str, job: int) -> None:
        """Enqueue by the pool."""
        await self.pool.enqueue_job(task, job)

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Enqueue several at a time."""
        await workload.concurrently(lambda job: self.enqueue(task, job), jobs)

    def work(self) -> None:
        """Run arq's worker."""
        arq.worker.Worker(
            [noop, pause],
            redis_settings=RedisSettings.from_dsn(redis_url()),
            max_jobs=CONCURRENCY,
            poll_delay=self.poll_delay,
        ).run()
