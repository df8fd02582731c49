"""What the worker processes of test_limits_in_workers.py run: `arq integration.jobs.limited.SETTINGS`.

Each limited task counts in Redis who runs; a job that is run again because its worker was killed counts once.
"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from typing import Any

from {{ cookiecutter.__package }}.infrastructure.jobs import parse_redis_url
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import RateLimit
from {{ cookiecutter.__package }}.infrastructure.jobs.retries import RetryConfig
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task

#: Who runs, how many did at each start, and who has begun, in order.
RUNNING, COUNTS, BEGUN = "test:running", "test:counts", "test:begun"
#: A job holds on for as long as this key is not there.
GATE = "test:gate"
#: Seconds between two looks whether it is.
LOOK = 0.02
#: Jobs of `rated` that may start within any span of so many seconds.
JOBS, PER = 5, 0.1


async def enter(ctx: dict[str, Any]) -> None:
    """Count this job among those that run."""
    async with ctx["redis"].pipeline(transaction=True) as pipe:
        pipe.sadd(RUNNING, ctx["job_id"])
        pipe.scard(RUNNING)
        pipe.rpush(BEGUN, ctx["job_id"])
        _, count, _ = await pipe.execute()
    await ctx["redis"].rpush(COUNTS, count)


async def leave(ctx: dict[str, Any]) -> int:
    await ctx["redis"].srem(RUNNING, ctx["job_id"])
    return os.getpid()


@task(concurrency=3)
async def limited(ctx: dict[str, Any], seconds: float = 0) -> int:
    """Run beside two others at most."""
    await enter(ctx)
    await asyncio.sleep(seconds)
    return await leave(ctx)


@task(concurrency=3)
async def holds(ctx: dict[str, Any]) -> int:
    """Run, beside two others at most, until the gate is open; what is cancelled runs no more."""
    await enter(ctx)
    try:
        while True:
            if await ctx["redis"].exists(GATE):
                return os.getpid()
            await asyncio.sleep(LOOK)
    finally:
        await leave(ctx)


@task(concurrency=3, retry=RetryConfig(max_tries=2, delay=timedelta(0)))
async def fails(ctx: dict[str, Any]) -> int:
    """Fail in the first try."""
    await enter(ctx)
    await leave(ctx)
    if ctx["job_try"] == 1:
        raise ValueError("not yet")
    return os.getpid()


@task(rate_limit=RateLimit(JOBS, per=PER), retry=RetryConfig(max_tries=2, delay=timedelta(0)))
async def rated(ctx: dict[str, Any]) -> None:
    """Fail in the first try, for the second is a start as well."""
    if ctx["job_try"] == 1:
        raise ValueError("not yet")


async def free(ctx: dict[str, Any]) -> int:  # noqa: ARG001
    """Have no limit."""
    return os.getpid()


async def startup(_ctx: dict[str, Any]) -> None:
    print("up")  # noqa: T201 - the tests read it


SETTINGS: dict[str, Any] = {
    "redis_settings": parse_redis_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")),
    "functions": [limited, holds, fails, rated, free],
    "on_startup": startup,
    "lease": 2,
    "retry_delay": 0,
    "allow_no_persistence": True,
    **json.loads(os.environ.get("WORKER", "{}")),
}
