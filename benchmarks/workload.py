"""The jobs that all peers run. Each writes itself into the ledger first; what it does then is the same for all."""

from __future__ import annotations

import asyncio
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contract import CALLERS, LEDGER
from benchmarks.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Seconds that the task `pause` waits, as a short call to another service would.
PAUSE = 0.005


@cache
def ledger() -> Ledger:
    """Give the ledger of this trial."""
    return Ledger(Path(os.environ[LEDGER]))


def noop(job: int) -> None:
    """Do nothing."""
    ledger().start(job)


def pause(job: int) -> None:
    """Wait a little, blocking the thread."""
    ledger().start(job)
    time.sleep(PAUSE)


async def noop_async(job: int) -> None:
    """Do nothing."""
    ledger().start(job)


async def pause_async(job: int) -> None:
    """Wait a little, leaving the event loop to others."""
    ledger().start(job)
    await asyncio.sleep(PAUSE)


async def concurrently(call: Callable[[int], Awaitable[object]], jobs: range) -> None:
    """Make many calls, some at a time: the bulk way of async peers that have no call for it."""
    waiting = iter(jobs)

    async def caller() -> None:
        for job in waiting:
            await call(job)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
