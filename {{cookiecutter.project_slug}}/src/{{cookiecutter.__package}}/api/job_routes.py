"""Looking jobs up over HTTP, and cancelling them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Query, Response

from ..accounts.dependencies import CurrentUser
from ..infrastructure.audit import Actor, audited
from ..infrastructure.jobs import TERMINAL_STATUSES
from .job_access import OwnJob, VisibleJob, is_owner
from .job_events import router as events_router
from .jobs import PATH, JobRead, Jobs, job_read
from .problems import problem_responses

router = APIRouter(tags=["jobs"])
router.include_router(events_router)  # before the routes below: an id may hold slashes

Terminate = Annotated[bool, Query(description="End it even if it runs")]


@router.get(PATH + "/{job_id:id}", responses=problem_responses(401, 404, 503))
async def read_job(job: VisibleJob) -> JobRead:
    """Look a job up: where it is, and what came of it. One that is not yours looks like one that does not exist."""
    return job_read(job)


@router.delete(
    PATH + "/{job_id:id}",
    responses={
        202: {"model": JobRead, "description": "Its worker is about to end it"},
        **problem_responses(401, 403, 404, 409, 503),
    },
)
async def cancel_job(
    job: OwnJob, user: CurrentUser, jobs: Jobs, response: Response, *, terminate: Terminate = False
) -> JobRead:
    """Cancel a job that waits, or with `terminate` one that runs. Of a chain or a group, all its jobs."""
    async with AsyncExitStack() as log:
        if not is_owner(user, job):  # what administrators do to the jobs of others is written down
            actor = Actor(user.email, user.id)
            await log.enter_async_context(audited(actor, "job.cancel", job.job_id, task=job.task, terminate=terminate))
        ended = await jobs.end(job.job_id, terminate=terminate)
    if ended.status not in TERMINAL_STATUSES:
        response.status_code = 202
    return job_read(ended)
