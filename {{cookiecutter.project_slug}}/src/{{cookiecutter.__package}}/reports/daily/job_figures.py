"""What the daily report says of jobs, counted from the engine's history."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from ...infrastructure.jobs import TERMINAL_STATUSES, JobStatus
from .service import span_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import date

    from ...infrastructure.jobs import HistoryRecord, JobHistory, Retention

#: How many of the slowest jobs are named.
SLOWEST = 5
#: Jobs that are read in one round trip.
PAGE = 1000


async def count_jobs(history: JobHistory, day: date, *, retention: Retention) -> dict[str, Any]:
    """Count the jobs that ended on a day in UTC, in constant memory.

    Returns:
        `run` (those that were started), `succeeded`, `failed`, `cancelled`; `slowest`, with task, id and seconds of
        each; `complete`: false if the history does not reach back to the beginning of the day any more.

    Raises:
        UnreportableDayError: the day is not over, or too long ago.
        QueueUnavailable: Redis does not answer.
    """
    since, until = span_of(day)
    ended, run = Counter[JobStatus](), 0
    slowest: list[HistoryRecord] = []
    async for job in _ended(history, since, until):
        ended[job.status] += 1
        if job.duration is not None:
            run += 1
            slowest = nlargest(SLOWEST, [*slowest, job], key=lambda job: job.duration or 0)
    # Asked last: what is missing by now may have been there when it was read, but not the other way round.
    complete = await _reaches_back(history, since, retention)
    return {
        "run": run,
        "succeeded": ended[JobStatus.SUCCESS],
        "failed": ended[JobStatus.FAILED],
        "cancelled": ended[JobStatus.CANCELLED],
        "slowest": [{"task": job.task, "job_id": job.job_id, "seconds": job.duration} for job in slowest],
        "complete": complete,
    }


async def _ended(history: JobHistory, since: datetime, until: datetime) -> AsyncIterator[HistoryRecord]:
    cursor = None
    while True:
        page = await history.list(TERMINAL_STATUSES, since=since, until=until, limit=PAGE, cursor=cursor)
        for job in page.jobs:
            yield job
        cursor = page.cursor
        if cursor is None:
            return


async def _reaches_back(history: JobHistory, since: datetime, retention: Retention) -> bool:
    """Tell whether all that ended since then is still there."""
    if since < datetime.now(UTC) - retention.history_age:
        return False
    for status, number in (await history.counts()).items():
        if number >= retention.history and not (await history.list(status, until=since, limit=1)).jobs:
            return False
    return True
