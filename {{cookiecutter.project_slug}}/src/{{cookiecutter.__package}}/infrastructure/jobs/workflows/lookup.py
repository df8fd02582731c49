"""What is known of a workflow."""

from __future__ import annotations

from itertools import chain
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
    """Read all that is known of a workflow at one moment: two round trips, also while it runs."""
    stored = _text(await pool.hgetall(keys.workflow(workflow_id)))  # type: ignore[misc]
    if not stored:
        return None
    statuses: dict[str, JobStatus] = {}
    if "status" not in stored:
        stored, statuses = await _read_live(pool, workflow_id, stored)
    jobs = [
        WorkflowJob(job_id, task, statuses.get(job_id) or JobStatus(stored[f"end:{number}"]))
        for number, (job_id, task) in enumerate(_jobs(workflow_id, stored))
    ]
    total = int(stored["total"])
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
        owner=stored.get("owner"),
    )


async def _read_live(
    pool: TaskPool, workflow_id: str, stored: dict[str, str]
) -> tuple[dict[str, str], dict[str, JobStatus]]:
    """Read again how far it is, and in the same step where those of its jobs are that have not ended."""
    live = {
        f"end:{number}": job_id
        for number, (job_id, _) in enumerate(_jobs(workflow_id, stored))
        if f"end:{number}" not in stored
    }
    wanted = [name(job_id) for job_id in live.values() for name in (keys.in_progress, keys.tries)]
    async with pool.pipeline(transaction=True) as pipe:
        pipe.hgetall(keys.workflow(workflow_id))
        for first in range(0, len(wanted), scripts.BATCH):
            pipe.mget(wanted[first : first + scripts.BATCH])
        fields, *pages = await pipe.execute()
    stored = _text(fields) or stored
    values = list(chain.from_iterable(pages))
    statuses = {
        job_id: live_status(claim, starts, None, now=0)
        for (end, job_id), claim, starts in zip(live.items(), values[::2], values[1::2], strict=True)
        if end not in stored
    }
    return stored, statuses


def _text(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}


def _jobs(workflow_id: str, stored: Mapping[str, str]) -> list[tuple[str, str]]:
    """Give the ids of its jobs, and their tasks."""
    tasks = msgspec.json.decode(stored["tasks"], type=list[str])
    return [(keys.workflow_job(workflow_id, number), task) for number, task in enumerate(tasks)]


async def _read_result(pool: TaskPool, workflow_id: str, stored: Mapping[str, str], count: int) -> Any:
    if stored["kind"] == WorkflowKind.GROUP and not stored["callback"]:
        return await parts.read_values(pool, workflow_id, count, pool.job_deserializer)
    return await parts.read_value(pool, workflow_id, count - 1, pool.job_deserializer)


def _live_status(jobs: Sequence[WorkflowJob]) -> JobStatus:
    return JobStatus.PENDING if all(job.status is JobStatus.PENDING for job in jobs) else JobStatus.RUNNING
