"""Whose jobs a request may see, and end."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends

from ..accounts.dependencies import CurrentUser  # noqa: TC001 - FastAPI reads it at run time
from ..accounts.models import SEEING_ROLES, Role, User
from ..infrastructure.jobs import JobNotFoundError, JobRecord
from ..infrastructure.tasks import find_job
from .dependencies import Session  # noqa: TC001
from .jobs import JobId  # noqa: TC001
from .problems import Problem

#: Seconds that it takes to say that there is no such job: the time is not to tell that it is somebody else's.
REFUSAL = 0.05


async def get_visible_job(job_id: JobId, user: CurrentUser, session: Session) -> JobRecord:
    """Find a job, or a workflow, of this user; any for those who see all. Otherwise there is none: 404.

    The connection to the database is given back before: a request may look at a job for minutes.
    """
    await session.commit()
    loop = asyncio.get_running_loop()
    began = loop.time()
    job = await find_job(job_id)
    if job and (is_owner(user, job) or user.role in SEEING_ROLES):
        return job
    await asyncio.sleep(began + REFUSAL - loop.time())
    raise JobNotFoundError(job_id)


#: The job of the path, if the user who is signed in may see it; 401 or 404 otherwise.
VisibleJob = Annotated[JobRecord, Depends(get_visible_job)]


async def get_own_job(job: VisibleJob, user: CurrentUser) -> JobRecord:
    """Find a job that this user may end: one of their own, or any for an administrator."""
    if not is_owner(user, job) and user.role != Role.ADMIN:
        raise Problem(403, "this is for administrators only")
    return job


#: As `VisibleJob`, if the user may end it, too; 403 for those who see all and change nothing.
OwnJob = Annotated[JobRecord, Depends(get_own_job)]


def is_owner(user: User, job: JobRecord) -> bool:
    """Tell whether a job is this user's; those that nobody has asked for are nobody's."""
    return job.owner == str(user.id)
