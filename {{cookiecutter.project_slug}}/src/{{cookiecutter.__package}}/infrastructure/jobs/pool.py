"""The client side: enqueue jobs, cancel them, and look them up."""

from __future__ import annotations

import asyncio
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Unpack

from arq.connections import ArqRedis
from redis.exceptions import RedisError, ResponseError

from . import codec, keys, scripts
from .answers import ANSWER_TIMEOUT, answering, no_answer
from .cancelling import cancel_jobs
from .connections import make_client
from .drafts import Draft
from .errors import JobError, QueueFull, QueueUnavailable
from .events import JobEvents
from .lookup import TaskJob, WokenJob, read_record
from .messages import Message, Timing, encode_payload, new_job_id
from .origins import origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from arq.connections import RedisSettings
    from arq.jobs import Job

    from .drafts import DraftOptions
    from .records import JobRecord
    from .registry import TaskRegistry

#: Bytes that a stored job may take, unless told otherwise.
MAX_PAYLOAD = 512 * 1024


class TaskPool(ArqRedis):
    """arq's client with this engine's codec; one per process, see `get_task_pool` of the front door."""

    def __init__(
        self,
        *args: Any,
        max_payload: int = MAX_PAYLOAD,
        max_queue_length: int = 0,
        registry: TaskRegistry | None = None,
        **kwargs: Any,
    ) -> None:
        """Make a client as redis-py does.

        Args:
            args: see `redis.asyncio.Redis`.
            max_payload: bytes that a stored job may take.
            max_queue_length: jobs that a queue may hold, those that run included; 0: any number.
            registry: the tasks, whose own queue and uniqueness are then kept; without it tasks are names only.
            kwargs: see `redis.asyncio.Redis`.
        """
        super().__init__(*args, **kwargs)
        # Never None: without a codec arq would take pickle.
        self._serialize = self.job_serializer = self.job_serializer or codec.serialize
        self.job_deserializer = self.job_deserializer or codec.deserialize
        self.max_payload = max_payload
        self.max_queue_length = max_queue_length
        self.registry = registry
        self.events = JobEvents(self)
        self._enqueue_script = scripts.script(self, "enqueue")

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
            InvalidJobError: both `defer_until` and `defer_by` are given, or the name cannot be that of a queue.
            InvalidPolicyError: there is no such priority.
            QueueUnavailable: Redis does not answer.
            QueueFull: the queue holds as many jobs as it may.
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
        while batch := list(islice(rest, scripts.BATCH)):
            draft = Draft(self, task, **options)
            job_ids += await self.send([draft.message((), item) for item in batch])
        return job_ids

    def prepare(
        self,
        task: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        job_id: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[DraftOptions],
    ) -> Message:
        """Check and serialise one job, without sending it.

        Args:
            task: the name that the task is registered under in the worker.
            args: positional arguments after the context.
            kwargs: named arguments.
            job_id: an id of your own; while a job with it waits, runs, or has its result kept, nothing is enqueued.
            idempotency_key: a text of the caller's; the same text again leads to no second job.
            options: when and where it runs, and for how long it is unique; see `Draft`.

        Raises:
            JobError: see `enqueue`.
        """
        draft = Draft(self, task, **options)
        return draft.message(args, kwargs, job_id=job_id, idempotency_key=idempotency_key)

    async def send(self, messages: Sequence[Message], *, timeout: float = ANSWER_TIMEOUT) -> list[str | None]:  # noqa: ASYNC109
        """Store prepared jobs, those of one lane that stand side by side in one round trip, 500 at most.

        Args:
            messages: what `prepare` has given.
            timeout: seconds after which a round trip is given up.

        Returns:
            For each what `enqueue` gives.

        Raises:
            QueueUnavailable: Redis does not answer.
            QueueFull: there is no room for what one round trip was to store; what those before it stored stays.
            JobError: Redis refuses the job.
        """
        answers: list[str | None] = []
        for (lane, exempt), group in groupby(messages, key=lambda message: (message.queue_key, message.exempt)):
            rest = iter(group)
            limit = 0 if exempt else self.max_queue_length
            while batch := list(islice(rest, scripts.BATCH)):
                stored = await self._enqueue(lane, batch, limit, timeout)
                answers += [message.outcome(answer) for message, answer in zip(batch, stored, strict=True)]
        return answers

    async def _enqueue(self, lane: str, batch: Sequence[Message], limit: int, seconds: float) -> list[Any]:
        names, args = [lane], [scripts.packed([message[:6] for message in batch])]
        args += [message.payload for message in batch]
        if limit:
            names += keys.all_of(lane)
            args.append(b"%d" % limit)
        task = batch[0].task
        try:
            async with asyncio.timeout(seconds):
                stored: list[Any] | int = await self._enqueue_script(keys=names, args=args)
        except ResponseError as error:
            raise JobError(f"{task}: Redis refused the job: {error}") from error
        except (RedisError, OSError) as error:  # OSError includes the timeout
            raise QueueUnavailable(f"{task}: not enqueued, {no_answer(error)}") from error
        if isinstance(stored, int):
            raise QueueFull(keys.queue_name(lane), stored, limit)
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
        _exempt: bool = False,
        **kwargs: Any,
    ) -> Job | None:
        """Enqueue as `arq.ArqRedis.enqueue_job` does, with the codec and the atomic step of `enqueue`.

        With `_exempt`, a full queue takes the job all the same.
        """
        queue_key = _queue_name or self.default_queue_name
        timing = Timing.of(function, defer_until=_defer_until, defer_by=_defer_by, expires=_expires)
        how: dict[str, Any] = {"serializer": self._serialize, "limit": self.max_payload, "more": origin()}
        payload = encode_payload(function, args, kwargs, queue_key=queue_key, job_try=_job_try, **how)
        chosen = _job_id is not None
        message = Message(_job_id or new_job_id(), *timing, chosen, (), function, queue_key, payload, _exempt)
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
        async with answering(f"job {job_id}"):
            [answer] = await cancel_jobs(self, [job_id], terminate=terminate)
        return answer in {"cancelled", "asked"}

    async def job(self, job_id: str | None) -> TaskJob | None:
        """Look a job up; None if no job with that id is known, its result is no longer kept, or there is no id."""
        return TaskJob(self, job_id) if job_id is not None and await self.record(job_id) else None

    async def record(self, job_id: str) -> JobRecord | None:
        """Read all that is known of a job: one round trip if it has ended, two if not.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        async with answering(f"job {job_id}"):
            return await read_record(self, job_id)
