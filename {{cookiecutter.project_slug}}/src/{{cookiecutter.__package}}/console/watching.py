"""Watching a job to its end."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from .output import clean, console, is_terminal, jsonable, plain, print_line, span
from .running import Status, complain, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..infrastructure.jobs import JobManager, JobRecord

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415

#: Seconds between two looks at a job's progress; its end is told at once.
PERIOD = 0.5
#: Seconds for which Redis may be away in the middle.
PATIENCE = 30.0


async def watch(manager: JobManager, job_id: str, show: Callable[[JobRecord], None]) -> JobRecord:
    """Show a job, or a workflow, whenever it has changed, and give its last record; secrets are hidden.

    Raises:
        JobNotFoundError: nothing is known of it, or its result is not kept.
        QueueUnavailable: Redis does not answer, at the beginning or for long.
    """
    from ..infrastructure.jobs import TERMINAL_STATUSES, JobNotFoundError, QueueUnavailable
    from ..infrastructure.jobs.inspection import without_secrets

    pool = await manager.connect()
    seen: JobRecord | None = None
    answered = time.monotonic()
    async with pool.events.of(job_id, PERIOD) as news:
        while True:
            try:
                record = await manager.get_status(job_id)
            except QueueUnavailable:
                if seen is None or time.monotonic() - answered > PATIENCE:
                    raise
            else:
                answered = time.monotonic()
                if record is None:
                    raise JobNotFoundError(job_id)
                record = without_secrets(record, pool.registry)
                if record != seen:
                    show(record)
                if record.status in TERMINAL_STATUSES:
                    return record
                seen = record
            await news.wait()


def watch_to_end(job_id: str, show: Callable[[JobRecord], None] | None = None) -> JobRecord:
    """Watch a job, and give its last record; Ctrl-C ends the command, and the job goes on.

    Args:
        job_id: the job, or the workflow.
        show: is given each record; by default a progress bar on a terminal, and a line for each change elsewhere.
    """
    try:
        with nullcontext(show) if show else _shown() as show_record:
            return run(lambda manager: watch(manager, job_id, show_record))
    except typer.Exit as error:
        if error.exit_code == Status.INTERRUPTED:
            complain(f"{job_id}: goes on, but is no longer watched")
        raise


def end_as(record: JobRecord, *, quiet: bool) -> None:
    """End the command as a job has ended, and say so unless `quiet`."""
    succeeded = record.status == "success"
    if not quiet:
        took = f" after {span(timedelta(seconds=record.duration))}" if record.duration is not None else ""
        result = record.error or ("" if record.result is None else plain(jsonable(record.result)))
        line = f"{record.job_id}: {record.status}{took}{': ' if result else ''}{result}"
        typer.echo(clean(line), err=not succeeded)
    raise typer.Exit(Status.DONE if succeeded else Status.REFUSED)


def _shown() -> AbstractContextManager[Callable[[JobRecord], None]]:
    return _bar() if is_terminal() and sys.stderr.isatty() else nullcontext(_print_change)


def _print_change(record: JobRecord) -> None:
    progress = record.progress
    news: list[Any] = [record.error, record.result, progress and progress.message]
    news += [attempt.error for attempt in record.attempts[-1:]]
    what = next((each for each in news if each is not None), None)
    numbers = (progress.done, progress.total) if progress else (None, None)
    print_line(datetime.now(UTC), record.job_id, record.status, record.tries, *numbers, what)


@contextmanager
def _bar() -> Iterator[Callable[[JobRecord], None]]:
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        row = bar.add_task("", total=None)

        def show(record: JobRecord) -> None:
            progress = record.progress
            message = f" {progress.message}" if progress and progress.message else ""
            bar.update(
                row,
                description=escape(clean(f"{record.task} {record.status}{message}", keep="")),
                completed=progress.done if progress else 0,
                total=progress.total if progress else None,
            )

        yield show
