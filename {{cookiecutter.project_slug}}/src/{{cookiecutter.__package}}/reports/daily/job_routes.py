"""Routes of the daily reports that put work off."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ...accounts.dependencies import AdminUser
from ...api.jobs import JobAccepted, accepted
from ...api.problems import Problem, problem_responses
from ...infrastructure.tasks import enqueue_task
from . import service
from .schemas import ReportRequest

router = APIRouter(prefix="/api/v1/reports", tags=["reports"])


@router.post("", status_code=202, responses=problem_responses(401, 403, 503))
async def make_report(_admin: AdminUser, response: Response, wanted: ReportRequest | None = None) -> JobAccepted:
    """Make a report, or make it anew, of a day that is over; for admins. Nobody gets it by mail twice."""
    day = wanted and wanted.day
    try:
        if day:
            service.span_of(day)
    except service.UnreportableDayError as error:
        raise Problem(422, str(error)) from None
    job_id = await enqueue_task("generate_daily_report", day=day and day.isoformat())
    return accepted(response, str(job_id))
