"""Routes for administrators: workers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict

from ...infrastructure.audit import audited
from ...infrastructure.jobs import WorkerRecord, WorkerState
from ..jobs import Jobs
from ..problems import problem_responses
from .access import Acting

router = APIRouter(prefix="/workers", tags=["admin: workers"])

EXAMPLE_ID = "web-1:4711:6f1c2a9e"
WorkerId = Annotated[str, Path(max_length=1000, pattern=r"^[^\x00]+$", examples=[EXAMPLE_ID])]


class WorkerRead(BaseModel):
    """A worker, as it says of itself every few seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "worker_id": EXAMPLE_ID,
                "host": "web-1",
                "pid": 4711,
                "state": "running",
                "queues": ["default"],
                "version": "0.1.0",
                "started": "2026-11-21T09:00:00Z",
                "seen": "2026-11-21T09:30:00Z",
                "running": 3,
                "complete": 1234,
                "failed": 2,
                "retried": 5,
                "lost": 0,
                "queued": 7,
            }
        }
    )

    worker_id: str
    host: str
    pid: int
    #: `quiet`: it starts nothing more; `stopping`: it is about to end.
    state: WorkerState
    #: Names of the queues that it serves.
    queues: list[str]
    #: Release of the project.
    version: str
    started: datetime
    #: When it last said all this.
    seen: datetime
    #: Jobs that it runs now.
    running: int
    #: Jobs since it was started: ended well, failed for good, put back for another try, lost to another worker.
    complete: int
    failed: int
    retried: int
    lost: int
    #: Jobs in its queues, those that run anywhere included.
    queued: int


@router.get("")
async def list_workers(jobs: Jobs) -> list[WorkerRead]:
    """List all workers that are alive, whichever queues they serve."""
    return [_read(worker) for worker in await jobs.list_workers()]


@router.post("/{worker_id:id}/quiet", status_code=202, responses=problem_responses(404))
async def quiet_worker(worker_id: WorkerId, jobs: Jobs, actor: Acting) -> WorkerRead:
    """Let a worker start nothing more; it finishes what it runs, and lives on. It obeys within a second."""
    async with audited(actor, "worker.quiet", worker_id):
        await jobs.quiet_worker(worker_id)
    return _read(await jobs.get_worker(worker_id))


@router.post("/{worker_id:id}/stop", status_code=202, responses=problem_responses(404))
async def stop_worker(worker_id: WorkerId, jobs: Jobs, actor: Acting) -> WorkerRead:
    """Let a worker finish what it runs and end, as SIGTERM does. It obeys within a second."""
    async with audited(actor, "worker.stop", worker_id):
        worker = await jobs.get_worker(worker_id)  # before: it may be gone in a moment
        await jobs.stop_worker(worker_id)
    return _read(worker)


def _read(worker: WorkerRecord) -> WorkerRead:
    times = {name: datetime.fromtimestamp(getattr(worker, name), UTC) for name in ("started", "seen")}
    names = WorkerRead.model_fields.keys() - times.keys()
    return WorkerRead(**times, **{name: getattr(worker, name) for name in names})
