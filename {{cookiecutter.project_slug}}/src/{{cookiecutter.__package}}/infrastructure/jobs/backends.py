"""What a `JobManager` stands on: arq's jobs on a Redis, or on one inside the process with a worker beside it."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, Self

import structlog
from arq.worker import get_kwargs

from .connections import close_client
from .errors import MissingPackageError, UnknownTaskError
from .execution import with_policy
from .limits import Limits
from .pool import MAX_PAYLOAD
from .registry import TaskRegistry, as_function
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .fallback import Dispatcher
    from .memory import MemoryServer
    from .pool import TaskPool
    from .records import JobRecord
    from .registry import TaskFunction

#: What a worker in memory does not take over from a project's settings: start-up and services belong to a process.
APART: dict[str, Any] = {
    "queues": "*",
    "redis_settings": None,
    "handle_signals": False,
    "on_startup": None,
    "on_shutdown": None,
    "services": (),
    "allow_no_persistence": True,
}

_worker_settings: Any = None


def set_worker_settings(worker_settings: Any) -> Any:
    """Let `MemoryQueueBackend` take its tasks from these, if it is given none; give those that it took before."""
    global _worker_settings
    before, _worker_settings = _worker_settings, worker_settings
    return before


class QueueBackend(Protocol):
    """Who keeps the jobs, and takes new ones. All else is the engine's, over the connection that it gives."""

    async def connect(self) -> TaskPool:
        """Give the connection to what keeps the jobs; from the first call on, somebody runs them."""

    async def enqueue(self, task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], **options: Any) -> str | None:
        """Enqueue a job of a task that is known, with arguments that fit; see `TaskPool.enqueue`."""

    async def find(self, job_id: str) -> JobRecord | None:
        """Read all that is known of a job, wherever it waits."""

    async def close(self) -> None:
        """Close what `connect` has opened; the next call opens it again."""


class ArqQueueBackend:
    """Jobs on a Redis; they are run by workers, which are processes of their own."""

    def __init__(self, pool: TaskPool, *, dispatcher: Dispatcher | None = None) -> None:
        """Prepare.

        Args:
            pool: the connection to Redis.
            dispatcher: says what becomes of a job while Redis is away; without it, an error.
        """
        self._pool = pool
        self._dispatcher = dispatcher

    async def connect(self) -> TaskPool:
        """Give the connection; it connects at its first command."""
        return self._pool

    async def enqueue(self, task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], **options: Any) -> str | None:
        """Enqueue a job; while Redis is away, the dispatcher says what is done instead."""
        if self._dispatcher is None:
            return await self._pool.enqueue(task, args, kwargs, **options)
        return await self._dispatcher.dispatch(self._pool.prepare(task, args, kwargs, **options))

    async def find(self, job_id: str) -> JobRecord | None:
        """Read all that is known of a job, also of one that is in the outbox still.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        record = await self._pool.record(job_id)
        if record is None and self._dispatcher is not None:
            # Once more at the end: it may have been on its way from the one to the other.
            record = await self._dispatcher.outbox.find(job_id) or await self._pool.record(job_id)
        return record

    async def close(self) -> None:
        """Close the connection; its next command opens it again."""
        await close_client(self._pool)


class MemoryQueueBackend:
    """Jobs inside the process, run by a worker of the engine on the event loop of the first call; nothing outlives it.

    It needs fakeredis, which a project has for its development only. End it with `close`, or use it in `async with`.
    """

    def __init__(self, worker_settings: Any = None, *, functions: Sequence[Any] | None = None, **settings: Any) -> None:
        """Prepare; nothing is started before the first call.

        Args:
            worker_settings: a class like `WorkerSettings` of the front door; its tasks are known, its cron jobs and
                schedules tick, and its limits hold. Its start-up, shutdown and services belong to a process of a
                worker, and are left out.
            functions: tasks, in place of those. Without either, the tasks of the front door are known, if that has
                been imported, and any other function becomes one when it is first enqueued.
            settings: settings of the worker that win over all these, such as `max_jobs`, `max_tries` or `ctx`.

        Raises:
            MissingPackageError: fakeredis, or the Lua for it, is not installed.
        """
        if find_spec("fakeredis") is None or find_spec("lupa") is None:
            raise MissingPackageError("MemoryQueueBackend", "fakeredis[lua]")
        from .memory import MemoryServer  # noqa: PLC0415 - of all of the engine, this alone needs the package

        #: The Redis in memory.
        self.server: MemoryServer = MemoryServer()
        self._worker_settings = worker_settings
        self._settings = settings if functions is None else {"functions": functions, **settings}
        self._open = worker_settings is None and functions is None
        #: Functions that have become tasks since.
        self._added: list[TaskFunction] = []
        self._run: _Run | None = None

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close."""
        await self.close()

    async def connect(self) -> TaskPool:
        """Give the connection; the first call in an event loop starts the worker there."""
        if self._run is None or self._run.loop is not asyncio.get_running_loop():
            self._run = _Run(self.server, self._all_settings(), self._added if self._open else None)
        return self._run.connect()

    async def enqueue(self, task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], **options: Any) -> str | None:
        """Enqueue a job."""
        return await (await self.connect()).enqueue(task, args, kwargs, **options)

    async def find(self, job_id: str) -> JobRecord | None:
        """Read all that is known of a job."""
        return await (await self.connect()).record(job_id)

    async def close(self) -> None:
        """End the worker; what runs is cancelled, and put back. What waits is kept for the next call."""
        run, self._run = self._run, None
        if run and run.loop is asyncio.get_running_loop():
            await run.close()

    def _all_settings(self) -> dict[str, Any]:
        source = _worker_settings if self._open else self._worker_settings
        settings = {**(get_kwargs(source) if source else {}), **APART, **self._settings}
        return {**settings, "functions": [*settings.get("functions", ()), *self._added]}


class _Run:
    """A worker at work, in one event loop, and a connection beside it."""

    def __init__(self, server: MemoryServer, settings: dict[str, Any], added: list[TaskFunction] | None) -> None:
        self.loop = asyncio.get_running_loop()
        # arq wants one task at least, and here there may be none yet.
        known = settings["functions"] or [_nothing]
        client = server.client()
        self._worker = worker = Worker(**{**settings, "functions": known}, redis_pool=client)
        registry = worker.registry if added is None else _OpenRegistry(worker, settings, added)
        client.registry = registry
        self._pool = server.client(registry=registry, max_payload=settings.get("max_payload", MAX_PAYLOAD))
        context = copy_context()
        context.run(structlog.contextvars.clear_contextvars)  # what is bound here is not true of all jobs
        self._work = asyncio.create_task(worker.async_run(), context=context)

    def connect(self) -> TaskPool:
        if self._work.done() and not self._work.cancelled():
            self._work.result()  # what has ended the worker
        return self._pool

    async def close(self) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        await self._worker.close()
        await close_client(self._pool)


class _OpenRegistry(TaskRegistry):
    """The tasks of a worker, to which any other function is added when it is first named."""

    def __init__(self, worker: Worker, settings: dict[str, Any], added: list[TaskFunction]) -> None:
        self._worker = worker
        self._functions = settings["functions"]
        self._cron_jobs = settings.get("cron_jobs") or ()
        self._added = added
        super().__init__(self._functions, self._cron_jobs)

    def name_of(self, task: str | TaskFunction) -> str:
        try:
            return super().name_of(task)
        except UnknownTaskError:
            if not callable(task):
                raise
        function = as_function(task)
        super().__init__([*self._functions, task], self._cron_jobs)
        self._functions.append(task)
        self._added.append(task)
        self._worker.functions[function.name] = with_policy(function, self._worker.policy)
        self._worker.limits = Limits.of(self._worker)
        return function.name


async def _nothing(ctx: dict[str, Any]) -> None:
    """Do nothing: a task for a worker that has no other yet."""
