"""Background work of the accounts, with the jobs in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from {{ cookiecutter.__package }}.accounts import tasks
from {{ cookiecutter.__package }}.accounts.models import PasswordReset
from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task

if TYPE_CHECKING:
    from email.message import EmailMessage

    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from signing_in import SignIn

EMAIL = "ada@example.com"
RESET = "/api/v1/auth/password-reset"


async def test_a_reset_is_work_for_jobs(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """One looks the address up, another sends the message; the answer names the first, which tells nothing."""
    await sign_in(EMAIL)
    response = await client.post(RESET, json={"email": EMAIL})
    job_id = response.json()["job_id"]
    assert response.headers["location"] == response.json()["url"] == f"/api/v1/jobs/{job_id}"
    await jobs.settle()
    jobs.assert_enqueued("request_password_reset", email=EMAIL)
    assert mailbox == []
    first, second = await jobs.run_jobs()
    assert (first.job_id, first.status, first.result) == (job_id, JobStatus.SUCCESS, None)
    assert (second.task, second.status, second.result) == ("send_password_reset_email", JobStatus.SUCCESS, None)
    assert [message["To"] for message in mailbox] == [EMAIL]


async def test_the_job_of_an_unknown_address_looks_the_same(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, result, tries and how long it took are those of a known address, for those who may look the job up."""
    await sign_in(EMAIL)
    headers = await sign_in("root@example.com", role="admin")
    seen = []
    for email in (EMAIL, "nobody@example.com"):
        response = await client.post(RESET, json={"email": email})
        await jobs.run_jobs()
        job = (await client.get(response.json()["url"], headers=headers)).json()
        seen.append({name: job[name] for name in ("task", "status", "result", "error", "tries", "progress")})
    assert seen[0] == seen[1]

    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", wait)
    for email in (EMAIL, "nobody@example.com"):
        await tasks.request_password_reset({}, email)
    assert waited == [tasks.RESET_TIME] * 2


async def test_a_message_that_cannot_be_enqueued_leaves_no_link(
    jobs: MemoryJobs, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link and the job that mails it are one transaction."""

    async def broken(*_args: object, **_kwargs: object) -> str:
        raise RuntimeError("no")

    await sign_in(EMAIL)
    monkeypatch.setattr(tasks, "enqueue_with", broken)
    with pytest.raises(RuntimeError):
        await tasks.request_password_reset({}, EMAIL)
    async with get_session_context() as session:
        assert (await session.scalars(select(PasswordReset))).all() == []
    assert jobs is not None


@pytest.mark.usefixtures("tables")
async def test_a_mail_server_that_is_away_delays_the_greeting(
    jobs: MemoryJobs, mailbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary error is tried again; a permanent one is a dead letter at once."""
    send, errors = mail.send_content, [mail.TemporaryMailError("later"), mail.TemporaryMailError("later")]

    async def sometimes(*args: str, **kwargs: str) -> None:
        if errors:
            raise errors.pop()
        await send(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(mail, "send_content", sometimes)
    await enqueue_task("send_welcome_email", user_email=EMAIL, user_name="Ada")
    [job] = await jobs.run_jobs(scheduled=True)
    assert (job.status, job.tries, len(mailbox)) == (JobStatus.SUCCESS, 3, 1)

    errors[:] = [mail.PermanentMailError("never")]  # type: ignore[list-item]
    await enqueue_task("send_welcome_email", user_email=EMAIL, user_name="Ada")
    [job] = await jobs.run_jobs(scheduled=True)
    assert (job.status, job.tries, len(mailbox)) == (JobStatus.FAILED, 1, 1)
