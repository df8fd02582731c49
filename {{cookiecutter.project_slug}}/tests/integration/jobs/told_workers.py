"""Workers that start nothing unless they are told: what is started at once shows that they were."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from {{ cookiecutter.__package }}.infrastructure.jobs import Worker
from {{ cookiecutter.__package }}.infrastructure.jobs.registry import as_function
from {{ cookiecutter.__package }}.infrastructure.tasks import get_redis_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import (
        JobRecord,
        TaskContext,
        TaskPool,
    )

#: Seconds after which a worker looks for itself.
NEVER = 3600


async def note(ctx: TaskContext) -> str:
    return str(ctx["job_id"])


@asynccontextmanager
async def working(*functions: Any, **settings: Any) -> AsyncIterator[Worker]:
    """Run a worker of all queues; a task is known by its function's name."""
    silent = {"queues": "*", "poll_delay": NEVER, "health_check_interval": NEVER, "allow_no_persistence": True}
    worker = Worker(
        [replace(as_function(function), name=function.__name__) for function in functions],
        redis_settings=get_redis_settings(),
        handle_signals=False,
        **{**silent, **settings},
    )
    running = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        await worker.close()
        await asyncio.gather(running, return_exceptions=True)


async def ended(pool: TaskPool, job_id: str | None) -> JobRecord:
    """Wait until a job has ended."""
    assert job_id
    job = await pool.job(job_id)
    assert job
    info = await job.wait(timeout=60)
    assert info
    return info
