"""Reports, clean-up and newsletters on a real Redis and PostgreSQL: beside themselves, and broken off in the middle."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, insert, select

from {{ cookiecutter.__package }}.accounts.models import Role, User
from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import JobManager, JobStatus
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, get_job_manager
from {{ cookiecutter.__package }}.reports.cleanup import service as cleanup
from {{ cookiecutter.__package }}.reports.daily.models import DailyReport
from {{ cookiecutter.__package }}.reports.newsletter import service as newsletters
from {{ cookiecutter.__package }}.reports.newsletter import tasks
from {{ cookiecutter.__package }}.reports.newsletter.models import Newsletter, Subscription
from {{ cookiecutter.__package }}.reports.tasks import TASKS

from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage

    from sqlalchemy.ext.asyncio import AsyncSession

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord

    from integration.conftest import RunJobs

TESTS = Path(__file__).parents[2]
DAY = date(2026, 2, 28)
OLD = datetime(2020, 1, 1, tzinfo=UTC)


pytestmark = pytest.mark.usefixtures("redis_url", "on_postgresql", "tables")


@pytest.fixture
async def manager(redis_url: str) -> JobManager:  # noqa: ARG001 - the settings point there
    """Give what tells of jobs."""
    return await get_job_manager()


async def add_users(number: int, role: Role = Role.USER) -> None:
    async with get_session_context() as session:
        values = [{"email": f"{role}{n}@example.com", "name": "Ada", "role": role} for n in range(number)]
        await session.execute(insert(User), values)


async def run_all(run_jobs: RunJobs, **settings: Any) -> None:
    """Run jobs until there are none, those too that jobs have put into the outbox."""
    while (worker := await run_jobs(*TASKS, **settings)).jobs_complete + worker.jobs_failed:
        pass


async def record_of(manager: JobManager, job_id: str | None) -> JobRecord:
    record = await manager.get_status(job_id)
    assert record
    return record


async def test_two_runs_at_once_make_one_report(
    run_jobs: RunJobs, manager: JobManager, mailbox: list[EmailMessage]
) -> None:
    """They wait for each other in the database; each admin gets one message."""
    await add_users(3, Role.ADMIN)
    job_ids = [await enqueue_task("generate_daily_report", day=DAY.isoformat()) for _ in range(5)]
    await run_all(run_jobs)
    records = [await record_of(manager, job_id) for job_id in job_ids]
    assert [(record.status, record.tries) for record in records] == [("success", 1)] * 5
    async with get_session_context() as session:
        reports = (await session.scalars(select(DailyReport))).all()
    assert [report.day for report in reports] == [DAY]
    assert Counter(message["To"] for message in mailbox) == {f"admin{n}@example.com": 1 for n in range(3)}


async def test_the_report_counts_the_jobs_of_redis(run_jobs: RunJobs) -> None:
    """Those that ended on the day; those of today are none of it."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    await enqueue_task("cleanup_old_data")
    await run_all(run_jobs)
    await enqueue_task("generate_daily_report", day=yesterday.isoformat())
    await run_all(run_jobs)
    async with get_session_context() as session:
        [report] = await session.scalars(select(DailyReport))
    assert (report.figures["sign_ups"], report.figures["jobs"]["run"]) == (0, 0)
    assert report.figures["jobs"]["complete"]


async def test_ten_thousand_rows_go_in_batches(
    run_jobs: RunJobs, manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in the middle, what is done is done; the next try does the rest, and young rows stay."""
    async with get_session_context() as session:
        values = [
            {"day": date(1990, 1, 1) + timedelta(days=n), "figures": {}, "created_at": (OLD, datetime.now(UTC))[n % 2]}
            for n in range(20_000)
        ]
        await session.execute(insert(DailyReport), values)
    done: list[int] = []

    def session_until_cut_off() -> Any:
        if len(done) == 4:
            done.append(0)
            raise ConnectionError("cut off")
        done.append(0)
        return get_session_context()

    monkeypatch.setattr(cleanup, "get_session_context", session_until_cut_off)
    job_id = await enqueue_task("cleanup_old_data")
    await run_jobs(*TASKS, max_tries=1)
    record = await record_of(manager, job_id)
    assert (record.status, record.error) == (JobStatus.FAILED, "ConnectionError: cut off")
    async with get_session_context() as session:
        assert (await session.scalars(select(func.count()).select_from(DailyReport))).one() == 17_000

    job_id = await enqueue_task("cleanup_old_data")
    await run_jobs(*TASKS, max_tries=1)
    record = await record_of(manager, job_id)
    assert record.result["daily_reports"] == 7000
    assert record.progress
    assert record.progress.done == 7000
    async with get_session_context() as session:
        assert (await session.scalars(select(func.count()).select_from(DailyReport))).one() == 10_000


async def add_newsletter(subscribers: int) -> int:
    await add_users(subscribers)
    async with get_session_context() as session:
        users = await session.scalars(select(User.id))
        await session.execute(insert(Subscription), [{"user_id": user_id} for user_id in users])
        return (await newsletters.create(session, subject="News", body="Hello!")).id


async def find_newsletter(newsletter_id: int) -> Newsletter:
    async with get_session_context() as session:
        found = await newsletters.get_newsletter(session, newsletter_id)
    assert found
    return found


async def check_copies(newsletter_id: int, mailbox: list[EmailMessage], *, number: int) -> None:
    assert Counter(message["To"] for message in mailbox) == {f"user{n}@example.com": 1 for n in range(number)}
    newsletter = await find_newsletter(newsletter_id)
    assert (newsletter.total, newsletter.sent_at is None) == (number, False)


async def test_a_newsletter_that_fails_in_the_middle_reaches_everybody_once(
    run_jobs: RunJobs, manager: JobManager, mailbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try enqueues what is missing, while copies of the first are sent already."""
    ids = newsletters.subscriber_ids
    reached: list[int] = []

    async def failing_once(**kwargs: Any) -> AsyncIterator[int]:
        async for user_id in ids(**kwargs):
            reached.append(user_id)
            if len(reached) == 110:
                raise ConnectionError("the database is away")
            yield user_id

    async def write_quickly(_session: AsyncSession, _newsletter_id: int, user_id: int) -> tuple[str, mail.Content]:
        return f"user{user_id - 1}@example.com", mail.Content("News", "Hello!")

    monkeypatch.setattr(newsletters, "PAGE", 40)
    monkeypatch.setattr(tasks, "TOGETHER", 50)
    monkeypatch.setattr(newsletters, "subscriber_ids", failing_once)
    monkeypatch.setattr(newsletters, "write_copy", write_quickly)
    newsletter_id = await add_newsletter(120)
    job_id = await enqueue_task("send_newsletter", newsletter_id=newsletter_id)
    await run_all(run_jobs, max_jobs=50)
    record = await record_of(manager, job_id)
    assert (record.status, record.tries) == (JobStatus.SUCCESS, 2)
    assert record.progress
    assert (record.progress.done, record.progress.total) == (120, 120)
    await check_copies(newsletter_id, mailbox, number=120)


async def test_a_newsletter_whose_worker_is_killed_reaches_everybody_once(
    run_jobs: RunJobs, manager: JobManager, mailbox: list[EmailMessage]
) -> None:
    """Another worker begins anew when the lease is over: the copies that are enqueued are not enqueued again."""
    newsletter_id = await add_newsletter(200)
    await enqueue_task("send_newsletter", newsletter_id=newsletter_id)
    async with command("arq", "integration.reports.dying.SETTINGS", PYTHONPATH=str(TESTS)) as worker:
        assert await worker.end() == -signal.SIGKILL, worker.output
    assert await manager.queue_length() == 100  # whole round trips
    while (await find_newsletter(newsletter_id)).sent_at is None:
        await run_jobs(*TASKS, max_jobs=50)
    await run_all(run_jobs, max_jobs=50)
    await check_copies(newsletter_id, mailbox, number=200)
