"""Enqueueing jobs, one or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from ..batches import Batches
from ..enqueueing import given
from ..registry import checked_name
from .connected import Connected

if TYPE_CHECKING:
    from datetime import timedelta

    from ..batches import Items
    from ..options import BatchOptions
    from ..records import BatchResult, JobPriority
    from ..registry import TaskFunction


class Enqueueing(Connected):
    """What a manager does to make jobs."""

    async def enqueue(
        self,
        task: str | TaskFunction,
        /,
        *args: Any,
        priority: JobPriority | None = None,
        queue: str | None = None,
        **kwargs: Any,
    ) -> str | None:
        """Enqueue a job and give its id; None where the task is unique and the same job is there.

        Args:
            task: what to run.
            args: positional arguments of the task, after the context.
            priority: how urgent it is; by default as the task says, or NORMAL.
            queue: the queue; by default the task's own, or `default`.
            kwargs: named arguments of the task.

        Raises:
            UnknownTaskError: no such task; the message suggests near misses.
            InvalidJobError: the arguments do not fit the task, or are too large; there cannot be such a queue.
            InvalidPolicyError: there is no such priority.
            UnserializableError: an argument cannot be stored.
            QueueFull: the queue holds as many jobs as it may.
            QueueUnavailable: Redis does not answer, and the job is nowhere else.
        """
        return await self._enqueue(task, args, kwargs, priority=priority, queue=queue)

    async def enqueue_delayed(
        self,
        task: str | TaskFunction,
        /,
        *args: Any,
        delay: float | timedelta,
        priority: JobPriority | None = None,
        queue: str | None = None,
        **kwargs: Any,
    ) -> str | None:
        """Enqueue a job that runs after `delay`, a timedelta or seconds; see `enqueue`."""
        return await self._enqueue(task, args, kwargs, priority=priority, queue=queue, defer_by=delay)

    async def _enqueue(
        self, task: str | TaskFunction, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any
    ) -> str | None:
        name = checked_name((await self.connect()).registry, task, args, kwargs)
        return await self.backend.enqueue(name, args, kwargs, **given(**options))

    async def enqueue_batch(
        self, task: str | TaskFunction, items: Items, batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> BatchResult:
        """Enqueue a job for each item, in one round trip for every `batch_size` of them; see `Batches.enqueue`.

        Args:
            task: what to run.
            items: the named arguments of each job: a list, anything iterable, or an async iterator.
            batch_size: jobs in one round trip; those beyond 500 take another.
            options: `progress`, `on_enqueued`, `key`; and what holds for all jobs: `queue`, `priority`, `defer_by`, ...

        Raises:
            QueueFull, QueueUnavailable: in the middle; `error.batch` is what was enqueued before. While Redis is away,
                the fallback does not take a batch over.
            JobError: what holds for all jobs is wrong, such as the task; none is enqueued.
        """
        return await Batches(await self.connect()).enqueue(task, items, batch_size=batch_size, **options)
