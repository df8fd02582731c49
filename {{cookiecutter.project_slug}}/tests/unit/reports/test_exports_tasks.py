"""Exports in the background: asking for one, the job that makes it, the message that it is ready."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from zipfile import ZipFile

import pytest
from sqlalchemy import delete, select

from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.cache import SessionManager, get_cache
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, find_job, get_job_manager
from {{ cookiecutter.__package }}.reports.exports import archive, service
from {{ cookiecutter.__package }}.reports.exports.models import DataExport, ExportStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import EmailMessage

    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from signing_in import SignIn


def files() -> list[str]:
    return [file.name for file in Path(".data/exports").glob("*")]


def contents(data: bytes) -> dict[str, Any]:
    with ZipFile(io.BytesIO(data)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def link_in(message: EmailMessage) -> str:
    text = message.get_body(["plain"])
    assert text is not None
    [link] = [line for line in text.get_content().splitlines() if line.startswith("http")]
    return str(link).removeprefix(get_settings().public_url)


async def exports() -> list[DataExport]:
    async with get_session_context() as session:
        return list(await session.scalars(select(DataExport).order_by(DataExport.id)))


async def ask(client: AsyncClient, headers: Mapping[str, str]) -> dict[str, Any]:
    answer = await client.post("/api/v1/exports", headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["url"] == f"/api/v1/jobs/{answer.json()['job_id']}"
    found: dict[str, Any] = answer.json()
    return found


async def test_a_user_gets_a_link_to_their_data_by_mail(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """From the request to the file: the row waits, the job makes it, the link of the mail works without signing in."""
    headers = await sign_in()
    session_id = await SessionManager(get_cache()).create(1, {"theme": "dark"})
    asked = await ask(client, headers)
    path = f"/api/v1/exports/{asked['export_id']}"
    waiting = (await client.get(path, headers=headers)).json()
    assert (waiting["status"], waiting["size"], waiting["download_url"]) == ("waiting", None, None)

    made, mailed = await jobs.run_jobs()
    assert (made.task, made.job_id, made.result) == ("export_user_data", asked["job_id"], asked["export_id"])
    assert (mailed.task, mailed.status) == ("send_export_link", "success")
    assert made.progress is not None
    assert made.progress.done == made.progress.total
    [message] = mailbox
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Your data is ready")
    answer = await client.get(link_in(message))
    found = contents(answer.content)
    assert found["users.json"][0]["email"] == "ada@example.com"
    [session] = found["sessions.json"]
    assert session["data"] == {"theme": "dark"}
    assert session_id not in answer.text
    assert (await client.get(path, headers=headers)).json()["status"] == "ready"


async def test_the_link_is_also_in_the_html(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """Both forms of the message lead to the same file."""
    await ask(client, await sign_in())
    await jobs.run_jobs()
    html = mailbox[0].get_body(["html"])
    assert html is not None
    assert link_in(mailbox[0]) in html.get_content()


async def test_asking_needs_a_user(client: AsyncClient) -> None:
    """Nobody else has data."""
    assert (await client.post("/api/v1/exports")).status_code == 401


async def test_asking_again_gives_the_one_that_waits(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """There is one job and one message; another user has their own; later there may be another."""
    headers = await sign_in()
    first = await ask(client, headers)
    assert await ask(client, headers) == first
    assert (await ask(client, await sign_in("bob@example.com")))["export_id"] != first["export_id"]
    await jobs.run_jobs()
    assert len(mailbox) == 2
    assert (await ask(client, headers))["export_id"] != first["export_id"]


async def test_nothing_is_enqueued_for_a_request_that_fails(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn
) -> None:
    """The job belongs to the transaction of the row."""
    headers = await sign_in()
    with patch("sqlalchemy.ext.asyncio.AsyncSession.commit", side_effect=RuntimeError):
        assert (await client.post("/api/v1/exports", headers=headers)).status_code == 500
    await jobs.settle()
    jobs.assert_not_enqueued("export_user_data")
    assert await exports() == []


async def test_a_link_expires_with_its_export(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """It works up to the last moment, then neither link nor export does, and the clean-up takes the file."""
    asked = await ask(client, await sign_in())
    await jobs.run_jobs()
    link = link_in(mailbox[0])
    jobs.clock.advance(timedelta(days=7) - timedelta(minutes=1))
    assert (await client.get(link)).status_code == 200
    jobs.clock.advance(timedelta(minutes=2))
    assert (await client.get(link)).status_code == 404
    headers = await sign_in()
    found = (await client.get(f"/api/v1/exports/{asked['export_id']}", headers=headers)).json()
    assert (found["status"], found["download_url"]) == ("expired", None)
    assert await service.delete_expired() == 1
    assert files() == []


async def test_the_task_needs_no_request(jobs: MemoryJobs, sign_in: SignIn, mailbox: list[EmailMessage]) -> None:
    """It makes the row that it needs."""
    await sign_in()
    await enqueue_task("export_user_data", user_id=1)
    await jobs.run_jobs()
    [export] = await exports()
    assert (export.user_id, export.state, len(mailbox)) == (1, ExportStatus.READY, 1)


async def test_a_retry_goes_on_with_the_same_export(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """A try that fails in the middle leaves no file; the next makes the same export from the beginning."""
    asked = await ask(client, await sign_in())
    write, fails = archive.write_archive, [True]

    async def fails_once(*args: Any, **kwargs: Any) -> int:
        rows = await write(*args, **kwargs)
        if fails.pop() if fails else False:
            raise ConnectionError("at the very end")
        return rows

    with patch.object(service, "write_archive", fails_once):
        await jobs.run_jobs(scheduled=True)
    [export] = await exports()
    assert (export.id, export.state) == (asked["export_id"], ExportStatus.READY)
    assert files() == [export.file]
    record = await find_job(asked["job_id"])
    assert record is not None
    assert (record.tries, len(mailbox)) == (2, 1)


async def test_an_export_that_cannot_be_made_has_failed(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """After the last try the user sees it, nothing is left behind, and asking again begins anew."""
    headers = await sign_in()
    asked = await ask(client, headers)
    with patch.object(service, "write_archive", side_effect=OSError("the disk is full")):
        await jobs.run_jobs(scheduled=True)
    headers = await sign_in()
    found = (await client.get(f"/api/v1/exports/{asked['export_id']}", headers=headers)).json()
    assert found["status"] == "failed"
    again = await ask(client, headers)
    assert again["export_id"] != asked["export_id"]
    await jobs.run_jobs()
    assert len(mailbox) == 1


async def test_a_job_that_has_died_in_silence_bars_nobody(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """Nobody tells the row when a job is cancelled; asking again finds out."""
    headers = await sign_in()
    asked = await ask(client, headers)
    await jobs.settle()
    assert await (await get_job_manager()).cancel(asked["job_id"])
    again = await ask(client, headers)
    assert again["export_id"] != asked["export_id"]
    await jobs.run_jobs()
    assert [export.state for export in await exports()] == [ExportStatus.FAILED, ExportStatus.READY]
    assert len(mailbox) == 1


async def test_a_job_for_nobody_is_not_tried_again(jobs: MemoryJobs, tables: None) -> None:  # noqa: ARG001
    """There will never be such a user."""
    await enqueue_task("export_user_data", user_id=7)
    [job] = await jobs.run_jobs(scheduled=True)
    assert (job.status, job.tries) == ("failed", 1)
    assert "no user has the id 7" in str(job.error)


async def test_a_user_who_goes_meanwhile_leaves_nothing(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """Their export goes with them: no file, no message."""
    asked = await ask(client, await sign_in())
    write = archive.write_archive

    async def then_deleted(*args: Any, **kwargs: Any) -> int:
        rows = await write(*args, **kwargs)
        async with get_session_context() as session:
            await session.execute(delete(User))
        return rows

    with patch.object(service, "write_archive", then_deleted):
        [job] = await jobs.run_jobs()
    assert (job.job_id, job.status, job.result) == (asked["job_id"], "success", None)
    assert (mailbox, files()) == ([], [])


async def test_a_mail_that_fails_exports_nothing_again(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """Only the message is tried again, and it leads to the same file."""
    await ask(client, await sign_in())
    send, answers = mail.send_content, [mail.TemporaryMailError("421 try later"), None]

    async def busy(*args: Any, **kwargs: Any) -> None:
        if problem := answers.pop(0):
            raise problem
        await send(*args, **kwargs)

    with patch.object(mail, "send_content", busy):
        made, mailed = await jobs.run_jobs(scheduled=True)
    assert (made.tries, mailed.tries) == (1, 2)
    [export] = await exports()
    assert contents((await client.get(link_in(mailbox[0]))).content)["users.json"][0]["id"] == export.user_id


async def test_a_job_that_is_run_again_sends_no_second_message(
    jobs: MemoryJobs, client: AsyncClient, sign_in: SignIn, mailbox: list[EmailMessage]
) -> None:
    """Where a worker has died after the end of the export and before that of the job, the next try finds it done."""
    await ask(client, await sign_in())
    enqueue = "{{ cookiecutter.__package }}.reports.exports.tasks.service.discard_file"
    finish, fails = service.finish_export, [True]

    async def then_dies(*args: Any, **kwargs: Any) -> bool:
        done = await finish(*args, **kwargs)
        if fails:
            await args[0].commit()
            fails.clear()
            raise ConnectionError("the worker is gone")
        return done

    with patch.object(service, "finish_export", then_dies), patch(enqueue, side_effect=AssertionError):
        [job] = await jobs.run_jobs(scheduled=True)
    [export] = await exports()
    assert (job.status, job.tries, job.result) == ("success", 2, export.id)
    assert mailbox == []  # the message belonged to the transaction, which this test has torn apart


@pytest.mark.usefixtures("tables")
async def test_a_message_about_nothing_is_not_sent(jobs: MemoryJobs, mailbox: list[EmailMessage]) -> None:
    """The export may be gone when its message is due."""
    await enqueue_task("send_export_link", export_id=7)
    [job] = await jobs.run_jobs()
    assert (job.status, mailbox) == ("success", [])
