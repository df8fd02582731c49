"""Everything about one job, for people: where it belongs, and whether it can be run again. Secrets are hidden."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import keys
from .answers import answering
from .dead_letters import DeadLetters
from .errors import DeadLetterNotFoundError
from .history import JobHistory
from .records import HistoryRecord, JobRecord
from .secrets import masked, masked_arguments
from .workflows.client import Workflows
from .workflows.records import WorkflowKind

if TYPE_CHECKING:
    from .backends import QueueBackend
    from .registry import TaskRegistry
    from .workflows.records import WorkflowJob, WorkflowRecord


@dataclass(frozen=True, slots=True)
class JobDetails:
    """All that is known of a job, or of a workflow as a whole, and of what it belongs to."""

    #: What stands under the name of a secret is hidden in its arguments and in its result, and in that of its parent.
    job: JobRecord
    #: The chain or the group of which it is a part.
    parent: WorkflowRecord | None = None
    #: Of a workflow, its jobs, the callback last.
    children: tuple[WorkflowJob, ...] = ()
    #: Of a step of a chain, the ids of the steps before and after it.
    previous: str | None = None
    next: str | None = None
    #: Whether its dead letter is kept, so that it can be retried.
    dead: bool = False
    #: Whether only its last line is left: no arguments, no result, no tries.
    forgotten: bool = False


async def inspect(backend: QueueBackend, job_id: str) -> JobDetails | None:
    """Read all that is known of a job, or of a workflow, and of what it belongs to; None if nothing is.

    Raises:
        QueueUnavailable: Redis does not answer.
    """
    pool = await backend.connect()
    async with answering(f"dead letter {job_id}"):
        dead = await pool.zscore(keys.DEAD, job_id) is not None
    part = keys.workflow_part(job_id)
    parent = await Workflows(pool).get(part[0]) if part else None
    details = await _find(backend, job_id, parent)
    if details is None:
        return None
    previous, upcoming = _neighbours(parent, part[1]) if part and parent else (None, None)
    job = without_secrets(details.job, pool.registry)
    parent = parent and replace(parent, result=masked(parent.result))
    return replace(details, job=job, parent=parent, previous=previous, next=upcoming, dead=dead)


async def _find(backend: QueueBackend, job_id: str, parent: WorkflowRecord | None) -> JobDetails | None:
    """Look wherever something may be known, what tells most first."""
    pool = await backend.connect()
    if record := await pool.record(job_id):
        return JobDetails(record)
    if workflow := await Workflows(pool).get(job_id):
        return JobDetails(workflow.as_job(), children=_jobs(workflow))
    with suppress(DeadLetterNotFoundError):
        return JobDetails(await DeadLetters(pool).get(job_id))
    if record := await backend.find(job_id):
        return JobDetails(record)
    line = await JobHistory(pool).find(job_id)
    rest = _from_line(line) if line else _as_part(job_id, parent)
    return JobDetails(rest, forgotten=True) if rest else None


def _as_part(job_id: str, workflow: WorkflowRecord | None) -> JobRecord | None:
    """Give what a workflow still knows of one of its jobs."""
    found = [job for job in _jobs(workflow) if job.job_id == job_id] if workflow else []
    return JobRecord(job_id, found[0].task, found[0].status) if found else None


def without_secrets(record: JobRecord, registry: TaskRegistry | None) -> JobRecord:
    """Give a record with the secrets hidden in its arguments and its result.

    Args:
        record: what is known of a job.
        registry: the tasks, whose parameters name what is given by position.
    """
    function = registry.find_function(record.task) if registry else None
    args, kwargs = masked_arguments(function, record.args, record.kwargs)
    return replace(record, args=args, kwargs=kwargs, result=masked(record.result))


def as_line(record: JobRecord) -> HistoryRecord:
    """Give a record as a line of a list."""
    return HistoryRecord(
        job_id=record.job_id,
        task=record.task,
        queue=record.queue,
        status=record.status,
        tries=record.tries,
        enqueue_time=record.enqueue_time,
        priority=record.priority,
        start_time=record.start_time,
        finish_time=record.finish_time,
        worker=record.worker,
        error=record.error,
    )


def _from_line(line: HistoryRecord) -> JobRecord:
    return JobRecord(
        job_id=line.job_id,
        task=line.task,
        status=line.status,
        queue=line.queue,
        priority=line.priority,
        error=line.error,
        enqueue_time=line.enqueue_time,
        start_time=line.start_time,
        finish_time=line.finish_time,
        tries=line.tries,
        worker=line.worker,
    )


def _jobs(workflow: WorkflowRecord) -> tuple[WorkflowJob, ...]:
    return (*workflow.jobs, *([workflow.callback] if workflow.callback else []))


def _neighbours(chain: WorkflowRecord, number: int) -> tuple[str | None, str | None]:
    """Give the ids of the steps before and after a step."""
    if chain.kind is not WorkflowKind.CHAIN:
        return None, None
    before = chain.jobs[number - 1].job_id if 0 < number <= chain.total else None
    return before, chain.jobs[number + 1].job_id if number + 1 < chain.total else None
