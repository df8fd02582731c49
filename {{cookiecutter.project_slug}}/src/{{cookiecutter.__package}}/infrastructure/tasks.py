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

from ..accounts import tasks as accounts
# {% if cookiecutter.include_examples == "yes" %}
from ..billing import tasks as billing
from ..reports import tasks as reports
# {% endif %}
# {% if cookiecutter.cache_backend == "falkordb" %}
from ..social import tasks as social
# {% endif %}
from .cache import SessionManager, close_cache, get_cache
from .database import Base, close_database, get_engine
# {% if cookiecutter.cache_backend == "falkordb" %}
from .graph import close_graph
# {% endif %}
from .jobs import ArqQueueBackend, JobManager, RedisSettings, TaskPool, TaskRegistry, close_client, cron, logs
from .jobs.backends import set_worker_settings
from .jobs.enqueueing import enqueue, enqueue_delayed, enqueue_in, set_enqueuer
from .jobs.fallback import Dispatcher
from .jobs.outbox import outbox_table
from .jobs.registry import with_scheduled
from .logging import configure_logging
from .mail_tasks import send_email, send_notification_email
from .per_loop import PerLoop
from .settings import get_settings

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from .jobs import JobPriority, QueueBackend, Schedule, Worker
    from .jobs.outbox import Outbox
    from .jobs.policy import Unique
    from .jobs.records import JobRecord
    from .jobs.registry import TaskFunction


# Tasks


async def example_task(ctx: dict[str, Any], message: str, seconds: float = 0) -> str:
    """Wait for some seconds, then give the message back: something to try the queue with."""
    await asyncio.sleep(seconds)
    return f"{message} (try {ctx['job_try']})"


async def cleanup_expired_sessions(ctx: dict[str, Any]) -> int:  # noqa: ARG001 - every task gets the context
    """Delete the sign-in sessions whose time is over; give their number."""
    return await SessionManager(get_cache()).delete_expired()


# The worker


async def startup(ctx: dict[str, Any]) -> None:  # noqa: ARG001
    """Prepare the worker's process; what is put into `ctx` here, every task finds in its context."""
    configure_logging(get_settings(), logs.PROCESSORS)


async def shutdown(ctx: dict[str, Any]) -> None:  # noqa: ARG001
    """Close what tasks have opened."""
    # {% if cookiecutter.cache_backend == "falkordb" %}
    await close_graph()
    # {% endif %}
    await close_cache()
    await close_task_pool()
    await close_database()


async def relay_outbox(_worker: Worker) -> None:
    """Publish what is in the outbox, for as long as the worker lives."""
    await get_outbox().relay.run()


def get_redis_settings() -> RedisSettings:
    """Give the address of Redis in the form that arq takes."""
    return get_settings().redis.connection()


class WorkerSettings:
    """What `arq <package>.infrastructure.tasks.WorkerSettings` runs."""

    functions = [
        example_task,
        cleanup_expired_sessions,
        send_email,
        send_notification_email,
        *accounts.TASKS,
        # {% if cookiecutter.include_examples == "yes" %}
        *billing.TASKS,
        *reports.TASKS,
        # {% endif %}
        # {% if cookiecutter.cache_backend == "falkordb" %}
        *social.TASKS,
        # {% endif %}
    ]
    cron_jobs = [cron(cleanup_expired_sessions, hour=3, minute=0)]
    schedules: list[Schedule] = [  # in UTC, unless one says `timezone=`
        # {% if cookiecutter.include_examples == "yes" %}
        *billing.SCHEDULES,
        *reports.SCHEDULES,
        # {% endif %}
    ]
    services = [relay_outbox]
    on_startup = startup
    on_shutdown = shutdown
    queues = get_settings().worker.queues
    redis_settings = get_redis_settings()
    allow_eviction = get_settings().redis.allow_eviction
    allow_no_persistence = get_settings().redis.allow_no_persistence
    max_payload = get_settings().jobs.max_payload
    max_queue_length = get_settings().jobs.max_queue_length
    log_arguments = log_results = get_settings().jobs.log_arguments
    retention = get_settings().jobs.retention()
    max_jobs = 10  # concurrent jobs per worker
    job_timeout = 300  # seconds
    keep_result = 3600  # seconds
    poll_delay = 0.5  # seconds; fallback poll, for enqueueing wakes a worker at once
    max_tries = 3
    retry_delay = timedelta(seconds=10)  # first retry; doubles, with jitter
    lease = 15  # seconds after which a killed worker's jobs run elsewhere
    job_completion_wait = 30  # seconds that a stopping worker gives to running jobs


# Enqueueing

#: Jobs that wait in the database, see `jobs/outbox.py`.
JOB_OUTBOX = outbox_table(Base.metadata)


@lru_cache
def get_task_registry() -> TaskRegistry:
    """Give the tasks that workers of this code run."""
    return TaskRegistry(with_scheduled(WorkerSettings.functions, WorkerSettings.schedules), WorkerSettings.cron_jobs)


@PerLoop
def get_dispatcher() -> Dispatcher:
    """Give what enqueues jobs, one for the process; it connects when it is first needed."""
    settings = get_settings().jobs
    limits = {"max_payload": settings.max_payload, "max_queue_length": settings.max_queue_length}
    pool = TaskPool.from_settings(get_redis_settings(), registry=get_task_registry(), **limits)
    return Dispatcher.of(
        pool, JOB_OUTBOX, engine=get_engine, fallback=settings.fallback, worker_settings=WorkerSettings
    )


async def get_task_pool() -> TaskPool:
    """Give the connection to the queue, one for the process; it connects at its first command."""
    return get_dispatcher().pool


def get_outbox() -> Outbox:
    """Give the jobs that wait in the database."""
    return get_dispatcher().outbox


async def get_queue() -> QueueBackend:
    """Give what keeps the jobs and takes new ones, as a `JobManager` wants it."""
    dispatcher = get_dispatcher()
    return ArqQueueBackend(dispatcher.pool, dispatcher=dispatcher)


async def get_job_manager() -> JobManager:
    """Give what enqueues, schedules, combines and controls jobs."""
    return JobManager(await get_queue())


async def close_task_pool() -> None:
    """Close the connection, if there is one; what is being published from the outbox comes to its end first."""
    dispatcher = get_dispatcher.take()
    if dispatcher:
        await dispatcher.outbox.relay.settle()
        await close_client(dispatcher.pool)


async def enqueue_task(
    task: str | TaskFunction,
    /,
    *args: Any,
    _job_id: str | None = None,
    _queue: str | None = None,
    _priority: JobPriority | None = None,
    _defer_by: float | timedelta | None = None,
    _defer_until: datetime | None = None,
    _expires: float | timedelta | None = None,
    _unique: Unique | timedelta | None = None,
    _idempotency_key: str | None = None,
    _session: AsyncSession | None = None,
    **kwargs: Any,
) -> str | None:
    """Enqueue a job and give its id.

    While Redis is away, JOBS_FALLBACK says what is done instead: the job is run in place, waits in the outbox, or the
    call raises.

    Args:
        task: a task's name, its dotted import path, or the task itself.
        args: positional arguments of the task, after the context.
        _job_id: an id of your own; None is returned while a job with it waits, runs, or has its result kept.
        _queue: the queue; by default the task's own, or `default`.
        _priority: how urgent it is; by default as the task says, or NORMAL.
        _defer_by: seconds, or a timedelta, to wait before running it.
        _defer_until: when to run it.
        _expires: seconds, or a timedelta, after which a job that has not started is dropped; by default never.
        _unique: for how long it keeps out others with the same arguments, which give None; by default as the task says.
        _idempotency_key: a text of your own; the same text again gives the id of the first job.
        _session: enqueue it if and when this session's transaction is committed. Whether an id or a key is taken shows
            only then: the id is given at once.
        kwargs: named arguments of the task.

    Raises:
        UnknownTaskError: no such task; the message suggests near misses.
        InvalidJobError: the arguments do not fit the task, or an option does not exist or makes no sense.
        InvalidPolicyError: there is no such priority, or way to be unique.
        UnserializableError: an argument cannot be stored.
        PayloadTooLargeError: the arguments are larger than JOBS_MAX_PAYLOAD.
        QueueUnavailable: Redis does not answer, and the job is nowhere else.
    """
    registry = get_task_registry()
    name = registry.name_of(task)
    registry.check_call(name, args, kwargs)
    dispatcher = get_dispatcher()
    message = dispatcher.pool.prepare(
        name,
        args,
        kwargs,
        job_id=_job_id,
        queue=_queue,
        priority=_priority,
        defer_by=_defer_by,
        defer_until=_defer_until,
        expires=_expires,
        unique=_unique,
        idempotency_key=_idempotency_key,
    )
    if _session is None:
        return await dispatcher.dispatch(message)
    await dispatcher.outbox.add(message, _session)
    return message.job_id


async def find_job(job_id: str) -> JobRecord | None:
    """Read all that is known of a job; see `JobManager.get_status`."""
    return await (await get_job_manager()).get_status(job_id)


set_enqueuer(enqueue_task)
set_worker_settings(WorkerSettings)

__all__ = [
    "JOB_OUTBOX",
    "WorkerSettings",
    "cleanup_expired_sessions",
    "close_task_pool",
    "enqueue",
    "enqueue_delayed",
    "enqueue_in",
    "enqueue_task",
    "example_task",
    "find_job",
    "get_dispatcher",
    "get_job_manager",
    "get_outbox",
    "get_queue",
    "get_redis_settings",
    "get_task_pool",
    "get_task_registry",
    "relay_outbox",
    "send_email",
    "send_notification_email",
]
