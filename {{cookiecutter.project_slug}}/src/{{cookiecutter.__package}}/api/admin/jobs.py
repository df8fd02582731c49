"""Routes for administrators: jobs."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from ...infrastructure.audit import audited
from ...infrastructure.jobs import TERMINAL_STATUSES, InvalidQueryError, JobNotFoundError, JobStatus
from ..jobs import JobAccepted, JobId, Jobs
from ..problems import problem_responses
from .access import Acting
from .bulk_schemas import BulkFilter, BulkRead, BulkRequest
from .filters import Limit, Name, OfQueue, OfTask, PageCursor, Since, Until
from .job_schemas import JobDetailsRead, JobRow, JobsRead, RetryRequest

router = APIRouter(prefix="/jobs", tags=["admin: jobs"])

WithStatus = Annotated[
    list[JobStatus] | None, Query(description="Only those that are here; may be given several times", max_length=10)
]
WithId = Annotated[Name | None, Query(description="Only this job, if the other filters fit", examples=["nightly"])]
Terminate = Annotated[bool, Query(description="End it even if it runs")]


@router.get("")
async def list_jobs(
    jobs: Jobs,
    *,
    status: WithStatus = None,
    task: OfTask = None,
    queue: OfQueue = None,
    since: Since = None,
    until: Until = None,
    job_id: WithId = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> JobsRead:
    """List jobs, a page at a time: first those that have not ended, then those that have, the latest first.

    `since` and `until` are about the end of jobs that have ended, and the enqueueing of all others. A page may hold
    fewer jobs than `limit`, or none, while there are more on the next.
    """
    page = await jobs.list_jobs(
        status=status,
        task=task,
        queue=queue,
        since=since,
        until=until,
        job_id=job_id,
        limit=limit,
        cursor=cursor,
    )
    return JobsRead(jobs=[JobRow.model_validate(job) for job in page.jobs], cursor=page.cursor)


@router.post("/bulk")
async def act_on_jobs(wanted: BulkRequest, jobs: Jobs, actor: Acting) -> BulkRead:
    """Retry, cancel or discard all jobs that fit; by default only count what that would do.

    Where `more` is true in the answer, the same request again goes on.
    """
    if wanted.dry_run:
        return await _bulk(jobs, wanted)
    filters = wanted.filter.model_dump(mode="json", exclude_none=True)
    how: dict[str, Any] = {"terminate": wanted.terminate, "limit": wanted.limit}
    async with audited(actor, f"jobs.{wanted.action}", filter=filters, **how) as entry:
        result = await _bulk(jobs, wanted)
        entry.details |= result.model_dump(include={"matched", "done", "refused", "more"})
    return result


async def _bulk(jobs: Jobs, wanted: BulkRequest) -> BulkRead:
    how: dict[str, Any] = wanted.model_dump(include={"terminate", "dry_run", "limit"})
    try:
        return BulkRead.model_validate(await jobs.bulk(wanted.action, **wanted.filter.model_dump(), **how))
    except InvalidQueryError as error:
        if error.setting in BulkFilter.model_fields:
            error.setting = f"filter.{error.setting}"  # where it stands in the body
        raise


@router.get("/{job_id:id_of_one}", responses=problem_responses(404))
async def inspect_job(job_id: JobId, jobs: Jobs) -> JobDetailsRead:
    """Look at everything that is known of a job, or of a chain or a group; secrets are shown as `***`."""
    details = await jobs.inspect(job_id)
    if details is None:
        raise JobNotFoundError(job_id)
    return JobDetailsRead.of(details)


@router.post("/{job_id:id_of_one}/retry", status_code=202, responses=problem_responses(404, 409))
async def retry_job(
    job_id: JobId, jobs: Jobs, actor: Acting, response: Response, edited: RetryRequest | None = None
) -> JobAccepted:
    """Run a failed job again, as a new job with all its tries; its dead letter is gone then.

    Other arguments may be given; a `***` among them stands for the secret that was shown so.
    """
    return accepted(response, await retry(jobs, actor, job_id, edited))


@router.delete(
    "/{job_id:id_of_one}",
    responses={202: {"model": JobRow, "description": "Its worker is about to end it"}, **problem_responses(404, 409)},
)
async def end_job(
    job_id: JobId, jobs: Jobs, actor: Acting, response: Response, *, terminate: Terminate = False
) -> JobRow:
    """Cancel a job that waits, or with `terminate` one that runs. Of a chain or a group, all its jobs."""
    async with audited(actor, "job.cancel", job_id, terminate=terminate):
        record = await jobs.end(job_id, terminate=terminate)
    if record.status not in TERMINAL_STATUSES:
        response.status_code = 202
    return JobRow.model_validate(record)


async def retry(jobs: Jobs, actor: Acting, job_id: str, edited: RetryRequest | None) -> str:
    """Make a new job of a dead letter, and give its id."""
    args = None if edited is None or edited.args is None else tuple(edited.args)
    kwargs = None if edited is None else edited.kwargs
    edits = await _shown_edits(jobs, job_id, args, kwargs)
    async with audited(actor, "job.retry", job_id, **edits) as entry:
        new_id = await jobs.retry(job_id, args=args, kwargs=kwargs)
        entry.details["new_job_id"] = new_id
    return new_id


async def _shown_edits(
    jobs: Jobs, job_id: str, args: tuple[Any, ...] | None, kwargs: dict[str, Any] | None
) -> dict[str, Any]:
    """Give what is edited, for the audit log: it takes the job's task to know which arguments are secret."""
    if args is None and kwargs is None:
        return {}
    details = await jobs.inspect(job_id)
    if details is None:  # then it is not retried either
        return {}
    shown = dict(zip(("args", "kwargs"), await jobs.masked(details.job.task, args or (), kwargs or {}), strict=True))
    return {name: shown[name] for name, given in (("args", args), ("kwargs", kwargs)) if given is not None}


def accepted(response: Response, job_id: str) -> JobAccepted:
    """Make the body and the `Location` of an answer of 202: where an administrator looks at the job."""
    url = f"/api/v1/admin/jobs/{quote(job_id, safe='')}"
    response.headers["Location"] = url
    return JobAccepted(job_id=job_id, url=url)
