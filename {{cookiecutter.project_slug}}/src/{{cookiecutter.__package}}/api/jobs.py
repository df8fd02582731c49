"""What routes need to do with jobs, and how callers see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Path, Response
from pydantic import BaseModel, ConfigDict
from starlette.convertors import StringConvertor, register_url_convertor

from ..infrastructure.jobs import JobManager, JobStatus, QueueBackend, Queues, keys
from ..infrastructure.jobs.json_values import jsonable
from ..infrastructure.tasks import get_job_manager, get_queue, get_task_pool

if TYPE_CHECKING:
    from pydantic.config import JsonDict

    from ..infrastructure.jobs import JobRecord

#: What enqueues, schedules, combines and controls jobs.
Jobs = Annotated[JobManager, Depends(get_job_manager)]
#: What the manager stands on.
Queue = Annotated[QueueBackend, Depends(get_queue)]

#: A job's id in the examples of the OpenAPI document.
EXAMPLE_ID = "18ea46051a6f788517943ebb4c546e12"

#: A job in those examples.
EXAMPLE: JsonDict = {
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

#: Any text but NUL, which PostgreSQL cannot even look for.
JobId = Annotated[str, Path(max_length=1000, pattern=r"^[^\x00]+$", examples=[EXAMPLE_ID])]


class IdConvertor(StringConvertor):
    """`{job_id:id}` in a path: an id with slashes, too, as ids and names of one's own may have them.

    One that ends like what stands behind ids in paths cannot be reached: the path would mean two things.
    """

    regex = "(?:[^/]+|.+(?<!/events)(?<!/pause)(?<!/quiet)(?<!/replay)(?<!/resume)(?<!/retry)(?<!/run)(?<!/stop))"


class JobIdConvertor(StringConvertor):
    """`{job_id:id_of_one}`: likewise, where `bulk` in the place of an id means many."""

    regex = rf"(?!bulk\Z){IdConvertor.regex}"


register_url_convertor("id", IdConvertor())
register_url_convertor("id_of_one", JobIdConvertor())

#: Where callers look their jobs up.
PATH = "/api/v1/jobs"


class ProgressRead(BaseModel):
    """How far a running job says it is."""

    model_config = ConfigDict(from_attributes=True)

    done: float
    total: float | None
    message: str | None


class JobRead(BaseModel):
    """A job as its caller sees it."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

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

    model_config = ConfigDict(json_schema_extra={"example": {"job_id": EXAMPLE_ID, "url": f"{PATH}/{EXAMPLE_ID}"}})

    job_id: str
    url: str


def accepted(response: Response, job_id: str) -> JobAccepted:
    """Make the body and the `Location` of an answer of 202."""
    url = f"{PATH}/{quote(job_id, safe='')}"
    response.headers["Location"] = url
    return JobAccepted(job_id=job_id, url=url)


def job_read(record: JobRecord) -> JobRead:
    """Show a job, or a workflow as a whole, to its caller."""
    return JobRead(
        job_id=record.job_id,
        task=record.task,
        status=record.status,
        result=jsonable(record.result),
        error=record.error,
        enqueue_time=record.enqueue_time,
        start_time=record.start_time,
        finish_time=record.finish_time,
        tries=record.tries,
        progress=record.progress and ProgressRead.model_validate(record.progress),
    )


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
