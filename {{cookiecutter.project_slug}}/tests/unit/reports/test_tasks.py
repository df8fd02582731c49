"""The tasks of the reports, and the routes that enqueue them, with the queue in memory."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.accounts.models import Role, User
from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import JobHistory, Retention
from {{ cookiecutter.__package }}.infrastructure.jobs.retention import trim
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task
from {{ cookiecutter.__package }}.reports.daily import job_figures, service
from {{ cookiecutter.__package }}.reports.newsletter import service as newsletters
from {{ cookiecutter.__package }}.reports.newsletter.models import Newsletter
from {{ cookiecutter.__package }}.reports.tasks import SCHEDULES

if TYPE_CHECKING:
    from email.message import EmailMessage

    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from signing_in import SignIn

DAY = date(2026, 2, 28)


async def add_users(number: int, *, role: Role = Role.USER, subscribed: bool = False) -> list[int]:
    async with get_session_context() as session:
        users = [User(email=f"{role}{n}@example.com", name="Ada", role=role) for n in range(number)]
        session.add_all(users)
        await session.flush()
        for user in users if subscribed else []:
            await newsletters.subscribe(session, user.id)
        return [user.id for user in users]


async def add_newsletter() -> int:
    async with get_session_context() as session:
        return (await newsletters.create(session, subject="News", body="Hello!")).id


async def find_newsletter(newsletter_id: int) -> Newsletter:
    async with get_session_context() as session:
        found = await newsletters.get_newsletter(session, newsletter_id)
    assert found
    return found


async def run_all(jobs: MemoryJobs) -> None:
    """Run jobs until there are none, those too that jobs have put into the outbox."""
    while await jobs.run_jobs():
        pass


async def make_report(jobs: MemoryJobs, day: str) -> None:
    await enqueue_task("generate_daily_report", day=day)
    await run_all(jobs)


def test_the_schedules_are_those_that_are_promised() -> None:
    """At nine each morning, and at midnight before Sunday, in UTC."""
    times = {schedule.name: (schedule.cron, schedule.timezone) for schedule in SCHEDULES}
    assert times == {"daily-report": ("0 9 * * *", "UTC"), "weekly-cleanup": ("0 0 * * SUN", "UTC")}


@pytest.mark.usefixtures("tables")
async def test_the_report_tells_of_yesterday(jobs: MemoryJobs) -> None:
    """That is the day before the job was enqueued, also where it runs a day later; it counts that day's jobs."""
    await enqueue_task("example_task", message="Hello!")
    await enqueue_task("example_task", message="Hello!", seconds="no number")
    await jobs.run_jobs(scheduled=True)
    today = datetime.now(UTC).date()
    jobs.clock.advance(timedelta(days=1))
    job_id = await enqueue_task("generate_daily_report", _defer_by=timedelta(hours=30))
    ended = await jobs.run_jobs(scheduled=True)
    assert [(job.job_id, job.result) for job in ended] == [(job_id, today.isoformat())]
    async with get_session_context() as session:
        report = await service.get_report(session, today)
    assert report
    figures = report.figures["jobs"]
    assert (figures["run"], figures["succeeded"], figures["failed"], figures["complete"]) == (2, 1, 1, True)
    assert {job["task"] for job in figures["slowest"]} == {"example_task"}


@pytest.mark.usefixtures("tables")
async def test_admins_are_mailed_once_for_a_report(jobs: MemoryJobs, mailbox: list[EmailMessage]) -> None:
    """However often it is made, with a job for each admin."""
    await add_users(2, role=Role.ADMIN)
    await add_users(2)
    for _ in range(3):
        await make_report(jobs, DAY.isoformat())
        jobs.clock.advance(timedelta(days=10))
    assert sorted(message["To"] for message in mailbox) == ["admin0@example.com", "admin1@example.com"]
    await make_report(jobs, "2026-02-27")
    assert len(mailbox) == 4


@pytest.mark.usefixtures("tables")
async def test_who_is_no_admin_any_more_gets_none(jobs: MemoryJobs, mailbox: list[EmailMessage]) -> None:
    """What counts is the time of sending; nor is there anything to send of a report that is gone."""
    [admin] = await add_users(1, role=Role.ADMIN)
    [user] = await add_users(1)
    await make_report(jobs, DAY.isoformat())
    mailbox.clear()
    await enqueue_task("send_daily_report", user_id=user, day=DAY.isoformat())
    await enqueue_task("send_daily_report", user_id=admin, day="2026-02-01")
    await enqueue_task("send_daily_report", user_id=99, day=DAY.isoformat())
    assert [job.result for job in await jobs.run_jobs()] == [False, False, False]
    assert mailbox == []


async def test_jobs_are_counted_in_pages(jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that ended on the day, the slowest first, and none of another day."""
    monkeypatch.setattr(job_figures, "PAGE", 2)
    for seconds in (0, 0.02, 0, 0.01, 0, 0, 0):
        await enqueue_task("example_task", message="Hello!", seconds=seconds)
    await jobs.run_jobs()
    waiting = await enqueue_task("example_task", message="not now", _defer_by=timedelta(days=1))
    await jobs.pool.cancel(str(waiting))
    day = datetime.now(UTC).date()
    jobs.clock.advance(timedelta(days=1))
    await enqueue_task("example_task", message="Hello!")
    await jobs.run_jobs()
    jobs.clock.advance(timedelta(days=1))
    history = JobHistory(jobs.pool)
    figures = await job_figures.count_jobs(history, day, retention=Retention())
    counted = {name: figures[name] for name in ("run", "succeeded", "failed", "cancelled", "complete")}
    assert counted == {"run": 7, "succeeded": 7, "failed": 0, "cancelled": 1, "complete": True}
    took = [job["seconds"] for job in figures["slowest"]]
    assert len(took) == job_figures.SLOWEST
    assert took == sorted(took, reverse=True)
    assert took[1] >= 0.01


async def test_it_says_when_jobs_are_missing(jobs: MemoryJobs) -> None:
    """Where the history is full or the day longer ago than it reaches, what is counted may not be all."""
    day = datetime.now(UTC).date()
    for _ in range(5):
        await enqueue_task("example_task", message="Hello!")
    await jobs.run_jobs()
    jobs.clock.advance(timedelta(days=1))
    history = JobHistory(jobs.pool)
    small = Retention(history=3)
    assert (await job_figures.count_jobs(history, day, retention=Retention()))["complete"]
    await trim(jobs.pool, small)
    figures = await job_figures.count_jobs(history, day, retention=small)
    assert (figures["succeeded"], figures["complete"]) == (3, False)

    # The same number of jobs, but a day on which all of them are younger than the oldest that is kept.
    jobs.clock.advance(timedelta(days=1))
    for _ in range(2):
        await enqueue_task("example_task", message="Hello!")
    await jobs.run_jobs()
    await trim(jobs.pool, small)
    jobs.clock.advance(timedelta(days=1))
    figures = await job_figures.count_jobs(history, day + timedelta(days=2), retention=small)
    assert (figures["succeeded"], figures["complete"]) == (2, True)

    old = Retention(history_age=timedelta(hours=1))
    assert not (await job_figures.count_jobs(history, day, retention=old))["complete"]


async def test_admins_ask_for_a_report(
    client: AsyncClient, sign_in: SignIn, jobs: MemoryJobs, mailbox: list[EmailMessage]
) -> None:
    """The answer says where to look; then the report is there. A day that is not over is refused."""
    headers = await sign_in("boss@example.com", role="admin")
    answer = await client.post("/api/v1/reports", json={"day": "2026-02-28"}, headers=headers)
    assert answer.status_code == 202
    assert answer.headers["Location"] == answer.json()["url"] == f"/api/v1/jobs/{answer.json()['job_id']}"
    assert (await client.post("/api/v1/reports", headers=headers)).status_code == 202
    await run_all(jobs)
    assert (await client.get("/api/v1/reports/2026-02-28", headers=headers)).status_code == 200
    assert len((await client.get("/api/v1/reports", headers=headers)).json()["items"]) == 2
    assert len(mailbox) == 2

    assert (await client.post("/api/v1/reports", json={"day": 86400 * 12000}, headers=headers)).status_code == 422
    for day in ("2999-01-01", "0001-01-01", datetime.now(UTC).date().isoformat()):
        refused = await client.post("/api/v1/reports", json={"day": day}, headers=headers)
        assert (refused.status_code, "give a day that is over" in refused.json()["detail"]) == (422, True)
    assert (await client.post("/api/v1/reports")).status_code == 401
    assert (await client.post("/api/v1/reports", headers=await sign_in())).status_code == 403
    assert await jobs.run_jobs() == []


@pytest.mark.usefixtures("tables")
async def test_a_newsletter_goes_to_all_subscribers(jobs: MemoryJobs, mailbox: list[EmailMessage]) -> None:
    """One copy each, and none for others; it says how many, and the job says how far it is."""
    await add_users(5, subscribed=True)
    await add_users(2, role=Role.ADMIN)
    newsletter_id = await add_newsletter()
    job_id = await enqueue_task("send_newsletter", newsletter_id=newsletter_id)
    records = {record.job_id: record for record in await jobs.run_jobs()}
    assert Counter(message["To"] for message in mailbox) == {f"user{n}@example.com": 1 for n in range(5)}
    progress = records[str(job_id)].progress
    assert progress
    assert (progress.done, progress.total) == (5, 5)
    newsletter = await find_newsletter(newsletter_id)
    assert (newsletter.total, newsletter.sent_at is None) == (5, False)
    await enqueue_task("send_newsletter", newsletter_id=newsletter_id)
    await enqueue_task("send_newsletter", newsletter_id=99)
    assert len(await jobs.run_jobs()) == 2
    assert len(mailbox) == 5


@pytest.mark.usefixtures("tables")
async def test_who_unsubscribes_meanwhile_gets_no_copy(jobs: MemoryJobs, mailbox: list[EmailMessage]) -> None:
    """It is looked up again when the copy is sent."""
    stays, goes = await add_users(2, subscribed=True)
    newsletter_id = await add_newsletter()
    for user_id in (stays, goes):
        await enqueue_task("send_newsletter_copy", newsletter_id=newsletter_id, user_id=user_id)
    async with get_session_context() as session:
        await newsletters.unsubscribe(session, goes)
    assert sorted(job.result for job in await jobs.run_jobs()) == [False, True]
    assert [message["To"] for message in mailbox] == ["user0@example.com"]


@pytest.mark.usefixtures("tables")
async def test_a_copy_is_not_sent_twice_by_other_jobs(jobs: MemoryJobs, mailbox: list[EmailMessage]) -> None:
    """When the newsletter breaks off, and is sent again after keys of jobs are forgotten, who has it gets none."""
    [first, second] = await add_users(2, subscribed=True)
    newsletter_id = await add_newsletter()
    await enqueue_task("send_newsletter_copy", newsletter_id=newsletter_id, user_id=first)
    await jobs.run_jobs()
    jobs.clock.advance(timedelta(days=3))
    await enqueue_task("send_newsletter", newsletter_id=newsletter_id)
    await jobs.run_jobs()
    assert [message["To"] for message in mailbox] == ["user0@example.com", "user1@example.com"]
    assert first < second


@pytest.mark.usefixtures("tables")
async def test_an_address_that_is_refused_is_a_dead_letter(jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps no other from the newsletter, and is not tried again."""
    sent: list[str] = []

    async def send(to: str, content: mail.Content, message_id: str | None = None) -> None:  # noqa: ARG001
        if to == "user1@example.com":
            raise mail.PermanentMailError("550 no such user")
        sent.append(to)

    monkeypatch.setattr(mail, "send_content", send)
    await add_users(3, subscribed=True)
    await enqueue_task("send_newsletter", newsletter_id=await add_newsletter())
    copies = [job for job in await jobs.run_jobs(scheduled=True) if job.task == "send_newsletter_copy"]
    assert sorted(sent) == ["user0@example.com", "user2@example.com"]
    assert sorted((job.status, job.tries) for job in copies) == [("failed", 1), ("success", 1), ("success", 1)]


async def test_admins_send_newsletters(
    client: AsyncClient, sign_in: SignIn, jobs: MemoryJobs, mailbox: list[EmailMessage]
) -> None:
    """The job is there with the newsletter, and gives its id; others may not, and a subject is one line."""
    await add_users(2, subscribed=True)
    headers = {**await sign_in("boss@example.com", role="admin")}
    new = {"subject": "News", "body": "Hello!\n\tTab and line break.\n"}
    answer = await client.post("/api/v1/newsletters", json=new, headers=headers)
    assert answer.status_code == 202
    assert answer.headers["Location"] == answer.json()["url"]
    await jobs.run_jobs()
    job = (await client.get(answer.json()["url"], headers=headers)).json()
    found = (await client.get(f"/api/v1/newsletters/{job['result']}", headers=headers)).json()
    assert (found["subject"], found["body"], found["total"]) == ("News", new["body"], 2)
    assert len(mailbox) == 2

    headers["Content-Type"] = "application/json"
    for subject, body in (("Two\nlines", "x"), (" ", "x"), ("News", ""), ("News", "\0"), ("News", "\ud800")):
        content = json.dumps({"subject": subject, "body": body})
        refused = await client.post("/api/v1/newsletters", content=content, headers=headers)
        assert refused.status_code == 422
    assert (await client.post("/api/v1/newsletters", json=new)).status_code == 401
    assert (await client.post("/api/v1/newsletters", json=new, headers=await sign_in())).status_code == 403
    assert await jobs.run_jobs() == []


@pytest.mark.usefixtures("tables")
async def test_the_clean_up_tells_how_much(jobs: MemoryJobs) -> None:
    """The job's result says how much of each kind it has deleted."""
    async with get_session_context() as session:
        session.add(Newsletter(subject="News", body="Hello!", created_at=datetime(2020, 1, 1, tzinfo=UTC)))
    await enqueue_task("cleanup_old_data")
    [job] = await jobs.run_jobs()
    assert job.result == {"password_resets": 0, "daily_reports": 0, "newsletters": 1, "exports": 0}
    assert job.progress
    assert (job.progress.done, job.progress.message) == (1, "newsletters")
