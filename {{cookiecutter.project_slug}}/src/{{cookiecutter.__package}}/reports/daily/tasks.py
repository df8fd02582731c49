"""Background work of the daily report."""

from __future__ import annotations

from datetime import date
from typing import Any

from ...infrastructure.database import get_session_context
from ...infrastructure.jobs import JobHistory, Schedule, task
from ...infrastructure.mail_tasks import MAIL_RETRY, deliver_once
from ...infrastructure.outbox import enqueue_with
from ...infrastructure.settings import get_settings
from . import service
from .job_figures import count_jobs


async def generate_daily_report(ctx: dict[str, Any], day: str | None = None) -> str:
    """Write the report of a day like `2026-11-20` in UTC, else of the day before the job was enqueued; give the day.

    The first run for a day also enqueues a message to each admin, in the transaction that stores the report.
    """
    of = date.fromisoformat(day) if day else service.day_before(ctx["enqueue_time"])
    jobs = await count_jobs(JobHistory(ctx["redis"]), of, retention=get_settings().jobs.retention())
    async with get_session_context() as session:
        report = await service.write_report(session, of, jobs=jobs)
        for admin in await service.claim_mailing(session, report):
            await enqueue_with(session, "send_daily_report", user_id=admin.id, day=of.isoformat())
    return of.isoformat()


@task(retry=MAIL_RETRY)
async def send_daily_report(ctx: dict[str, Any], user_id: int, day: str) -> bool:
    """Mail the report of a day to an admin; False if one of the two is no longer there."""
    async with get_session_context() as session:
        letter = await service.write_to(session, user_id, date.fromisoformat(day))
    if letter is None:
        return False
    to, content = letter
    await deliver_once(ctx, content, to=to)
    return True


TASKS = [generate_daily_report, send_daily_report]
SCHEDULES = [Schedule(generate_daily_report, "daily-report", cron="0 9 * * *")]
