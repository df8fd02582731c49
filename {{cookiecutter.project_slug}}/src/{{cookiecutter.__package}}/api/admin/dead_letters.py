"""Routes for administrators: jobs whose last try has failed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ...infrastructure.audit import audited
from ...infrastructure.jobs import FailureCause
from ..jobs import JobAccepted, JobId, Jobs
from ..problems import problem_responses
from .access import Acting
from .filters import Limit, OfQueue, OfTask, PageCursor, Since, Until
from .job_schemas import DeadLetterRow, DeadLettersRead, RetryRequest
from .jobs import accepted, retry

router = APIRouter(prefix="/dead-letters", tags=["admin: dead letters"])

WithCause = Annotated[
    list[FailureCause] | None,
    Query(description="Only those that failed like this; may be given several times", max_length=10),
]


@router.get("")
async def list_dead_letters(
    jobs: Jobs,
    *,
    task: OfTask = None,
    queue: OfQueue = None,
    cause: WithCause = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> DeadLettersRead:
    """List dead letters, the latest first, a page at a time; `since` and `until` are about when they died.

    A page may hold fewer than `limit`, or none, while there are more on the next.
    """
    page = await jobs.list_dead_letters(
        task=task, queue=queue, cause=cause, since=since, until=until, limit=limit, cursor=cursor
    )
    rows = [DeadLetterRow.model_validate(job) for job in page.jobs]
    return DeadLettersRead(dead_letters=rows, cursor=page.cursor)


@router.post("/{job_id:id}/replay", status_code=202, responses=problem_responses(404, 409))
async def replay_dead_letter(
    job_id: JobId, jobs: Jobs, actor: Acting, response: Response, edited: RetryRequest | None = None
) -> JobAccepted:
    """Run a dead letter again, as a new job: the same as retrying the job."""
    return accepted(response, await retry(jobs, actor, job_id, edited))


@router.delete("/{job_id:id}", status_code=204, responses=problem_responses(404, 409))
async def discard_dead_letter(job_id: JobId, jobs: Jobs, actor: Acting) -> None:
    """Throw a dead letter away; what is known of the job stays for as long as that is kept."""
    async with audited(actor, "job.discard", job_id):
        await jobs.discard(job_id)
