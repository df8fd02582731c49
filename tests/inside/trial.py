"""Tasks that misbehave on purpose, added to the front door of a generated project as its owner would add them.

It runs inside the project, with this folder on PYTHONPATH and the name of the project's package in PACKAGE:
`arq trial.WorkerSettings` is a worker that knows these tasks, and `python -m trial` enqueues by the front door, one
request a line on its input and one answer a line on its output, both JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib import import_module
from typing import Any

front: Any = import_module(f"{os.environ['PACKAGE']}.infrastructure.tasks")
jobs: Any = import_module(f"{os.environ['PACKAGE']}.infrastructure.jobs")

WorkerSettings = front.WorkerSettings


async def fail_first(ctx: Any) -> str:
    """Fail in the first try."""
    if ctx["job_try"] == 1:
        raise ConnectionError("the first try fails")
    return "done"


async def ask_for_retry(ctx: Any) -> str:
    """Ask to be run again, by arq's own exception."""
    if ctx["job_try"] == 1:
        raise jobs.Retry(defer=0.1)
    return "done"


async def fail_always(ctx: Any) -> None:
    """Fail in every try, and count the tries."""
    await ctx["redis"].incr("trial:fail_always")
    raise ValueError("no try can succeed")


def block(ctx: Any, word: str) -> str:  # noqa: ARG001 - every task gets the context
    """Return what it is given; as a plain function it runs in a thread."""
    return word


async def count(ctx: Any, name: str) -> int:
    """Count how often it was run under a name."""
    return int(await ctx["redis"].incr(f"trial:{name}"))


async def tick(ctx: Any) -> None:
    """Count the ticks of the clock."""
    await ctx["redis"].incr("trial:ticks")


async def hold(ctx: Any, name: str, *, long: bool = False) -> int:
    """Run until the key `trial:release:<name>` is there, and give the number of the process."""
    if long:
        ctx["job_timeout"] = 60
    while not await ctx["redis"].exists(f"trial:release:{name}"):  # noqa: ASYNC110 - other processes are waited for
        await asyncio.sleep(0.02)
    return os.getpid()


async def meet(ctx: Any, processes: int) -> int:
    """Run until so many worker processes are running this, and give the number of the process."""
    ctx["job_timeout"] = 60
    await ctx["redis"].sadd("trial:met", os.getpid())
    while await ctx["redis"].scard("trial:met") < processes:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.02)
    return os.getpid()


WorkerSettings.functions += [fail_first, ask_for_retry, fail_always, block, count, hold, meet]
WorkerSettings.cron_jobs += [jobs.cron(tick, second=set(range(60)))]
WorkerSettings.retry_delay = 0.1
# A job whose worker is killed runs elsewhere after this.
WorkerSettings.lease = 3


async def answer(task: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Enqueue one job; an error is an answer too."""
    try:
        return {"job_id": await front.enqueue_task(task, **arguments)}
    except Exception as error:  # noqa: BLE001 - the tests look at it
        return {"error": f"{type(error).__name__}: {error}"}


async def serve() -> None:
    """Answer requests until the input ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(**json.loads(line))), flush=True)
    await front.close_task_pool()


if __name__ == "__main__":
    asyncio.run(serve())
