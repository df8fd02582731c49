"""Wishes that a running job be ended: `TaskPool.cancel` and arq's `Job.abort` leave them, its worker takes them."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from arq.constants import abort_job_max_age
from arq.utils import timestamp_ms

from .. import keys

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from redis.asyncio import Redis

    from ..worker import Worker


def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a job, but let its attempt begin: one that never ran could not say what is to become of the job."""
    if inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED:  # type: ignore[arg-type]
        asyncio.get_running_loop().call_soon(task.cancel)
    else:
        task.cancel()


async def cancel_aborted(worker: Worker) -> None:
    """Cancel the worker's running jobs that somebody wants to be ended."""
    if worker.tasks:
        for job_id in await take_aborts(worker.pool, worker.tasks.keys() - worker.aborting_tasks):
            if job_id in worker.tasks:  # it has not ended since
                worker.aborting_tasks.add(job_id)
                cancel(worker.tasks[job_id])


async def take_aborts(client: Redis, running: AbstractSet[str]) -> set[str]:
    """Take the wishes for these jobs; forget those for jobs that are gone, lest they meet a later job of that id."""
    wishes = {job_id.decode(): asked for job_id, asked in await client.zrange(keys.ABORTS, 0, -1, withscores=True)}
    ours = wishes.keys() & running
    too_old = timestamp_ms() - abort_job_max_age * 1000
    old = [job_id for job_id, asked in wishes.items() if asked < too_old and job_id not in ours]
    gone = {job_id for job_id in old if not await client.exists(keys.job(job_id))}
    if ours or gone:
        await client.zrem(keys.ABORTS, *ours, *gone)
    return ours


async def on_abort(worker: Worker, job_id: str) -> None:
    """Cancel a job as soon as somebody wants that (a handler of signals); what it misses is found a tick later."""
    if job_id in worker.tasks:
        await cancel_aborted(worker)
