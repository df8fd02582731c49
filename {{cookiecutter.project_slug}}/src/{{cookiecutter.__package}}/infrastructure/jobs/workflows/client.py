"""Workflows: chains, whose steps run one after the other, and groups, whose members run at once.

All jobs of a workflow are stored when it is made. What comes next is put into its queue by the very step that records
the end of the job before, so there is no moment at which it could be lost; see `scripts/workflows.lua`. The ids of the
jobs are made of the workflow's and a number. What a replayed dead letter becomes is a job outside the workflow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .. import keys, scripts
from ..answers import ANSWER_TIMEOUT, answering
from ..cancelling import cancel_jobs, end_given_up, read_given_up
from ..errors import InvalidWorkflowError, QueueFull, QueueUnavailable
from ..messages import new_job_id
from ..origins import current_owner
from .lookup import read_workflow
from .records import OnFailure, WorkflowKind
from .steps import Place, Step, message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..messages import Message
    from ..pool import TaskPool
    from ..records import JobPriority
    from .records import WorkflowRecord
    from .steps import StepLike

#: Jobs that a workflow may have: each is looked at in one step of Redis when the workflow stops.
MAX_JOBS = 10_000
#: Seconds for which a workflow is known after its end, at least; longer where results of its jobs are kept longer.
KEPT = 3600
#: Seconds for which the first parts of a large workflow wait for the last one.
PARTS_KEPT = 600
#: Seconds for each 500 jobs of a workflow.
BULK_TIMEOUT = 10.0


class Workflows:
    """The workflows of a Redis."""

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self._create = scripts.script(pool, "workflow")
        self._halt = scripts.script(pool, "halt")

    async def chain(
        self,
        steps: Iterable[StepLike],
        *,
        pass_result: bool = False,
        queue: str | None = None,
        priority: JobPriority | None = None,
    ) -> str:
        """Run jobs one after the other: each starts when the one before has succeeded.

        When one fails for good, or is cancelled, the rest is cancelled.

        Args:
            steps: `(task, args, kwargs)` each, or a `Step` with options of its own.
            pass_result: each step but the first gets what the one before returned, as its first argument after the
                context; a `Step` may say otherwise for itself.
            queue: name of the queue of the steps that name none; by default each task's own.
            priority: of the steps that have none; by default each task's own.

        Returns:
            Id of the workflow.

        Raises:
            InvalidWorkflowError: a step cannot be; the message says which, and why. Nothing is enqueued.
            QueueFull: the queue of the first step holds as many jobs as it may.
            QueueUnavailable: Redis does not answer.
        """
        listed = _listed("chain", "step", steps)
        passes = [pass_result if step.pass_result is None else step.pass_result for step in listed]
        if listed[0].pass_result:
            raise InvalidWorkflowError("step 1", listed[0].task, "pass_result: there is no step before it")
        passes[0] = False
        places = [
            Place(
                f"step {number + 1}",
                takes="result" if passes[number] else None,
                gives=number + 1 == len(listed) or passes[number + 1],
            )
            for number in range(len(listed))
        ]
        return await self._make(WorkflowKind.CHAIN, listed, places, queue=queue, priority=priority)

    async def group(
        self,
        members: Iterable[StepLike],
        *,
        callback: StepLike | None = None,
        callback_args: Sequence[Any] = (),
        callback_kwargs: Mapping[str, Any] | None = None,
        on_failure: OnFailure | str = OnFailure.FAIL,
        queue: str | None = None,
        priority: JobPriority | None = None,
    ) -> str:
        """Run jobs at the same time, and the callback once, when all have ended.

        Args:
            members: `(task, args, kwargs)` each, or a `Step` with options of its own.
            callback: a task, or given as a member is; it gets `results=[...]`, what the members returned, in order.
            callback_args: its arguments after the context, where `callback` has none of its own.
            callback_kwargs: its named arguments besides `results`, likewise.
            on_failure: what becomes of the others when a member fails for good, or is cancelled.
            queue: name of the queue of those that name none, the callback too; by default each task's own.
            priority: of those that have none; by default each task's own.

        Returns:
            Id of the workflow.

        Raises:
            InvalidWorkflowError: a member cannot be; the message says which, and why. Nothing is enqueued.
            QueueFull: a queue of the members has no room for them.
            QueueUnavailable: Redis does not answer.
        """
        policy = _policy(on_failure)
        listed = _listed("group", "member", members)
        places = [Place(f"member {number + 1}", gives=True) for number in range(len(listed))]
        last = _callback(callback, callback_args, callback_kwargs)
        if last:
            listed.append(last)
            places.append(Place("callback", takes="results", gives=True))
        for place, step in zip(places, listed, strict=True):
            if step.pass_result:
                raise InvalidWorkflowError(place.name, step.task, "pass_result is for the steps of a chain")
        return await self._make(WorkflowKind.GROUP, listed, places, policy, queue=queue, priority=priority)

    async def get(self, workflow_id: str) -> WorkflowRecord | None:
        """Look a workflow up; None if there is none of that id, or it is no longer kept.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        async with answering(f"workflow {workflow_id}", BULK_TIMEOUT):
            return await read_workflow(self._pool, workflow_id)

    async def wait(self, workflow_id: str, timeout: float | None = None) -> WorkflowRecord | None:  # noqa: ASYNC109
        """Wait until a workflow has ended; None if there is none of that id.

        Args:
            workflow_id: the workflow.
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: it has not ended in time.
        """
        names = ["kind", "status"]
        async with asyncio.timeout(timeout), self._pool.events.of(workflow_id) as event:
            while True:
                async with answering(f"workflow {workflow_id}"):
                    kind, ended = await self._pool.hmget(keys.workflow(workflow_id), names)  # type: ignore[misc]
                if ended or not kind:
                    return await self.get(workflow_id)
                await event.wait()

    async def cancel(self, workflow_id: str, *, terminate: bool = False) -> bool:
        """Cancel what of a workflow waits; what runs only if `terminate` is set, by cancelling it in its worker.

        Returns:
            Whether anything is cancelled, or about to be: False for a workflow of which all that is left runs and may
            go on, that has ended, or that nobody knows.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        async with answering(f"workflow {workflow_id}", BULK_TIMEOUT):
            halted = await self._halt(args=[workflow_id, int(terminate), "the workflow was cancelled"])
            if not halted:
                return False
            given_up, running = halted
            waiting, queued = read_given_up(given_up)
            await end_given_up(self._pool, waiting + queued)
            to_end = [job_id.decode() for job_id in running] if terminate else []
            asked = await cancel_jobs(self._pool, to_end, terminate=True)
        return bool(waiting or queued) or not {"asked", "cancelled"}.isdisjoint(asked)

    async def _make(
        self,
        kind: WorkflowKind,
        steps: Sequence[Step],
        places: Sequence[Place],
        policy: OnFailure | None = None,
        **defaults: Any,
    ) -> str:
        workflow_id = new_job_id()
        messages = [
            message_of(self._pool, step, place, keys.workflow_job(workflow_id, number), defaults)
            for number, (step, place) in enumerate(zip(steps, places, strict=True))
        ]
        has_callback = places[-1].name == "callback"
        for first in range(scripts.BATCH, len(messages), scripts.BATCH):
            await self._store(kind, messages[first : first + scripts.BATCH])
        queued = messages[:1] if kind is WorkflowKind.CHAIN else messages[: len(messages) - has_callback]
        async with answering(f"{kind} not enqueued", BULK_TIMEOUT if len(messages) > scripts.BATCH else ANSWER_TIMEOUT):
            answer = await self._create(
                args=[
                    workflow_id,
                    kind.value,
                    policy.value if policy else "",
                    len(messages) - has_callback,
                    "1" if has_callback else "",
                    msgspec.json.encode([message.task for message in messages]),
                    KEPT * 1000,
                    scripts.packed([message.queue_key for message in messages]),
                    scripts.packed(self._limits(queued)),
                    current_owner() or "",
                    *[message.payload for message in messages[: scripts.BATCH]],
                ]
            )
        if isinstance(answer, list):
            await self._drop(kind, messages[scripts.BATCH :])
            queue, length = answer
            raise QueueFull(keys.queue_name(queue.decode()), length, self._pool.max_queue_length)
        if not answer:
            raise QueueUnavailable(f"{kind} not enqueued: storing its jobs took more than {PARTS_KEPT} s; try again")
        return workflow_id

    def _limits(self, queued: Sequence[Message]) -> list[Any]:
        """Give what the script takes of the lengths that the queues may have."""
        limit = self._pool.max_queue_length
        if not limit:
            return []
        counts: dict[str, int] = {}
        for message in queued:
            queue_key = keys.queue_of(message.queue_key)
            counts[queue_key] = counts.get(queue_key, 0) + 1
        return [(queue_key, limit - count, keys.all_of(queue_key)) for queue_key, count in counts.items()]

    async def _store(self, kind: WorkflowKind, messages: Sequence[Message]) -> None:
        """Store a part of a large workflow, for a while: until the last part is there, nothing of it counts."""
        async with answering(f"{kind} not enqueued", BULK_TIMEOUT), self._pool.pipeline(transaction=False) as pipe:
            for message in messages:
                pipe.set(keys.job(message.job_id), message.payload, ex=PARTS_KEPT)
            for answer in await pipe.execute(raise_on_error=False):
                if isinstance(answer, Exception):
                    raise answer  # as it is; redis-py would put the payload into its message

    async def _drop(self, kind: WorkflowKind, messages: Sequence[Message]) -> None:
        """Delete what `_store` has stored, lest callers that try again fill Redis."""
        for first in range(0, len(messages), scripts.BATCH):
            async with answering(f"{kind} not enqueued", BULK_TIMEOUT):
                await self._pool.unlink(
                    *[keys.job(message.job_id) for message in messages[first : first + scripts.BATCH]]
                )


def _listed(kind: str, what: str, values: Iterable[Any]) -> list[Step]:
    if isinstance(values, str | bytes | Step | Mapping) or not hasattr(values, "__iter__"):
        raise InvalidWorkflowError(kind, values, f"give a list of {what}s, each as (task, args, kwargs)")
    steps = [Step.of(f"{what} {number}", value) for number, value in enumerate(values, start=1)]
    if not steps:
        raise InvalidWorkflowError(kind, values, f"it has no {what}; give one at least")
    if len(steps) > MAX_JOBS:
        raise InvalidWorkflowError(kind, len(steps), f"{what}s are too many; it may have {MAX_JOBS:,}")
    return steps


def _callback(given: StepLike | None, args: Any, kwargs: Any) -> Step | None:
    if args or kwargs:
        if given is None or isinstance(given, Step | tuple | list):
            why = "there is no callback" if given is None else "the callback comes with its own"
            raise InvalidWorkflowError("callback_args, callback_kwargs", args or kwargs, f"leave them out, for {why}")
        given = Step(given, args, kwargs or {})
    return None if given is None else Step.of("callback", given)


def _policy(value: OnFailure | str) -> OnFailure:
    try:
        return OnFailure(value)
    except ValueError:
        raise InvalidWorkflowError("on_failure", value, f"give one of {', '.join(OnFailure)}") from None
