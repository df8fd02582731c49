"""`overview` and `audit`: how jobs fare, and who has done what to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as shared  # noqa: TC001 - typer reads them
from .lists import seconds, tell_more
from .output import Column, jsonable, print_json, print_table, shown
from .running import look, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from ..infrastructure.audit import AuditEntry
    from ..infrastructure.jobs import JobManager
    from ..infrastructure.jobs.statistics import Overview, Percentiles, Period

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415


PERCENTILES = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Row:
    """What jobs of one task, or of all, came to within a period."""

    period: str
    task: str
    counts: Any
    wait: Percentiles | None = None
    run: Percentiles | None = None
    #: Jobs that ended, in a minute.
    rate: float | None = None


def _time(row: Row, which: str, number: str) -> timedelta | None:
    return seconds(getattr(getattr(row, which), number, None))


def _together(row: Row, which: str) -> str | None:
    times = [_time(row, which, number) for number in PERCENTILES]
    return " / ".join(map(shown, times)) if any(times) else None


def _percentiles(which: str) -> list[Column[Row]]:
    return [
        *(Column(f"{which} {number}", partial(_time, which=which, number=number), more=True) for number in PERCENTILES),
        Column(f"{which} {'/'.join(PERCENTILES)}", partial(_together, which=which), people=True),
    ]


OVERVIEW: list[Column[Row]] = [
    Column("last", lambda row: row.period),
    Column("task", lambda row: row.task),
    Column("succeeded", lambda row: row.counts.succeeded),
    Column("failed", lambda row: row.counts.failed),
    Column("cancelled", lambda row: row.counts.cancelled, spare=3),
    Column("retried", lambda row: row.counts.retried, spare=2),
    Column("a minute", lambda row: row.rate, spare=1),
    *_percentiles("wait"),
    *_percentiles("run"),
]
AUDIT: list[Column[AuditEntry]] = [
    Column("id", lambda entry: str(entry.id), spare=2),
    Column("time", lambda entry: entry.time),
    Column("actor", lambda entry: entry.actor),
    Column("action", lambda entry: entry.action),
    Column("target", lambda entry: entry.target),
    Column("outcome", lambda entry: entry.outcome),
    Column("details", lambda entry: entry.details or None, spare=3),
    Column("error", lambda entry: entry.error, cut=True, spare=1),
]


def overview(*, as_json: shared.AsJson = False) -> None:
    """Show how many jobs ended in the last hour and day, how they ended, and how long they waited and ran, by task.

    p95: 95 of 100 were as short as that. A wait is from when a job was due to its start.
    """
    found = look(lambda manager: manager.overview())
    if as_json:
        print_json({name: {**jsonable(period), "throughput": period.throughput} for name, period in _periods(found)})
        return
    rows = [row for name, period in _periods(found) for row in _rows(name, period)]
    print_table(OVERVIEW, rows, nothing="no job has ended in the last day")


def audit(
    *,
    action: Annotated[str | None, typer.Option(help="Only of this action, such as job.retry.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only by this address, or cli:NAME@HOST.")] = None,
    target: Annotated[str | None, typer.Option(help="Only what was done to this, such as a job's id.")] = None,
    since: shared.Since = None,
    until: shared.Until = None,
    limit: shared.Limit = 50,
    cursor: Annotated[
        int | None, typer.Option(min=1, max=999_999_999, help="Go on where a list has stopped, as its JSON says.")
    ] = None,
    as_json: shared.AsJson = False,
) -> None:
    """List what was done to jobs, queues, schedules and workers, and by whom, the latest first."""
    filters = {"action": action, "actor": actor, "target": target, "since": since, "until": until}
    found = run(lambda manager: _entries(manager, limit=limit + 1, before=cursor, **filters))
    entries = found[:limit]
    rest = str(entries[-1].id) if len(found) > limit else None
    if as_json:
        print_json({"entries": [_described(entry) for entry in entries], "cursor": rest})
        return
    print_table(AUDIT, entries, nothing="nothing was done")
    tell_more(rest)


async def _entries(_manager: JobManager, **filters: Any) -> Sequence[AuditEntry]:
    from ..infrastructure.audit import list_entries
    from ..infrastructure.database import get_session_context

    async with get_session_context() as session:
        return await list_entries(session, **filters)


def _described(entry: AuditEntry) -> dict[str, Any]:
    return {column.key: getattr(entry, column.key) for column in entry.__table__.columns}


def _periods(found: Overview) -> list[tuple[str, Period]]:
    return [("hour", found.hour), ("day", found.day)]


def _rows(name: str, period: Period) -> Iterator[Row]:
    if period.tasks:
        yield Row(name, "(all)", period, rate=60 * period.throughput)
    for task in period.tasks:
        yield Row(name, task.task, task, task.wait, task.run)
