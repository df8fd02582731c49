"""What is known of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .. import keys, scripts
from ..lookup import live_status, to_datetime
from ..records import JobStatus
from . import parts
from .records import WorkflowJob, WorkflowKind, WorkflowRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..pool import TaskPool


async def read_workflow(pool: TaskPool, workflow_id: str) -> WorkflowRecord | None:
    """Read all that is known of a workflow: two round trips, and one more for every 500 jobs that have not ended."""
    fields = await pool.hgetall(keys.workflow(workflow_id))  # type: ignore[misc]
    if not fields:
        return None
    stored = {name.decode(): value.decode() for name, value in fields.items()}
    total = int(stored["total"])
    jobs = await _read_jobs(pool, workflow_id, stored)
    status = JobStatus(stored["status"]) if "status" in stored else _live_status(jobs)
    why = [stored.get(name) for name in ("kind", "total", "culprit", "why")]
    return WorkflowRecord(
        workflow_id=workflow_id,
        kind=WorkflowKind(stored["kind"]),
        status=status,
        jobs=tuple(jobs[:total]),
        callback=jobs[total] if len(jobs) > total else None,
        result=await _read_result(pool, workflow_id, stored, len(jobs)) if status is JobStatus.SUCCESS else None,
        error=parts.reason(workflow_id, *why) if "broken" in stored and status is not JobStatus.SUCCESS else None,
        create_time=to_datetime(int(stored["created"])),
        finish_time=to_datetime(int(stored["finished"])) if "finished" in stored else None,
    )


async def _read_jobs(pool: TaskPool, workflow_id: str, stored: Mapping[str, str]) -> list[WorkflowJob]:
    tasks = msgspec.json.decode(stored["tasks"], type=list[str])
    job_ids = [keys.workflow_job(workflow_id, number) for number in range(len(tasks))]
    live = [job_id for number, job_id in enumerate(job_ids) if f"end:{number}" not in stored]
    statuses: dict[str, JobStatus] = {}
    for first in range(0, len(live), scripts.BATCH):
        page = live[first : first + scripts.BATCH]
        values = await pool.mget([name(job_id) for job_id in page for name in (keys.in_progress, keys.tries)])
        for job_id, claim, starts in zip(page, values[::2], values[1::2], strict=True):
            statuses[job_id] = live_status(claim, starts, None, now=0)
    return [
        WorkflowJob(job_id, task, statuses.get(job_id) or JobStatus(stored[f"end:{number}"]))
        for number, (job_id, task) in enumerate(zip(job_ids, tasks, strict=True))
    ]


async def _read_result(pool: TaskPool, workflow_id: str, stored: Mapping[str, str], count: int) -> Any:
    if stored["kind"] == WorkflowKind.GROUP and not stored["callback"]:
        return await parts.read_values(pool, workflow_id, count, pool.job_deserializer)
    return await parts.read_value(pool, workflow_id, count - 1, pool.job_deserializer)


def _live_status(jobs: Sequence[WorkflowJob]) -> JobStatus:
    return JobStatus.PENDING if all(job.status is JobStatus.PENDING for job in jobs) else JobStatus.RUNNING
