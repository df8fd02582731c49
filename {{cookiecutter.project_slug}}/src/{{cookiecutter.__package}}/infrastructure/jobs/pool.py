"""The client side: enqueue jobs, cancel them, and look them up."""

from __future__ import annotations

import asyncio
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from arq.connections import ArqRedis
from arq.utils import timestamp_ms
from redis.exceptions import RedisError, ResponseError

from . import codec, keys, logs, scripts
from .connections import make_client
from .errors import JobError, QueueUnavailable
from .events import JobEvents
from .lookup import TaskJob, WokenJob, read_payload, read_record
from .messages import IDEMPOTENCY_TTL, Lock, Message, Timing, encode_payload, idempotency_lock, new_job_id, unique_lock
from .outcomes import history_line, result_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from arq.connections import RedisSettings
    from arq.jobs import Job

    from .policy import Unique
    from .records import JobRecord
    from .registry import TaskRegistry

#: Seconds after which a call gives up; its caller is often an HTTP request that somebody waits for.
ANSWER_TIMEOUT = 0.8
#: Bytes that a stored job may take, unless told otherwise.
MAX_PAYLOAD = 512 * 1024
#: Milliseconds for which it is known that a job was cancelled before it started.
CANCELLED_KEPT = 3_600_000


class TaskPool(ArqRedis):
    """arq's client with this engine's codec; one per process, see `get_task_pool` of the front door."""

    def __init__(
        self, *args: Any, max_payload: int = MAX_PAYLOAD, registry: TaskRegistry | None = None, **kwargs: Any
    ) -> None:
        """Make a client as redis-py does.

        Args:
            args: see `redis.asyncio.Redis`.
            max_payload: bytes that a stored job may take.
            registry: the tasks, whose own queue and uniqueness are then kept; without it tasks are names only.
            kwargs: see `redis.asyncio.Redis`.
        """
        super().__init__(*args, **kwargs)
        # Never None: without a codec arq would take pickle.
        self._serialize = self.job_serializer = self.job_serializer or codec.serialize
        self.job_deserializer = self.job_deserializer or codec.deserialize
        self.max_payload = max_payload
        self.registry = registry
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
        **options: Any,
    ) -> str | None:
        """Enqueue one job in one round trip.

        Args:
            task: the name that the task is registered under in the worker.
            args: positional arguments after the context.
            kwargs: named arguments.
            options: see `prepare`.

        Returns:
            The job's id; that of an earlier job with the same idempotency key; or None if `job_id` is taken, or the
            task is unique and the same job is there.

        Raises:
            UnserializableError: an argument cannot be stored; the message names it.
            PayloadTooLargeError: the arguments take more than `max_payload` bytes.
            InvalidJobError: both `defer_until` and `defer_by` are given.
            QueueUnavailable: Redis does not answer.
        """
        return (await self.send([self.prepare(task, args, kwargs, **options)]))[0]

    async def enqueue_many(self, task: str, items: Iterable[Mapping[str, Any]], **options: Any) -> list[str | None]:
        """Enqueue a job for each item, in one round trip for every 500.

        Args:
            task: the name that the task is registered under in the worker.
            items: the named arguments of each job.
            options: see `prepare`.

        Returns:
            The jobs' ids, in the order of the items; None where the task is unique and the same job is there.

        Raises:
            UnserializableError: an argument of an item cannot be stored; nothing of its batch of 500 is enqueued, all
                batches before it are. So with every other error, see `enqueue`.
        """
        job_ids: list[str | None] = []
        rest = iter(items)
        options.setdefault("correlation_id", logs.current_correlation_id())
        while batch := list(islice(rest, scripts.BATCH)):
            job_ids += await self.send([self.prepare(task, (), item, **options) for item in batch])
        return job_ids

    def prepare(
        self,
        task: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        job_id: str | None = None,
        queue: str | None = None,
        defer_until: datetime | None = None,
        defer_by: float | timedelta | None = None,
        expires: float | timedelta | None = None,
        unique: Unique | timedelta | None = None,
        idempotency_key: str | None = None,
        idempotency_ttl: float | timedelta = IDEMPOTENCY_TTL,
        correlation_id: str | None = None,
        replay_of: str | None = None,
        queue_key: str | None = None,
    ) -> Message:
        """Check and serialise one job, without sending it.

        Args:
            task: the name that the task is registered under in the worker.
            args: positional arguments after the context.
            kwargs: named arguments.
            job_id: an id of your own; while a job with it waits, runs, or has its result kept, nothing is enqueued.
            queue: name of the queue; by default the task's own, or `default`.
            defer_until: when to run it; a datetime without a zone is local time, as everywhere in Python.
            defer_by: seconds (or a timedelta) from now.
            expires: seconds (or a timedelta) after which a job that has not started is dropped; by default never.
            unique: for how long it keeps out others with the same arguments; by default as the task says.
            idempotency_key: a text of the caller's; the same text again leads to no second job.
            idempotency_ttl: seconds (or a timedelta) for which that is known.
            correlation_id: what ties the job to a request; by default that of the running request or job.
            replay_of: id of the first job, if this one does the same again.
            queue_key: key of the queue, for a queue whose key is not made of a name.

        Raises:
            JobError: see `enqueue`.
        """
        timing = Timing.of(task, defer_until=defer_until, defer_by=defer_by, expires=expires)
        policy = self.registry.find_policy(task) if self.registry else None
        queue_key = queue_key or keys.queue(queue or (policy and policy.queue) or keys.DEFAULT_QUEUE)
        same = unique or (policy and policy.unique)
        locks: tuple[Lock, ...] = ()
        if same:
            bound = self.registry.bound(task, args, kwargs or {}) if policy and self.registry else None
            locks = (unique_lock(task, bound or {**({"args": args} if args else {}), **(kwargs or {})}, same, timing),)
        if idempotency_key is not None:
            locks = (*locks, idempotency_lock(task, idempotency_key, idempotency_ttl))
        known = {"correlation_id": correlation_id, "replay_of": replay_of}
        payload = self._payload(task, args, dict(kwargs or {}), queue_key=queue_key, **known)
        return Message(job_id or new_job_id(), *timing, job_id is not None, locks, task, queue_key, payload)

    async def send(self, messages: Sequence[Message], *, timeout: float = ANSWER_TIMEOUT) -> list[str | None]:  # noqa: ASYNC109
        """Store prepared jobs, those of one queue that follow each other in one round trip, 500 at most.

        Args:
            messages: what `prepare` has given.
            timeout: seconds after which a round trip is given up.

        Returns:
            For each what `enqueue` gives.

        Raises:
            QueueUnavailable: Redis does not answer.
            JobError: Redis refuses the job.
        """
        answers: list[str | None] = []
        for queue_key, group in groupby(messages, key=lambda message: message.queue_key):
            rest = iter(group)
            while batch := list(islice(rest, scripts.BATCH)):
                args = [scripts.packed([message[:6] for message in batch]), *[message.payload for message in batch]]
                stored = await self._enqueue(batch[0].task, queue_key, args, timeout)
                answers += [message.outcome(answer) for message, answer in zip(batch, stored, strict=True)]
        return answers

    def _payload(self, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], **more: Any) -> bytes:
        return encode_payload(task, args, kwargs, serializer=self._serialize, limit=self.max_payload, **more)

    async def _enqueue(self, task: str, queue_key: str, args: list[bytes], seconds: float) -> list[Any]:
        try:
            async with asyncio.timeout(seconds):
                stored: list[Any] = await self._enqueue_script(keys=[queue_key], args=args)
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
        timing = Timing.of(function, defer_until=_defer_until, defer_by=_defer_by, expires=_expires)
        payload = self._payload(function, args, kwargs, queue_key=queue_key, job_try=_job_try)
        chosen = _job_id is not None
        message = Message(_job_id or new_job_id(), *timing, chosen, (), function, queue_key, payload)
        [job_id] = await self.send([message])
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
                names = keys.job(job_id), keys.tries(job_id), keys.lost(job_id)
                payload, starts, losses = await self.mget(names)
                if not payload:
                    return False
                data = read_payload(self, payload)
                queue_key = data.get("q") or self.default_queue_name
                now = timestamp_ms()
                ended = result_data(
                    job_id=job_id,
                    task=data["f"],
                    args=data["a"],
                    kwargs=data["k"],
                    queue_key=queue_key,
                    tries=int(starts or 0) - int(losses or 0),
                    enqueued=data["et"],
                    started=now,
                    finished=now,
                    success=False,
                    result=asyncio.CancelledError(),
                    replay_of=data.get("o"),
                    correlation_id=data.get("c"),
                )
                answer = await self._cancel_script(
                    keys=[queue_key],
                    args=[
                        job_id,
                        self._serialize(ended),
                        CANCELLED_KEPT,
                        int(terminate),
                        history_line(ended),
                        data["f"],
                    ],
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
