"""Enqueueing from anywhere: the calls that need neither a pool nor a manager, over the front door's `enqueue_task`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .errors import JobError

if TYPE_CHECKING:
    from datetime import timedelta

    from .records import JobPriority
    from .registry import TaskFunction

#: `enqueue_task` of the front door.
Enqueuer = Callable[..., Awaitable[str | None]]

_enqueuer: Enqueuer | None = None


def set_enqueuer(enqueue_task: Enqueuer | None) -> Enqueuer | None:
    """Let jobs be enqueued by this function, and give the one that did it before.

    It is called with the task, its arguments, and those options that were given, as `_job_id=...` and so on.
    """
    global _enqueuer
    before, _enqueuer = _enqueuer, enqueue_task
    return before


def enqueuer(task: object) -> Enqueuer:
    """Give the function that enqueues jobs.

    Args:
        task: what the error names.

    Raises:
        JobError: the front door, which enqueues, has not been imported.
    """
    if _enqueuer is None:
        problem = "nothing enqueues yet; import the front door, infrastructure.tasks, before the first call"
        raise JobError(f"{task!r}: {problem}")
    return _enqueuer


def given(**options: Any) -> dict[str, Any]:
    """Give the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


async def enqueue(
    task: str | TaskFunction,
    /,
    *args: Any,
    priority: JobPriority | None = None,
    queue: str | None = None,
    **kwargs: Any,
) -> str | None:
    """Enqueue a job and give its id; None where the task is unique and the same job is there.

    A task with a parameter that is called `priority` or `queue` gets it by position, or by `enqueue_task`.

    Args:
        task: a task's name, its dotted import path, or the task itself.
        args: positional arguments of the task, after the context.
        priority: how urgent it is; by default as the task says, or NORMAL.
        queue: the queue; by default the task's own, or `default`.
        kwargs: named arguments of the task.

    Raises:
        JobError: see `enqueue_task`.
    """
    options = given(_priority=priority, _queue=queue)
    return await enqueuer(task)(task, *args, **options, **kwargs)


async def enqueue_delayed(
    task: str | TaskFunction,
    /,
    *args: Any,
    delay: float | timedelta,
    priority: JobPriority | None = None,
    queue: str | None = None,
    **kwargs: Any,
) -> str | None:
    """Enqueue a job that runs after `delay` seconds, or a timedelta; see `enqueue`."""
    options = given(_defer_by=delay, _priority=priority, _queue=queue)
    return await enqueuer(task)(task, *args, **options, **kwargs)


async def enqueue_in(
    delay: float | timedelta,
    task: str | TaskFunction,
    /,
    *args: Any,
    priority: JobPriority | None = None,
    queue: str | None = None,
    **kwargs: Any,
) -> str | None:
    """Enqueue a job that runs after so many seconds, or a timedelta: `enqueue_delayed` with the time first."""
    return await enqueue_delayed(task, *args, delay=delay, priority=priority, queue=queue, **kwargs)
