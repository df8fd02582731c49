"""What routes need to do with jobs, and looking them up over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

from ..infrastructure.jobs import JobManager, JobStatus, QueueBackend, QueueFull, Queues, keys
from ..infrastructure.tasks import find_job, get_job_manager, get_queue, get_task_pool
from .problems import Problem, problem_response, problem_responses

#: What enqueues, schedules, combines and controls jobs.
Jobs = Annotated[JobManager, Depends(get_job_manager)]
#: What the manager stands on.
Queue = Annotated[QueueBackend, Depends(get_queue)]

#: Seconds after which a caller may try again when the queue does not answer.
RETRY_AFTER = 5

#: A job's id in the examples of the OpenAPI document.
EXAMPLE_ID = "18ea46051a6f788517943ebb4c546e12"

#: Any text but NUL, which PostgreSQL cannot even look for.
JobId = Annotated[str, Path(max_length=1000, pattern=r"^[^\x00]+$", examples=[EXAMPLE_ID])]

logger = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


class ProgressRead(BaseModel):
    """How far a running job says it is."""

    done: float
    total: float | None
    message: str | None


class JobRead(BaseModel):
    """A job as its caller sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "job_id": EXAMPLE_ID,
                "task": "send_welcome_email",
                "status": "success",
                "result": None,
                "error": None,
                "enqueue_time": "2026-11-21T09:30:00Z",
                "start_time": "2026-11-21T09:30:00.012Z",
                "finish_time": "2026-11-21T09:30:00.345Z",
                "tries": 1,
                "progress": None,
            }
        }
    )

    job_id: str
    task: str
    status: JobStatus
    #: What the task returned; a value that JSON cannot hold is given as text.
    result: Any
    error: str | None
    enqueue_time: datetime | None
    start_time: datetime | None
    finish_time: datetime | None
    tries: int
    progress: ProgressRead | None


class JobAccepted(BaseModel):
    """Work that is done later, and where to look what became of it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"job_id": EXAMPLE_ID, "url": f"/api/v1/jobs/{EXAMPLE_ID}"}}
    )

    job_id: str
    url: str


def accepted(response: Response, job_id: str) -> JobAccepted:
    """Make the body and the `Location` of an answer of 202."""
    url = f"{router.prefix}/{quote(job_id, safe='')}"
    response.headers["Location"] = url
    return JobAccepted(job_id=job_id, url=url)


@router.get("/{job_id}", responses=problem_responses(404, 503))
async def read_job(job_id: JobId) -> JobRead:
    """Look a job up: where it is, and what came of it."""
    info = await find_job(job_id)
    if info is None:
        raise Problem(404, f"no job has the id {job_id!r}, or its result is no longer kept")
    progress = info.progress and ProgressRead(
        done=info.progress.done, total=info.progress.total, message=info.progress.message
    )
    return JobRead(
        job_id=info.job_id,
        task=info.task,
        status=info.status,
        result=to_jsonable_python(info.result, fallback=repr, bytes_mode="base64", inf_nan_mode="strings"),
        error=info.error,
        enqueue_time=info.enqueue_time,
        start_time=info.start_time,
        finish_time=info.finish_time,
        tries=info.tries,
        progress=progress,
    )


async def queue_unavailable(request: Request, error: Exception) -> Response:
    """Answer a request that needs the queue while Redis does not answer, or the queue is full."""
    problem = "is full" if isinstance(error, QueueFull) else "does not answer"
    logger.warning("not queued", path=request.url.path, error=str(error))
    headers = {"Retry-After": str(RETRY_AFTER)}
    return problem_response(request, 503, f"the queue {problem}; try again later", headers=headers)


async def check_redis() -> dict[str, Any]:
    """Ask Redis for an answer; for the health check."""
    await (await get_task_pool()).ping()
    return {}


async def check_worker() -> dict[str, Any]:
    """Look for the sign of life that workers leave every few seconds; for the health check."""
    sign = await (await get_task_pool()).get(keys.health())
    if sign is None:
        raise LookupError("no worker is alive; jobs wait until one starts")
    return {"sign_of_life": sign.decode()}


async def check_queue() -> dict[str, Any]:
    """Count the jobs that wait or run, in all queues; for the health check."""
    return {"depth": await Queues(await get_task_pool()).total()}
