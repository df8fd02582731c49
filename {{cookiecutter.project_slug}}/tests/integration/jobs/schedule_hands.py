"""What the tests of schedules have in common: ticks that come when the test says so, and workers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool, Worker, keys
from {{ cookiecutter.__package }}.infrastructure.tasks import get_redis_settings

from .scripts.calls import now_of
from .test_recovery import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MINUTE = 60_000


async def move(pool: TaskPool, schedule_id: str, *, late: float) -> int:
    """Bring about that the next tick came so many ms ago, by Redis's clock; give it."""
    tick = await now_of(pool) - round(late)
    client: Any = pool
    await client.hset(keys.schedule(schedule_id), "next", tick)
    await pool.zadd(keys.SCHEDULES, {schedule_id: tick})
    return tick


async def jobs(pool: TaskPool, queue: str = keys.queue()) -> list[str]:
    return [job_id.decode() for job_id in await pool.zrange(queue, 0, -1)]


def new_worker(*functions: Any, **settings: Any) -> Worker:
    options: dict[str, Any] = {"redis_settings": get_redis_settings(), "handle_signals": False}
    return Worker(functions, allow_no_persistence=True, **{**options, **settings})


@asynccontextmanager
async def working(*functions: Any, **settings: Any) -> AsyncIterator[Worker]:
    """Run a worker inside the test's event loop; it has written the schedules of its code."""
    worker = new_worker(*functions, **settings)
    running = asyncio.create_task(worker.async_run())
    try:
        await until(worker.scheduler._begun.is_set)
        yield worker
    finally:
        await worker.close()
        await asyncio.gather(running, return_exceptions=True)


class Runs:
    """A task that notes the ticks for which it ran."""

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self._changed = asyncio.Event()

    async def tick(self, ctx: dict[str, Any]) -> None:
        self.ticks.append(ctx["score"])
        self._changed.set()

    async def until(self, number: int) -> None:
        async with asyncio.timeout(60):
            while len(self.ticks) < number:
                self._changed.clear()
                await self._changed.wait()
