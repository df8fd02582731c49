"""Jobs of one task in the making: what is the same for all of them is worked out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from . import checks, keys
from .errors import InvalidJobError
from .messages import (
    IDEMPOTENCY_TTL,
    Lock,
    Message,
    Timing,
    encode_payload,
    idempotency_lock,
    new_job_id,
    unique_lock,
)
from .origins import origin
from .policy import checked_unique
from .records import JobPriority

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from .policy import TaskPolicy, Unique
    from .pool import TaskPool


class DraftOptions(TypedDict, total=False):
    """What may be the same for many jobs of a task; see `Draft`."""

    queue: str | None
    priority: JobPriority | None
    defer_until: datetime | None
    defer_by: float | timedelta | None
    expires: float | timedelta | None
    unique: Unique | timedelta | None
    idempotency_ttl: float | timedelta
    correlation_id: str | None
    replay_of: str | None
    owner: str | None
    queue_key: str | None
    part: Mapping[str, Any] | None


class Draft:
    """Makes the messages of a task's jobs. Their times count from when the draft is made, so use it at once."""

    def __init__(
        self,
        pool: TaskPool,
        task: str,
        *,
        queue: str | None = None,
        priority: JobPriority | None = None,
        defer_until: datetime | None = None,
        defer_by: float | timedelta | None = None,
        expires: float | timedelta | None = None,
        unique: Unique | timedelta | None = None,
        idempotency_ttl: float | timedelta = IDEMPOTENCY_TTL,
        correlation_id: str | None = None,
        replay_of: str | None = None,
        owner: str | None = None,
        queue_key: str | None = None,
        part: Mapping[str, Any] | None = None,
    ) -> None:
        """Work out what the jobs have in common.

        Args:
            pool: whose codec, limit and registry hold.
            task: the name that the task is registered under in the worker.
            queue: name of the queue; by default the task's own, or `default`.
            priority: how urgent they are; by default as the task says, or NORMAL.
            defer_until: when to run them; a datetime without a zone is local time, as everywhere in Python.
            defer_by: seconds (or a timedelta) from now.
            expires: seconds (or a timedelta) after which a job that has not started is dropped; by default never.
            unique: for how long a job keeps out others with the same arguments; by default as the task says.
            idempotency_ttl: seconds (or a timedelta) for which an idempotency key is known.
            correlation_id: what ties them to a request; by default that of the running request or job.
            replay_of: id of the first job, if this does the same again.
            owner: whose they are; by default of whoever has the running request or job. Empty: nobody's.
            queue_key: key of the lane, for a queue whose key is not made of a name.
            part: what they take from a workflow, and give to it, see `parts.wishes`.

        Raises:
            InvalidJobError: a time makes no sense, both `defer_until` and `defer_by` are given, or the name cannot be
                that of a queue.
            InvalidPolicyError: there is no such priority, or `unique` makes no sense.
        """
        self.task = task
        self._timing = Timing.of(task, defer_until=defer_until, defer_by=defer_by, expires=expires)
        self._registry = pool.registry
        self._policy = self._registry.find_policy(task) if self._registry else None
        self._queue_key = queue_key or _lane(self._policy, queue, priority)
        own = self._policy and self._policy.unique
        self._unique = own if unique is None else checked_unique("unique", unique)
        self._idempotency_ttl = idempotency_ttl
        from_where = origin(correlation_id=correlation_id, replay_of=replay_of, owner=owner)
        self._more = {**from_where, **({"wf": part} if part else {})}
        self._serializer, self._limit = pool.job_serializer, pool.max_payload

    def message(
        self,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        job_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Message:
        """Make one job of it; see `TaskPool.prepare`."""
        chosen = job_id is not None
        if chosen and (not isinstance(job_id, str) or not job_id):
            raise InvalidJobError(f"{self.task}: the id {job_id!r}: give a text that is not empty")
        kwargs = dict(kwargs or {})
        locks = () if self._unique is None and idempotency_key is None else self._locks(args, kwargs, idempotency_key)
        payload = encode_payload(
            self.task,
            args,
            kwargs,
            queue_key=self._queue_key,
            more=self._more,
            serializer=self._serializer,  # type: ignore[arg-type] # never None, see TaskPool
            limit=self._limit,
        )
        return Message(job_id or new_job_id(), *self._timing, chosen, locks, self.task, self._queue_key, payload)

    def _locks(self, args: tuple[Any, ...], kwargs: dict[str, Any], idempotency_key: str | None) -> tuple[Lock, ...]:
        locks: tuple[Lock, ...] = ()
        if self._unique:
            bound = self._registry.bound(self.task, args, kwargs) if self._policy and self._registry else None
            same = bound or {**({"args": args} if args else {}), **kwargs}
            locks = (unique_lock(self.task, same, self._unique, self._timing),)
        if idempotency_key is not None:
            locks = (*locks, idempotency_lock(self.task, idempotency_key, self._idempotency_ttl))
        return locks


def _lane(policy: TaskPolicy | None, queue: str | None, priority: JobPriority | None) -> str:
    if priority is None:
        priority = policy.priority if policy and policy.priority is not None else JobPriority.NORMAL
    elif type(priority) is not JobPriority:
        priority = checks.priority("priority", priority)
    return keys.queue(queue or (policy and policy.queue) or keys.DEFAULT_QUEUE, priority)
