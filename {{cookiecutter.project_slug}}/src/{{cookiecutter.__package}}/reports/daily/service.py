"""What can be done with daily reports; knows neither HTTP nor what it runs in."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ...accounts.models import Role, User
from ...infrastructure import mail
from ...infrastructure.database import get_session_context, insert
from ..sources import SOURCES
from .models import DailyReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

#: Nothing happened before.
FIRST_DAY = date(2000, 1, 1)
DAY = timedelta(days=1)


class UnreportableDayError(Exception):
    """There are reports only of days that are over."""

    def __init__(self, day: date) -> None:
        super().__init__(f"there can be no report of {day}: give a day that is over in UTC, from {FIRST_DAY} on")


def day_before(moment: datetime) -> date:
    """Give the day in UTC before a moment."""
    return moment.astimezone(UTC).date() - DAY


def span_of(day: date) -> tuple[datetime, datetime]:
    """Give when a day begins, and when the next one does.

    Raises:
        UnreportableDayError: it is not over, or too long ago.
    """
    if not FIRST_DAY <= day <= day_before(datetime.now(UTC)):
        raise UnreportableDayError(day)
    start = datetime.combine(day, time.min, UTC)
    return start, start + DAY


async def write_report(session: AsyncSession, day: date, *, jobs: dict[str, Any] | None = None) -> DailyReport:
    """Count what happened on a day and store it in the caller's transaction; the report is locked until that ends.

    There is one report for a day: another run replaces its figures. Only figures of jobs that were complete are not
    replaced by such as are not, because those are forgotten after a while.

    Args:
        session: whose transaction it becomes part of.
        day: the day in UTC.
        jobs: the figures of jobs with `complete`, whether nothing is missing in them; None: nothing is known of jobs.

    Raises:
        UnreportableDayError: the day is not over, or too long ago.
    """
    since, until = span_of(day)
    report = await _lock(session, day)
    figures = {name: await count(session, since=since, until=until) for name, count in SOURCES.items()}
    known = report.figures.get("jobs")
    if known and (jobs is None or (known["complete"] and not jobs["complete"])):
        jobs = known
    report.figures = figures if jobs is None else {**figures, "jobs": jobs}
    await session.flush()
    return report


async def claim_mailing(session: AsyncSession, report: DailyReport) -> Sequence[User]:
    """Give the admins to whom the caller is to mail a report that it has just written; nobody if that was done."""
    if report.mailed_at is not None:
        return []
    admins = (await session.scalars(select(User).where(User.role == Role.ADMIN).order_by(User.id))).all()
    report.mailed_at = datetime.now(UTC) if admins else None
    await session.flush()
    return admins


async def get_report(session: AsyncSession, day: date) -> DailyReport | None:
    """Find the report of a day."""
    return (await session.scalars(select(DailyReport).where(DailyReport.day == day))).one_or_none()


async def list_reports(session: AsyncSession, *, before: date | None, limit: int) -> Sequence[DailyReport]:
    """Find the latest reports, those of days before a day if one is given; the latest first."""
    query = select(DailyReport).order_by(DailyReport.day.desc()).limit(limit)
    return (await session.scalars(query if before is None else query.where(DailyReport.day < before))).all()


def compose(report: DailyReport) -> mail.Content:
    """Write the message that tells an admin of a report."""
    return mail.compose("reports/daily-report", day=report.day, figures=report.figures)


async def write_to(session: AsyncSession, user_id: int, day: date) -> tuple[str, mail.Content] | None:
    """Write the message for one admin, and give the address too; None if report or admin are no longer there."""
    user, report = await session.get(User, user_id), await get_report(session, day)
    if user is None or user.role != Role.ADMIN or report is None:
        return None
    return user.email, compose(report)


async def report_in_place(day: date) -> tuple[DailyReport, dict[str, mail.MailError | None]]:
    """Write the report of a day, and mail it to the admins unless that has been done; in transactions of its own.

    If nobody can be reached, the next run mails it again.

    Returns:
        The report, and for each address to which it was to be mailed what went wrong.

    Raises:
        UnreportableDayError: the day is not over, or too long ago.
    """
    async with get_session_context() as session:
        report = await write_report(session, day)
        admins = await claim_mailing(session, report)
    problems: dict[str, mail.MailError | None] = {}
    for admin in admins:  # one bad address keeps no other from its message
        try:
            await mail.send_content(admin.email, compose(report))
            problems[admin.email] = None
        except mail.MailError as error:
            problems[admin.email] = error
    if problems and all(problems.values()):
        async with get_session_context() as session:
            (await _lock(session, day)).mailed_at = None
    return report, problems


async def _lock(session: AsyncSession, day: date) -> DailyReport:
    """Give the report of a day, a new one if there is none; other runs of the same day wait here."""
    await session.execute(insert(session, DailyReport).values(day=day, figures={}).on_conflict_do_nothing())
    query = select(DailyReport).where(DailyReport.day == day).with_for_update()
    return (await session.scalars(query, execution_options={"populate_existing": True})).one()
