"""The part of the demo that runs inside the generated project: enqueues jobs by its front door, and follows them.

    python demo_driver.py <package> <number of jobs>

Prints one JSON object a line: `{"ready": true}` before the first job is enqueued and `{"enqueued": seconds}` after the
last, then each job whenever something about it has changed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Jobs run in about the order in which they are due, so only so many of those that have not ended are looked at.
WINDOW = 120
#: Seconds between two looks.
PAUSE = 0.1
ENDED = {"success", "failed", "cancelled"}
#: Every so many jobs, one that takes a while, and one that is due later.
SLOW_EVERY, LATER_EVERY = 50, 40

Call = dict[str, Any]


def plan(count: int) -> Iterator[Call]:
    """Give the arguments of each job: most are quick, some take up to a second, some are due in up to three."""
    for number in range(1, count + 1):
        call: Call = {"message": f"job {number}"}
        if number % SLOW_EVERY == 0:
            call["seconds"] = 0.25 * (1 + number // SLOW_EVERY % 4)
        elif number % LATER_EVERY == 0:
            call["_defer_by"] = 0.5 * (1 + number // LATER_EVERY % 6)
        yield call


def describe(call: Call, info: Any) -> dict[str, Any]:
    """Give what the demo shows of a job; its wait counts from when it was due."""
    wait = duration = None
    if info.finish_time:
        wait = (info.start_time - info.enqueue_time).total_seconds() - call.get("_defer_by", 0)
        duration = (info.finish_time - info.start_time).total_seconds()
    return {
        "job": call["message"],
        "status": str(info.status),
        "tries": info.tries,
        "wait": wait and max(0, wait),
        "duration": duration,
        "result": info.result if info.error is None else info.error,
    }


def tell(**facts: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(facts), flush=True)


async def follow(pool: Any, jobs: list[tuple[str, Call]]) -> None:
    """Tell of each job whenever it has changed, until all have ended."""
    seen: dict[str, dict[str, Any]] = {}

    async def has_ended(job_id: str, call: Call) -> bool:
        job = await pool.job(job_id)
        facts = describe(call, await job.info())
        if seen.get(job_id) != facts:
            seen[job_id] = facts
            tell(**facts)
        return facts["status"] in ENDED

    while jobs:
        jobs = [job for job in jobs[:WINDOW] if not await has_ended(*job)] + jobs[WINDOW:]
        await asyncio.sleep(PAUSE)


async def main(package: str, count: int) -> None:
    """Enqueue the jobs, then follow them."""
    tasks: Any = import_module(f"{package}.infrastructure.tasks")
    try:
        calls = list(plan(count))
        tell(ready=True)
        start = time.perf_counter()
        ids = [await tasks.enqueue_task("example_task", **call) for call in calls]
        tell(enqueued=time.perf_counter() - start)
        await follow(await tasks.get_task_pool(), list(zip(ids, calls, strict=True)))
    finally:
        await tasks.close_task_pool()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
