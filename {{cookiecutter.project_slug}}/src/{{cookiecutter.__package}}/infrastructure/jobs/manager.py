"""`JobManager`: everything that can be done with jobs, behind one object, for routes, commands and the dashboard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, Unpack

from .batches import Batches
from .enqueueing import given
from .errors import JobNotFoundError
from .keys import DEFAULT_QUEUE
from .queues import Queues
from .records import TERMINAL_STATUSES
from .registry import checked_name
from .schedules.client import Schedule, Schedules
from .workflows.client import Workflows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from .backends import QueueBackend
    from .batches import Items
    from .options import BatchOptions, ChainOptions, GroupOptions, IntervalOptions, ScheduleOptions
    from .records import BatchResult, JobPriority, JobRecord, ScheduleRecord
    from .registry import TaskFunction
    from .workflows.records import WorkflowRecord
    from .workflows.steps import StepLike


class JobManager:
    """Enqueues, schedules and combines jobs, and says what became of them.

    It holds nothing but its backend: making one costs nothing, and any number of them may be used at once. Wherever a
    task is wanted, its name, its dotted import path, the function or the `Task` will do; one that is not registered, or
    arguments that do not fit it, are errors at the call. An argument of a task that is called as an option of the
    method here, such as `queue`, is given by position, or by `enqueue_task`. Whatever cannot be done without Redis
    raises `QueueUnavailable` where that does not answer.
    """

    def __init__(self, backend: QueueBackend) -> None:
        """Prepare; nothing is connected or started before the first call."""
        self.backend = backend

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close the backend."""
        await self.close()

    async def close(self) -> None:
        """Close the backend; a later call opens it again."""
        await self.backend.close()

    # One job

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
        name = checked_name((await self.backend.connect()).registry, task, args, kwargs)
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
        return await Batches(await self.backend.connect()).enqueue(task, items, batch_size=batch_size, **options)

    # Schedules

    async def schedule(
        self,
        task: str | TaskFunction,
        cron: str,
        name: str = "",
        *,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> ScheduleRecord:
        """Run a task whenever a cron expression says so; a schedule of the same name is replaced.

        Args:
            task: what to run.
            cron: five fields, as in `"0 9 * * *"`.
            name: what it is called, and its id; by default as the task.
            args: positional arguments of the task, after the context.
            kwargs: named arguments of the task.
            options: `timezone`, `misfire`, `overlap`, `queue`, `priority`, ...; see `Schedule`.

        Raises:
            InvalidScheduleError: something makes no sense; the message names it, and the field of the expression.
        """
        schedule = Schedule(task, name, cron=cron, args=args, kwargs=kwargs or {}, **options)
        return await (await self._schedules()).add(schedule)

    async def schedule_interval(
        self,
        task: str | TaskFunction,
        interval: float | timedelta,
        name: str = "",
        *,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[IntervalOptions],
    ) -> ScheduleRecord:
        """Run a task every `interval`, a timedelta or seconds, for the first time after one; see `schedule`."""
        schedule = Schedule(task, name, interval=interval, args=args, kwargs=kwargs or {}, **options)
        return await (await self._schedules()).add(schedule)

    async def list_scheduled(self) -> list[ScheduleRecord]:
        """Give all schedules, also those that stand in code: the next one first, those that are paused last."""
        return await (await self._schedules()).list()

    async def unschedule(self, schedule_id: str) -> bool:
        """Remove a schedule; jobs that were enqueued for it stay. False if there is none."""
        return await (await self._schedules()).remove(schedule_id)

    async def pause_schedule(self, schedule_id: str) -> None:
        """Let the ticks of a schedule go by until `resume_schedule`; see `Schedules.pause`."""
        await (await self._schedules()).pause(schedule_id)

    async def resume_schedule(self, schedule_id: str) -> None:
        """Let a schedule go on with its next tick."""
        await (await self._schedules()).resume(schedule_id)

    async def run_now(self, schedule_id: str) -> str | None:
        """Enqueue a job for a schedule at once, and give its id; see `Schedules.run_now`."""
        return await (await self._schedules()).run_now(schedule_id)

    async def _schedules(self) -> Schedules:
        return Schedules(await self.backend.connect())

    # Workflows

    async def chain(self, steps: Iterable[StepLike], **options: Unpack[ChainOptions]) -> str:
        """Run jobs one after the other, and give the id of the whole; see `Workflows.chain`.

        Args:
            steps: `(task, args, kwargs)` each, or a `Step` with options of its own.
            options: `pass_result=True` gives each step what the one before returned; `queue` and `priority`.
        """
        return await Workflows(await self.backend.connect()).chain(steps, **options)

    async def group(
        self,
        members: Iterable[StepLike],
        callback: StepLike | None = None,
        **options: Unpack[GroupOptions],
    ) -> str:
        """Run jobs at once, and the callback when all have ended; give the id of the whole. See `Workflows.group`.

        Args:
            members: as the steps of a chain.
            callback: a task that gets `results=[...]`, what the members returned, in their order.
            options: `on_failure`, `callback_args`, `callback_kwargs`, `queue` and `priority`.
        """
        return await Workflows(await self.backend.connect()).group(members, callback=callback, **options)

    async def get_workflow(self, workflow_id: str) -> WorkflowRecord | None:
        """Read all that is known of a chain or a group and of its jobs; None if nothing is."""
        return await Workflows(await self.backend.connect()).get(workflow_id)

    # Status and control

    async def get_status(self, job_id: str | None) -> JobRecord | None:
        """Read all that is known of a job, or of a workflow as a whole; None if nothing is, or there is no job.

        The record of a workflow has `chain` or `group` for its task; its progress are the jobs that have succeeded.
        """
        if job_id is None:  # what `enqueue` gives where a job was left out
            return None
        pool = await self.backend.connect()
        if record := await pool.record(job_id):
            return record
        if workflow := await Workflows(pool).get(job_id):
            return workflow.as_job()
        return await self.backend.find(job_id)

    async def wait_for(self, job_id: str | None, timeout: float | None = 60) -> JobRecord:  # noqa: ASYNC109 - part of the interface
        """Wait until a job or a workflow has ended, in whichever way, and give its record; see `get_status`.

        Args:
            job_id: the job, or the workflow.
            timeout: seconds to wait at most, 0 for none; None waits for ever.

        Raises:
            TimeoutError: it has not ended in time.
            JobNotFoundError: nothing is known of it, or its result is not kept.
        """
        try:
            async with asyncio.timeout(timeout):
                record = await self._wait(job_id)
        except TimeoutError:  # perhaps before there was a look at it
            record = await self.get_status(job_id)
            if record and record.status not in TERMINAL_STATUSES:
                raise TimeoutError(f"job {job_id} has not ended within {timeout} s") from None
        if record is None:
            raise JobNotFoundError(job_id)
        return record

    async def _wait(self, job_id: str | None) -> JobRecord | None:
        if job_id is None:
            return None
        pool = await self.backend.connect()
        if await pool.record(job_id) is None and (workflow := await Workflows(pool).wait(job_id)):
            return workflow.as_job()
        async with pool.events.of(job_id) as news:
            while record := await self.backend.find(job_id):
                if record.status in TERMINAL_STATUSES:
                    break
                await news.wait()
        return record

    async def cancel(self, job_id: str | None, *, terminate: bool = False) -> bool:
        """Cancel a job that waits; one that runs only if `terminate` is set. Of a workflow, all its jobs.

        Returns:
            Whether anything is cancelled, or about to be; see `TaskPool.cancel` and `Workflows.cancel`.
        """
        if job_id is None:
            return False
        pool = await self.backend.connect()
        workflows = Workflows(pool)
        return await pool.cancel(job_id, terminate=terminate) or await workflows.cancel(job_id, terminate=terminate)

    # Queues

    async def queue_length(self, queue: str = DEFAULT_QUEUE) -> int:
        """Count the jobs that wait in a queue, for whatever reason; see `Queues.length`."""
        return await Queues(await self.backend.connect()).length(queue)

    async def purge_queue(self, queue: str = DEFAULT_QUEUE) -> int:
        """Cancel all jobs that wait in a queue, and give their number; see `Queues.purge`."""
        return await Queues(await self.backend.connect()).purge(queue)

    async def pause(self, queue: str = DEFAULT_QUEUE) -> None:
        """Start nothing more of a queue until `resume` is called; jobs that run go on. See `Queues.pause`."""
        await Queues(await self.backend.connect()).pause(queue)

    async def resume(self, queue: str = DEFAULT_QUEUE) -> None:
        """Let a paused queue go on, at once."""
        await Queues(await self.backend.connect()).resume(queue)
