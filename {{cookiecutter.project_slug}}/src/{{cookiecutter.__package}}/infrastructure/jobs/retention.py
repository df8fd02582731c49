"""How much is kept of jobs that have ended, and forgetting the rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from . import scripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from .worker import Worker

#: Seconds between two looks.
INTERVAL = 30.0


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits by number and by age; results have limits of their own, see `keep_result`."""

    #: Lines of the history for each of `success`, `failed` and `cancelled`; 0: there is no history.
    history: int = 100_000
    history_age: timedelta = timedelta(days=7)
    #: Dead letters; 0: none is kept.
    dead_letters: int = 10_000
    dead_letters_age: timedelta = timedelta(days=30)
    #: Whether workers count what jobs came to, see `Statistics`.
    statistics: bool = True


async def trim(client: Redis, retention: Retention) -> None:
    """Forget what is beyond the limits; a part at a time, so that Redis is never kept for long; and unused queues."""
    await scripts.script(client, "forget")()
    script = scripts.script(client, "trim")
    ages = (retention.history_age, retention.dead_letters_age)
    history_age, dead_letters_age = (round(age.total_seconds() * 1000) for age in ages)
    while await script(args=[retention.history, history_age, retention.dead_letters, dead_letters_age]):
        pass


async def keep_trimmed(worker: Worker) -> None:
    """Do so now and then (a service of the worker)."""
    while True:
        await trim(worker.pool, worker.retention)
        await asyncio.sleep(INTERVAL)
