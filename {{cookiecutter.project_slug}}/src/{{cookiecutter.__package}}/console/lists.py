"""Lists of jobs and dead letters: gathering their pages, and the columns of their tables."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from .output import Column, is_terminal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..infrastructure.jobs import HistoryRecord, JobRecord, Page

T = TypeVar("T")

#: Jobs on the largest page that there is.
PAGE = 1000

JOBS: list[Column[HistoryRecord]] = [
    Column("id", lambda job: job.job_id, whole=True),
    Column("task", lambda job: job.task),
    Column("status", lambda job: job.status),
    Column("queue", lambda job: job.queue, spare=2),
    Column("priority", lambda job: job.priority.name.lower(), more=True),
    Column("tries", lambda job: job.tries, spare=4),
    Column("enqueued", lambda job: job.enqueue_time, more=True),
    Column("due", lambda job: job.due_time, more=True),
    Column("started", lambda job: job.start_time, more=True),
    Column("finished", lambda job: job.finish_time, more=True),
    Column("when", lambda job: job.finish_time or job.start_time or job.due_time, people=True),
    Column("took", lambda job: seconds(job.duration), spare=3),
    Column("worker", lambda job: job.worker, more=True),
    Column("error", lambda job: job.error, cut=True, spare=1),
]

DEAD_LETTERS: list[Column[JobRecord]] = [
    Column("id", lambda job: job.job_id, whole=True),
    Column("task", lambda job: job.task),
    Column("queue", lambda job: job.queue, spare=2),
    Column("cause", lambda job: job.cause),
    Column("tries", lambda job: job.tries, spare=3),
    Column("died", lambda job: job.finish_time),
    Column("error", lambda job: job.error, cut=True, spare=1),
]


async def collect(
    read: Callable[..., Awaitable[Page[T]]], *, limit: int, cursor: str | None, filters: Mapping[str, Any]
) -> tuple[list[T], str | None]:
    """Read pages until there are `limit` records; give them, and the cursor of what is left."""
    found: list[T] = []
    while True:
        page = await read(limit=min(PAGE, limit - len(found)), cursor=cursor, **filters)
        found += page.jobs
        cursor = page.cursor
        if cursor is None or len(found) == limit:
            return found, cursor


def tell_more(cursor: str | None) -> None:
    """Tell people that a list goes on."""
    if cursor and is_terminal():
        typer.echo(f"There are more: --limit shows them, or --cursor {cursor}", err=True)


def seconds(value: float | None) -> timedelta | None:
    """Give seconds as the duration that they are."""
    return None if value is None else timedelta(seconds=value)
