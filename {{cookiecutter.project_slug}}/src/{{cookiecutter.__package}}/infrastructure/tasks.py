"""The front door of background work: the tasks, the worker's settings, and the calls that enqueue.

To add a task: write a function below (or beside its service, and import it here), list it in
`WorkerSettings.functions`, and call `await enqueue_task("its_name", ...)` from anywhere.

    async def my_task(ctx: dict[str, Any], param1: str, param2: int) -> str:
        return f"{param1} {param2}"

A task calls a service; it holds no logic of its own. Any exception, and any try that takes too long, is retried up to
`max_tries`; so a task must bear being run twice. See docs/background-tasks.md.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..accounts.tasks import send_welcome_email
# {% if cookiecutter.cache_backend == "falkordb" %}
from ..social.tasks import rebuild_graph, sync_follow
# {% endif %}
from . import mail
from .cache import SessionManager, close_cache, get_cache
from .database import close_database
# {% if cookiecutter.cache_backend == "falkordb" %}
from .graph import close_graph
# {% endif %}
from .jobs import RedisSettings, TaskPool, TaskRegistry, close_client, cron
from .logging import configure_logging
from .settings import get_settings

if TYPE_CHECKING:
    from datetime import datetime

    from .jobs.task import TaskFunction


# Tasks


async def example_task(ctx: dict[str, Any], message: str, seconds: float = 0) -> str:
    """Wait for some seconds, then give the message back: something to try the queue with."""
    await asyncio.sleep(seconds)
    return f"{message} (try {ctx['job_try']})"


async def cleanup_expired_sessions(ctx: dict[str, Any]) -> int:  # noqa: ARG001 - every task gets the context
    """Delete the sign-in sessions whose time is over; give their number."""
    return await SessionManager(get_cache()).delete_expired()


async def send_email(ctx: dict[str, Any], to: str, subject: str, body: str) -> None:  # noqa: ARG001
    """Send one plain-text message."""
    await mail.send(to=to, subject=subject, body=body)


# The worker


async def startup(ctx: dict[str, Any]) -> None:  # noqa: ARG001
    """Prepare the worker's process; what is put into `ctx` here, every task finds in its context."""
    configure_logging(get_settings())


async def shutdown(ctx: dict[str, Any]) -> None:  # noqa: ARG001
    """Close what tasks have opened."""
    # {% if cookiecutter.cache_backend == "falkordb" %}
    await close_graph()
    # {% endif %}
    await close_cache()
    await close_task_pool()
    await close_database()


def get_redis_settings() -> RedisSettings:
    """Give the address of Redis in the form that arq takes."""
    return get_settings().redis.connection()


class WorkerSettings:
    """What `arq <package>.infrastructure.tasks.WorkerSettings` runs."""

    functions = [
        example_task,
        cleanup_expired_sessions,
        send_email,
        send_welcome_email,
        # {% if cookiecutter.cache_backend == "falkordb" %}
        sync_follow,
        rebuild_graph,
        # {% endif %}
    ]
    cron_jobs = [
        cron(cleanup_expired_sessions, hour=3, minute=0),
    ]
    on_startup = startup
    on_shutdown = shutdown
    redis_settings = get_redis_settings()
    allow_eviction = get_settings().redis.allow_eviction
    allow_no_persistence = get_settings().redis.allow_no_persistence
    max_payload = get_settings().jobs.max_payload
    max_jobs = 10  # concurrent jobs per worker
    job_timeout = 300  # seconds
    keep_result = 3600  # seconds
    poll_delay = 0.5  # seconds; fallback poll, for enqueueing wakes a worker at once
    max_tries = 3
    retry_delay = timedelta(seconds=10)  # first retry; doubles, with jitter
    lease = 15  # seconds after which a killed worker's jobs run elsewhere
    job_completion_wait = 30  # seconds that a stopping worker gives to running jobs


# Enqueueing

_pools: dict[asyncio.AbstractEventLoop, TaskPool] = {}


@lru_cache
def get_task_registry() -> TaskRegistry:
    """Give the tasks that workers of this code run."""
    return TaskRegistry(WorkerSettings.functions, WorkerSettings.cron_jobs)


async def get_task_pool() -> TaskPool:
    """Give the connection to the queue, one for the process; it connects at its first command."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        _pools[loop] = TaskPool.from_settings(get_redis_settings(), max_payload=get_settings().jobs.max_payload)
    return _pools[loop]


async def close_task_pool() -> None:
    """Close the connection, if there is one."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool:
        await close_client(pool)


async def enqueue_task(
    task: str | TaskFunction,
    *args: Any,
    _job_id: str | None = None,
    _queue: str = "default",
    _defer_by: float | timedelta | None = None,
    _defer_until: datetime | None = None,
    _expires: float | timedelta | None = None,
    **kwargs: Any,
) -> str | None:
    """Enqueue a job and give its id.

    Args:
        task: a task's name, its dotted import path, or the task itself.
        args: positional arguments of the task, after the context.
        _job_id: an id of your own; None is returned while a job with it waits, runs, or has its result kept.
        _queue: the queue; workers serve `default` unless told otherwise.
        _defer_by: seconds, or a timedelta, to wait before running it.
        _defer_until: when to run it.
        _expires: seconds, or a timedelta, after which a job that has not started is dropped; by default never.
        kwargs: named arguments of the task.

    Raises:
        UnknownTaskError: no such task; the message suggests near misses.
        InvalidJobError: the arguments do not fit the task, or an option does not exist.
        UnserializableError: an argument cannot be stored.
        PayloadTooLargeError: the arguments are larger than JOBS_MAX_PAYLOAD.
        QueueUnavailable: Redis does not answer.
    """
    registry = get_task_registry()
    name = registry.name_of(task)
    registry.check_call(name, args, kwargs)
    pool = await get_task_pool()
    return await pool.enqueue(
        name,
        args,
        kwargs,
        job_id=_job_id,
        queue=_queue,
        defer_by=_defer_by,
        defer_until=_defer_until,
        expires=_expires,
    )


__all__ = [
    "WorkerSettings",
    "cleanup_expired_sessions",
    "close_task_pool",
    "enqueue_task",
    "example_task",
    "get_redis_settings",
    "get_task_pool",
    "get_task_registry",
    "send_email",
]
