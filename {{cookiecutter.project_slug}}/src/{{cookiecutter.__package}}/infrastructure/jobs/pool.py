"""The client side: enqueue jobs and look them up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from arq.connections import ArqRedis
from arq.jobs import Job
from arq.utils import timestamp_ms, to_ms, to_unix_ms
from redis.exceptions import RedisError, ResponseError

from . import codec, keys
from .connections import make_client
from .errors import InvalidJobError, JobError, QueueUnavailable, RemoteError, UnserializableError
from .records import TERMINAL_STATUSES, JobRecord, JobStatus, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from arq.connections import RedisSettings

#: Seconds after which a call gives up; its caller is often an HTTP request that somebody waits for.
ANSWER_TIMEOUT = 0.8
#: Seconds between two looks of `TaskJob.wait`.
WAIT_POLL = 0.1

ENQUEUE_SCRIPT = files(__package__).joinpath("scripts/enqueue.lua").read_text()


class TaskPool(ArqRedis):
    """arq's client with this engine's codec; one per process, see `get_task_pool` of the front door."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        codecs = {"job_serializer": codec.serialize, "job_deserializer": codec.deserialize}
        super().__init__(*args, **{**codecs, **kwargs})
        self._enqueue_script = self.register_script(ENQUEUE_SCRIPT)

    @classmethod
    def from_settings(cls, settings: RedisSettings, **kwargs: Any) -> TaskPool:
        """Make a pool that connects at its first command."""
        return make_client(settings, cls, **kwargs)

    async def enqueue(
        self,
        task: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        job_id: str | None = None,
        queue: str = keys.DEFAULT_QUEUE,
        defer_until: datetime | None = None,
        defer_by: float | timedelta | None = None,
        expires: float | timedelta | None = None,
    ) -> str | None:
        """Enqueue one job in one round trip.

        Args:
            task: the name that the task is registered under in the worker.
            args: positional arguments after the context.
            kwargs: named arguments.
            job_id: an id of your own; while a job with it waits, runs, or has its result kept, nothing is enqueued.
            queue: name of the queue.
            defer_until: when to run it; a datetime without a zone is local time, as everywhere in Python.
            defer_by: seconds (or a timedelta) from now.
            expires: seconds (or a timedelta) after which a job that has not started is dropped; by default never.

        Returns:
            The job's id, or None if `job_id` is taken.

        Raises:
            UnserializableError: an argument cannot be stored; the message names it.
            InvalidJobError: both `defer_until` and `defer_by` are given.
            QueueUnavailable: Redis does not answer.
        """
        if defer_until is not None and defer_by is not None:
            raise InvalidJobError(f"{task}: give a time (_defer_until) or a delay (_defer_by), not both")
        job_id = job_id or uuid4().hex
        now = timestamp_ms()
        due = to_unix_ms(defer_until) if defer_until else now + (to_ms(defer_by) or 0)
        payload = {"t": None, "f": task, "a": args, "k": dict(kwargs or {}), "et": now, "q": queue}
        try:
            data = codec.serialize(payload)
        except UnserializableError as error:
            raise UnserializableError(error.path, error.value, error.problem, task=task) from None
        # Without a limit, arq would drop a job that has waited for a day.
        lifetime = 0 if expires is None else max(1, due - now + (to_ms(expires) or 0))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                stored = await self._enqueue_script(
                    keys=[keys.job(job_id), keys.result(job_id), keys.queue(queue)],
                    args=[job_id, data, due, lifetime],
                )
        except ResponseError as error:
            raise JobError(f"{task}: Redis refused the job: {error}") from error
        except (RedisError, OSError) as error:  # OSError includes the timeout
            raise QueueUnavailable(f"{task}: not enqueued, {_no_answer(error)}") from error
        return job_id if stored else None

    async def enqueue_job(
        self,
        function: str,
        *args: Any,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: float | timedelta | None = None,
        _expires: float | timedelta | None = None,
        **kwargs: Any,
    ) -> Job | None:
        """Enqueue as `arq.ArqRedis.enqueue_job` does, with the codec and the atomic step of `enqueue`."""
        queue = keys.queue_name(_queue_name or self.default_queue_name)
        job_id = await self.enqueue(
            function,
            args,
            kwargs,
            job_id=_job_id,
            queue=queue,
            defer_until=_defer_until,
            defer_by=_defer_by,
            expires=_expires,
        )
        return None if job_id is None else Job(job_id, self, keys.queue(queue), self.job_deserializer)

    async def job(self, job_id: str) -> TaskJob | None:
        """Look a job up; None if no job with that id is known, or its result is no longer kept."""
        return TaskJob(self, job_id) if await self.record(job_id) else None

    async def record(self, job_id: str) -> JobRecord | None:
        """Read all that is known of a job: one round trip if it has ended, two if not.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await self._record(job_id)
        except (RedisError, OSError) as error:
            raise QueueUnavailable(f"job {job_id}: {_no_answer(error)}") from error

    async def _record(self, job_id: str) -> JobRecord | None:
        async with self.pipeline(transaction=True) as pipe:
            pipe.get(keys.result(job_id))
            pipe.get(keys.job(job_id))
            pipe.exists(keys.in_progress(job_id))
            pipe.get(keys.tries(job_id))
            pipe.get(keys.progress(job_id))
            result, payload, running, tries, progress = await pipe.execute()
        report = Progress(**codec.deserialize(progress)) if progress else None
        if result:
            return _finished(job_id, codec.deserialize(result), report)
        if not payload:
            return None
        data = codec.deserialize(payload)
        queue = data.get("q", keys.DEFAULT_QUEUE)
        due = None if running else await self.zscore(keys.queue(queue), job_id)
        return JobRecord(
            job_id=job_id,
            task=data["f"],
            status=_waiting_status(running=bool(running), due=due, tries=int(tries or 0)),
            args=data["a"],
            kwargs=data["k"],
            queue=queue,
            enqueue_time=_to_datetime(data["et"]),
            tries=int(tries or 0),
            progress=report,
        )


class TaskJob:
    """One job, looked up by its id."""

    def __init__(self, pool: TaskPool, job_id: str) -> None:
        self.job_id = job_id
        self._pool = pool

    def __repr__(self) -> str:
        """Show the id."""
        return f"<TaskJob {self.job_id}>"

    async def info(self) -> JobRecord | None:
        """Read what is known now; None once the job's result is no longer kept."""
        return await self._pool.record(self.job_id)

    async def wait(self, timeout: float | None = None) -> JobRecord | None:  # noqa: ASYNC109 - part of the interface
        """Wait until the job has ended.

        Args:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: the job has not ended in time.
        """
        async with asyncio.timeout(timeout):
            while True:
                info = await self.info()
                if info is None or info.status in TERMINAL_STATUSES:
                    return info
                await asyncio.sleep(WAIT_POLL)


def _no_answer(error: Exception) -> str:
    return f"Redis does not answer: {str(error) or type(error).__name__}"


def _waiting_status(*, running: bool, due: float | None, tries: int) -> JobStatus:
    if running:
        return JobStatus.RUNNING
    if due is None or due <= timestamp_ms():
        return JobStatus.RETRYING if tries else JobStatus.PENDING
    return JobStatus.RETRYING if tries else JobStatus.SCHEDULED


def _finished(job_id: str, data: dict[str, Any], progress: Progress | None) -> JobRecord:
    status, error = JobStatus.SUCCESS, None
    if not data["s"]:
        cause = data["r"]
        status = JobStatus.CANCELLED if isinstance(cause, asyncio.CancelledError) else JobStatus.FAILED
        named = isinstance(cause, BaseException) and not isinstance(cause, RemoteError)
        error = f"{type(cause).__name__}: {cause}" if named else str(cause)
    return JobRecord(
        job_id=job_id,
        task=data["f"],
        status=status,
        args=data["a"],
        kwargs=data["k"],
        queue=keys.queue_name(data["q"]),
        result=data["r"] if data["s"] else None,
        error=error,
        enqueue_time=_to_datetime(data["et"]),
        start_time=_to_datetime(data["st"]),
        finish_time=_to_datetime(data["ft"]),
        tries=data["t"],
        progress=progress,
    )


def _to_datetime(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
