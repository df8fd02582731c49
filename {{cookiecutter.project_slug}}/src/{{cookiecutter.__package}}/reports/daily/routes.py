"""Routes of the daily reports: reading them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from ...accounts.dependencies import ViewerUser
from ...api.dependencies import Session
from ...api.problems import Problem, problem_responses
from . import service
from .schemas import Day, ReportRead, ReportsRead

router = APIRouter(prefix="/api/v1/reports", tags=["reports"])

OfDay = Annotated[Day, Path(description="A day in UTC", examples=["2026-11-20"])]
Before = Annotated[Day | None, Query(description="Only reports of days before this one")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most")]


@router.get("", responses=problem_responses(401, 403))
async def list_reports(_viewer: ViewerUser, session: Session, before: Before = None, limit: Limit = 30) -> ReportsRead:
    """List the reports, the latest first; for admins and viewers."""
    reports = await service.list_reports(session, before=before, limit=limit + 1)
    items = [ReportRead.model_validate(report) for report in reports[:limit]]
    return ReportsRead(items=items, before=items[-1].day if len(reports) > limit else None)


@router.get("/{day}", responses=problem_responses(401, 403, 404))
async def read_report(day: OfDay, _viewer: ViewerUser, session: Session) -> ReportRead:
    """Read the report of a day; for admins and viewers."""
    report = await service.get_report(session, day)
    if report is None:
        raise Problem(404, f"there is no report of {day}")
    return ReportRead.model_validate(report)
