"""The Redis in memory does what a real one does: the same steps on both leave the same behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from arq import Retry

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobRecord,
    RedisSettings,
    Statistics,
    TaskPool,
    close_client,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.memory import MemoryServer
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claimer
from {{ cookiecutter.__package }}.infrastructure.jobs.running.served import ServedQueues

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext

    from ..conftest import RunJobs


async def add(ctx: TaskContext, a: int, b: int) -> int:
    await ctx.progress(a, b, "adding")
    return a + b


async def fails(ctx: TaskContext) -> None:
    raise ValueError(f"no luck in try {ctx['job_try']}")


async def fails_twice(ctx: TaskContext) -> int:
    if ctx["job_try"] < 3:
        raise ConnectionError("not yet")
    return int(ctx["job_try"])


async def asks(ctx: TaskContext) -> None:  # noqa: ARG001
    raise Retry(defer=timedelta(hours=1))


async def is_cancelled(ctx: TaskContext) -> None:
    await ctx["redis"].cancel(ctx["job_id"], terminate=True)
    await asyncio.Event().wait()


TASKS = (add, fails, fails_twice, asks, is_cancelled)


def timeless(record: JobRecord | None) -> JobRecord | None:
    """Give the record without what no two runs have in common."""
    never: dict[str, Any] = {"enqueue_time": None, "start_time": None, "finish_time": None}
    never |= {name: None for name in ("worker", "traceback") if hasattr(record, name)}
    never |= {"attempts": ()} if hasattr(record, "attempts") else {}
    return record and replace(record, **never)


async def story(pool: TaskPool, run_jobs: RunJobs) -> list[Any]:
    """Do all that can be done with jobs, and tell every answer and every key that is left."""
    told: list[Any] = [
        await pool.enqueue("add", (1, 2), job_id="sum"),
        await pool.enqueue("add", (1, 2), job_id="sum"),
        await pool.enqueue("add", (1,), job_id="wrong"),
        await pool.enqueue("fails", job_id="fails"),
        await pool.enqueue("fails_twice", job_id="fails twice"),
        await pool.enqueue("nobody_knows_it", job_id="unknown"),
        await pool.enqueue("is_cancelled", job_id="cancelled running"),
        await pool.enqueue("add", (3, 4), job_id="cancelled", defer_by=3600),
        await pool.enqueue("add", (3, 4), job_id="expires", expires=3600),
        await pool.enqueue("add", (3, 4), job_id="expired", expires=0.001),
        len(await pool.enqueue_many("add", [{"a": number, "b": 1} for number in range(600)])),
        await pool.cancel("cancelled"),
        await pool.cancel("cancelled"),
        await pool.cancel("nobody"),
    ]
    # Jobs that are due at the same moment start in the order of their ids.
    past = dict.fromkeys(("sum", "wrong", "fails", "fails twice", "unknown", "cancelled running"), 1_000.0)
    await pool.zadd(keys.queue(), past | {"expired": 1_000.25})
    other = Claimer(pool, "other", lease=60, served=ServedQueues((), first=keys.queue()))
    claims, due = await other.claim(5, spare_lapsed=False, began=asyncio.get_running_loop().time())
    told += [[(claim.job_id, claim.attempt) for claim in claims], due]
    told.append(await pool.cancel("sum"))
    for claim in claims:  # as if their leases had lapsed
        await pool.delete(keys.in_progress(claim.job_id))
        await pool.zincrby(keys.queue(), -60_000, claim.job_id)
    await run_jobs(*TASKS, max_jobs=30)
    await pool.enqueue("asks", job_id="asks")
    await pool.enqueue("add", (5, 6), job_id="later", defer_by=3600)
    await run_jobs(*TASKS, max_burst_jobs=1)
    ids = ["sum", "wrong", "fails", "fails twice", "unknown", "cancelled running", "cancelled", "expires", "expired"]
    told += [timeless(await pool.record(job_id)) for job_id in (*ids, "asks", "later", "nobody")]
    hour = (await Statistics(pool).overview()).hour
    told += [(task.task, task.succeeded, task.failed, task.cancelled, task.retried) for task in hour.tasks]
    left = sorted([key.decode() for key in await pool.keys("*")])
    left = [key for key in left if not key.startswith(keys.statistics(""))]  # their names tell the time
    told += [(key, await pool.type(key), await pool.pttl(key) > 0) for key in left if len(key.rpartition(":")[2]) < 32]
    told += [len(left), [await pool.zcard(key) for key in left if await pool.type(key) == b"zset"]]
    return told


async def test_the_same_steps_leave_the_same(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Enqueue, claim, commit, retry, cancel: all answers, all records and all keys are the same on both."""
    real = await story(pool, run_jobs)
    with MemoryServer().installed():
        client = TaskPool.from_settings(RedisSettings())
        in_memory = await story(client, run_jobs)
        await close_client(client)
    assert in_memory == real
    assert len(real) > 30
