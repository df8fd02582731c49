"""The client side: enqueue jobs, cancel them, and look them up."""

from __future__ import annotations

import asyncio
from itertools import islice
from secrets import token_hex
from time import time_ns
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from arq.connections import ArqRedis
from arq.utils import timestamp_ms, to_ms, to_unix_ms
from redis.exceptions import RedisError, ResponseError

from . import codec, keys, scripts
from .connections import make_client
from .errors import (
    InvalidJobError,
    JobError,
    PayloadTooLargeError,
    QueueUnavailable,
    UnserializableError,
)
from .events import JobEvents
from .lookup import TaskJob, WokenJob, read_payload, read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from arq.connections import RedisSettings
    from arq.jobs import Job

    from .records import JobRecord

#: Seconds after which a call gives up; its caller is often an HTTP request that somebody waits for.
ANSWER_TIMEOUT = 0.8
#: Bytes that a stored job may take, unless told otherwise.
MAX_PAYLOAD = 512 * 1024
#: Milliseconds for which it is known that a job was cancelled before it started.
CANCELLED_KEPT = 3_600_000


def new_job_id() -> str:
    """Give an id that nobody can guess. Ids sort by when they were made: jobs of one millisecond keep their order."""
    return f"{time_ns():016x}{token_hex(8)}"


class _Timing(NamedTuple):
    """When a job is due and how long it is kept, as `enqueue.lua` takes it; all in ms."""

    due: int | Literal[False]
    delay: int
    lifetime: int

    @classmethod
    def of(
        cls,
        task: str,
        *,
        defer_until: datetime | None,
        defer_by: float | timedelta | None,
        expires: float | timedelta | None,
    ) -> _Timing:
        if defer_until is not None and defer_by is not None:
            raise InvalidJobError(f"{task}: give a time (_defer_until) or a delay (_defer_by), not both")
        due = to_unix_ms(defer_until) if defer_until else False
        delay = to_ms(defer_by) or 0
        if expires is None:  # without a limit, arq would drop a job that has waited for a day
            return cls(due, delay, 0)
        ahead = due - timestamp_ms() if due else delay
        return cls(due, delay, max(1, ahead + (to_ms(expires) or 0)))


class TaskPool(ArqRedis):
    """arq's client with this engine's codec; one per process, see `get_task_pool` of the front door."""

    def __init__(self, *args: Any, max_payload: int = MAX_PAYLOAD, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Never None: without a codec arq would take pickle.
        self._serialize = self.job_serializer = self.job_serializer or codec.serialize
        self.job_deserializer = self.job_deserializer or codec.deserialize
        self.max_payload = max_payload
        self.events = JobEvents(self)
        self._enqueue_script = scripts.script(self, "enqueue")
        self._cancel_script = scripts.script(self, "cancel")

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
            PayloadTooLargeError: the arguments take more than `max_payload` bytes.
            InvalidJobError: both `defer_until` and `defer_by` are given.
            QueueUnavailable: Redis does not answer.
        """
        timing = _Timing.of(task, defer_until=defer_until, defer_by=defer_by, expires=expires)
        return await self._enqueue_one(
            task, args, kwargs or {}, job_id=job_id, queue_key=keys.queue(queue), timing=timing, job_try=None
        )

    async def enqueue_many(
        self,
        task: str,
        items: Iterable[Mapping[str, Any]],
        *,
        queue: str = keys.DEFAULT_QUEUE,
        defer_until: datetime | None = None,
        defer_by: float | timedelta | None = None,
        expires: float | timedelta | None = None,
    ) -> list[str]:
        """Enqueue a job for each item, in one round trip for every 500.

        Args:
            task: the name that the task is registered under in the worker.
            items: the named arguments of each job.
            queue: name of the queue.
            defer_until: see `enqueue`, as all that follow.
            defer_by: seconds (or a timedelta) from now.
            expires: seconds (or a timedelta).

        Returns:
            The jobs' ids, in the order of the items.

        Raises:
            UnserializableError: an argument of an item cannot be stored; nothing of its batch of 500 is enqueued, all
                batches before it are. So with every other error, see `enqueue`.
        """
        timing = _Timing.of(task, defer_until=defer_until, defer_by=defer_by, expires=expires)
        queue_key = keys.queue(queue)
        job_ids: list[str] = []
        rest = iter(items)
        while batch := list(islice(rest, scripts.BATCH)):
            payloads = [self._payload(task, (), dict(item), queue_key=queue_key) for item in batch]
            jobs = [(new_job_id(), *timing, False) for _ in batch]
            await self._enqueue(task, queue_key, jobs, payloads)
            job_ids += [job[0] for job in jobs]
        return job_ids

    async def _enqueue_one(
        self,
        task: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        job_id: str | None,
        queue_key: str,
        timing: _Timing,
        job_try: int | None,
    ) -> str | None:
        data = self._payload(task, args, dict(kwargs), queue_key=queue_key, job_try=job_try)
        new_id = job_id or new_job_id()
        stored = await self._enqueue(task, queue_key, [(new_id, *timing, job_id is not None)], [data])
        return new_id if stored[0] else None

    def _payload(
        self, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, queue_key: str, job_try: int | None = None
    ) -> bytes:
        payload = {"t": job_try, "f": task, "a": args, "k": kwargs, "et": timestamp_ms(), "q": queue_key}
        try:
            data = self._serialize(payload)
        except UnserializableError as error:
            raise UnserializableError(error.path, error.value, error.problem, task=task) from None
        if len(data) > self.max_payload:
            raise PayloadTooLargeError(task, len(data), self.max_payload)
        return data

    async def _enqueue(
        self, task: str, queue_key: str, jobs: Sequence[tuple[Any, ...]], payloads: Sequence[bytes]
    ) -> list[int]:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                stored: list[int] = await self._enqueue_script(keys=[queue_key], args=[scripts.packed(jobs), *payloads])
        except ResponseError as error:
            raise JobError(f"{task}: Redis refused the job: {error}") from error
        except (RedisError, OSError) as error:  # OSError includes the timeout
            raise QueueUnavailable(f"{task}: not enqueued, {no_answer(error)}") from error
        return stored

    async def enqueue_job(
        self,
        function: str,
        *args: Any,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: float | timedelta | None = None,
        _expires: float | timedelta | None = None,
        _job_try: int | None = None,
        **kwargs: Any,
    ) -> Job | None:
        """Enqueue as `arq.ArqRedis.enqueue_job` does, with the codec and the atomic step of `enqueue`."""
        queue_key = _queue_name or self.default_queue_name
        job_id = await self._enqueue_one(
            function,
            args,
            kwargs,
            job_id=_job_id,
            queue_key=queue_key,
            timing=_Timing.of(function, defer_until=_defer_until, defer_by=_defer_by, expires=_expires),
            job_try=_job_try,
        )
        return None if job_id is None else WokenJob(job_id, self, queue_key, self.job_deserializer)

    async def cancel(self, job_id: str, *, terminate: bool = False) -> bool:
        """Cancel a job that waits; one that runs only if `terminate` is set, by cancelling it in its worker.

        Returns:
            Whether it is cancelled, or, if it runs, about to be: False for one that runs and may go on, that has
            ended, or that nobody knows.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                payload = await self.get(keys.job(job_id))
                if not payload:
                    return False
                data = read_payload(self, payload)
                queue_key = data.get("q") or self.default_queue_name
                now = timestamp_ms()
                ended = {"s": False, "r": asyncio.CancelledError(), "st": now, "ft": now, "q": queue_key, "id": job_id}
                answer = await self._cancel_script(
                    keys=[queue_key],
                    args=[job_id, self._serialize({**data, "t": 0, **ended}), CANCELLED_KEPT, int(terminate)],
                )
        except (RedisError, OSError) as error:
            raise QueueUnavailable(f"job {job_id}: {no_answer(error)}") from error
        return answer in {b"cancelled", b"asked"}

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
                return await read_record(self, job_id)
        except (RedisError, OSError) as error:
            raise QueueUnavailable(f"job {job_id}: {no_answer(error)}") from error


def no_answer(error: Exception) -> str:
    """Say why there is no answer."""
    return f"Redis does not answer: {str(error) or type(error).__name__}"
