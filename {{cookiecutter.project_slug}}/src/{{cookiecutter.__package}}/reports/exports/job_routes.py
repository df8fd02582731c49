"""Routes of the exports that put work off."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import ConfigDict

from ...accounts.dependencies import CurrentUser
from ...api.dependencies import Session
from ...api.jobs import EXAMPLE_ID, JobAccepted, accepted
from ...api.problems import problem_responses
from ...infrastructure.jobs import TERMINAL_STATUSES
from ...infrastructure.outbox import enqueue_with
from ...infrastructure.tasks import find_job
from . import service

router = APIRouter(prefix="/api/v1/exports", tags=["exports"])


class ExportAccepted(JobAccepted):
    """An export that is made later, and the job that makes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"export_id": 1, "job_id": EXAMPLE_ID, "url": f"/api/v1/jobs/{EXAMPLE_ID}"},
        }
    )

    export_id: int


@router.post("", status_code=202, responses=problem_responses(401, 503))
async def request_export(user: CurrentUser, session: Session, response: Response) -> ExportAccepted:
    """Ask for all that is stored about you, as a ZIP of JSON files; a link to it comes by mail when it is ready.

    While one is being made, asking again gives that one.
    """
    export = await service.find_waiting(session, user.id)
    if export and export.job_id and not await _is_alive(export.job_id):
        await service.fail_export(session, export.job_id)
    export = await service.request_export(session, user.id)
    if export.job_id is None:
        export.job_id = await enqueue_with(session, "export_user_data", user_id=user.id)
    await session.commit()
    job = accepted(response, export.job_id)
    return ExportAccepted(export_id=export.id, **job.model_dump())


async def _is_alive(job_id: str) -> bool:
    """Tell whether a job is still to end: one that was cancelled, or is lost, has told nobody."""
    job = await find_job(job_id)
    return job is not None and job.status not in TERMINAL_STATUSES
