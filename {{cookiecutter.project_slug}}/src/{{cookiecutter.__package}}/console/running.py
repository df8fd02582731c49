"""Running what a command does: its connections, and how its errors become exit statuses."""

from __future__ import annotations

import asyncio
import errno
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ..infrastructure.jobs import JobManager

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415

T = TypeVar("T")


class Status(IntEnum):
    """How a command ends."""

    DONE = 0
    REFUSED = 1
    """It did not come to that: not found, in the wrong state, failed, or somebody said no."""
    BAD_INPUT = 2
    UNAVAILABLE = 3
    """Redis does not answer, or the database of the audit log."""
    INTERRUPTED = 130
    """Ctrl-C."""


def run(work: Callable[[JobManager], Coroutine[Any, Any, T]]) -> T:
    """Run what a command does with jobs, in an event loop of its own, and close what it has opened.

    An error that people can do something about ends the command with one line and its exit status.
    """

    async def act() -> T:
        from ..infrastructure.database import close_database
        from ..infrastructure.jobs import logs
        from ..infrastructure.logging import configure_logging
        from ..infrastructure.settings import get_settings
        from ..infrastructure.tasks import close_task_pool, get_job_manager

        configure_logging(get_settings(), logs.PROCESSORS)
        try:
            return await work(await get_job_manager())
        finally:
            await close_task_pool()
            await close_database()

    return _finish(act())


def look(work: Callable[[JobManager], Coroutine[Any, Any, T]]) -> T:
    """Do as `run` for a command that only reads lists from Redis: it knows no tasks, and no database.

    Neither is loaded, which takes longer than all the rest. Arguments that are given by position are not hidden.
    """
    return _finish(glance(work))


async def glance(work: Callable[[JobManager], Coroutine[Any, Any, T]]) -> T:
    """Do what `look` does in an event loop that runs already."""
    from ..infrastructure.jobs import ArqQueueBackend, JobManager, TaskPool
    from ..infrastructure.settings import CacheSettings, read_settings

    backend = ArqQueueBackend(TaskPool.from_settings(read_settings(CacheSettings).connection()))
    try:
        return await work(JobManager(backend))
    finally:
        await backend.close()


def _finish(work: Coroutine[Any, Any, T]) -> T:
    from ..infrastructure.settings import ConfigurationError

    try:
        return asyncio.run(work)
    except ConfigurationError as error:
        fail(error, Status.BAD_INPUT)
    except KeyboardInterrupt:
        raise typer.Exit(Status.INTERRUPTED) from None
    except Exception as error:
        status, problem = explain(error)
        if status is None:
            raise
        fail(problem, status)


def explain(error: Exception) -> tuple[Status | None, str]:
    """Give the exit status that an error stands for, None if it is a bug, and what to say."""
    from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError

    from ..infrastructure.jobs import errors

    status, text = None, str(error)
    match error:
        case errors.QueueFull():
            status = Status.REFUSED
        case errors.QueueUnavailable():
            status = Status.UNAVAILABLE
        case (
            errors.InvalidJobError()
            | errors.InvalidPolicyError()
            | errors.InvalidQueryError()
            | errors.InvalidScheduleError()
            | errors.UnknownTaskError()
            | errors.UnserializableError()
        ):
            status = Status.BAD_INPUT
        case errors.JobError():
            status = Status.REFUSED
        case UnicodeEncodeError():
            status, text = Status.BAD_INPUT, f"{error.object!r} is no text in UTF-8"
        case OSError(errno=errno.EPIPE | errno.ENOSPC | errno.EIO):
            pass  # what is printed goes nowhere; a database would have said so itself
        case OperationalError() | ProgrammingError() | InterfaceError() | OSError():
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
            status, text = Status.UNAVAILABLE, f"the database cannot be used ({reason}); is it there, and migrated?"
    return status, text


def fail(problem: object, status: Status = Status.REFUSED) -> NoReturn:
    """Say what is wrong, on standard error, and end the command."""
    complain(problem)
    raise typer.Exit(status)


def complain(problem: object) -> None:
    """Say what is wrong, on standard error."""
    from .output import clean

    typer.echo(clean(str(problem)), err=True)
