"""What the worker processes of test_recovery.py run: `arq integration.jobs.crashers.SETTINGS`.

Each test says in the environment how its workers differ from the settings below. Every run of a task leaves a line in
a file, which is there whatever becomes of Redis or of the process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from {{ cookiecutter.__package }}.infrastructure.jobs import parse_redis_url

#: Seconds between two looks whether a gate is open.
LOOK = 0.01


def note(ctx: dict[str, Any]) -> int:
    """Leave a line: which job began to run in which process; give the number of lines that it has left by now."""
    with Path(os.environ["RUNS"]).open("a+") as runs:
        runs.write(f"{ctx['job_id']} {os.getpid()}\n")
        runs.seek(0)
        return sum(line.startswith(f"{ctx['job_id']} ") for line in runs)


async def naps(ctx: dict[str, Any], seconds: float) -> int:
    note(ctx)
    await asyncio.sleep(seconds)
    return os.getpid()


async def waits(ctx: dict[str, Any], *gates: str) -> int:
    """Wait for a file to appear, each run for one of its own; a run for which there is none ends at once."""
    gate = dict(enumerate(gates, start=1)).get(note(ctx))
    while gate and not os.path.exists(gate):  # noqa: ASYNC110, ASYNC240, PTH110 - another process makes it
        await asyncio.sleep(LOOK)
    return os.getpid()


async def blocks(ctx: dict[str, Any], seconds: float) -> int:
    note(ctx)
    time.sleep(seconds)  # noqa: ASYNC251 - the mistake that is tested
    return os.getpid()


def sleeps(ctx: dict[str, Any], seconds: float) -> int:
    note(ctx)
    time.sleep(seconds)
    return os.getpid()


async def dies(ctx: dict[str, Any]) -> None:
    note(ctx)
    os._exit(1)


async def counts(ctx: dict[str, Any], results: list[Any]) -> int:
    note(ctx)
    return len(results)


async def startup(_ctx: dict[str, Any]) -> None:
    print("up")  # noqa: T201 - the tests read it
    logging.getLogger("arq").setLevel(os.environ.get("LOG", "INFO"))


async def shutdown(_ctx: dict[str, Any]) -> None:
    print("on_shutdown has run")  # noqa: T201 - the tests read it


TASKS = {task.__name__: task for task in (naps, waits, blocks, sleeps, dies, counts)}
OWN: dict[str, Any] = json.loads(os.environ.get("WORKER", "{}"))
SETTINGS: dict[str, Any] = {
    "redis_settings": parse_redis_url(os.environ.get("REDIS_URL", "redis://")),
    "on_startup": startup,
    "on_shutdown": shutdown,
    "lease": 2,
    "max_tries": 3,
    "health_check_interval": 1,
    **OWN,
    "functions": [TASKS[name] for name in OWN.get("functions", TASKS)],
}
