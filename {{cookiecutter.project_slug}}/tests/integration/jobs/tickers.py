"""What the worker processes of test_schedules_in_workers.py run: `arq integration.jobs.tickers.SETTINGS`.

Each test says in the environment by how many hours its clock is wrong, and where it is to stand still.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import time_machine

from {{ cookiecutter.__package }}.infrastructure.jobs import Schedule, cron, parse_redis_url
from {{ cookiecutter.__package }}.infrastructure.jobs.schedules.timetable import Ticker

if skew := os.environ.get("SKEW"):
    time_machine.travel(timedelta(hours=float(skew))).start()


async def notes(ctx: dict[str, Any]) -> None:
    """Leave a line: for which tick it runs."""
    with Path(os.environ["RUNS"]).open("a") as runs:  # noqa: ASYNC230 - a line is no wait
        runs.write(f"{ctx['job_id'].partition(':')[0]} {ctx['score']}\n")


def stand_still() -> None:
    print("stands still", flush=True)  # noqa: T201 - the test waits for it
    time.sleep(3600)


async def stopping(self: Ticker, steps: Any) -> Any:
    """Enqueue ticks as ever, but stand still before that, or after."""
    if os.environ["STOP"] == "before":
        stand_still()
    await run(self, steps)
    stand_still()


run = Ticker._run
if "STOP" in os.environ:
    Ticker._run = stopping  # type: ignore[method-assign]

#: For `arq integration.jobs.tickers.SETTINGS`.
SETTINGS: dict[str, Any] = {
    "redis_settings": parse_redis_url(os.environ.get("REDIS_URL", "redis://localhost:6379")),
    "functions": [notes],
    "schedules": [Schedule(notes, "interval", interval=1)],
    "cron_jobs": [cron(notes, name="cron", second=set(range(60)), microsecond=0)],
    "allow_no_persistence": True,
}
