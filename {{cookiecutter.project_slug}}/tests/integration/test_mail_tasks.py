"""Mail by jobs: real workers, a real Redis and a real SMTP server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.jobs import DeadLetters, FailureCause, JobStatus, task
from {{ cookiecutter.__package }}.infrastructure.mail_tasks import (
    MAIL_RETRY,
    deliver_once,
    send_email,
    send_notification_email,
)
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import close_task_pool, enqueue_task

from smtp_servers import Postbox, point_to, scripted_server, smtp_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskContext, TaskPool

    from .conftest import RunJobs

#: Without the pauses between tries.
AT_ONCE = replace(MAIL_RETRY, delay=0)
TO = "ada@example.com"
MESSAGE = {"to": TO, "subject": "Hello", "body": "It works.\n"}
HELLO = mail.Content("Hello", "It works.\n")

email_at_once = task(retry=AT_ONCE)(send_email.function)


@pytest.fixture
async def postbox(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Postbox]:  # noqa: ARG001 - settings come first
    """Run a server, and let the settings point to it."""
    postbox = Postbox()
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch)
        yield postbox


async def record_of(pool: TaskPool, job_id: str) -> JobRecord:
    record = await pool.record(job_id)
    assert record is not None
    return record


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_temporary_refusal_is_tried_again(
    command: str, postbox: Postbox, pool: TaskPool, run_jobs: RunJobs
) -> None:
    """Until the server takes the message, and then it has it once."""
    postbox.answers[command] = ["450 greylisted", "451 not yet"]
    await pool.enqueue("send_email", kwargs=MESSAGE, job_id="a")
    await run_jobs(email_at_once)
    record = await record_of(pool, "a")
    assert (record.status, record.tries) == (JobStatus.SUCCESS, 3)
    assert [message["Subject"] for message in postbox.messages] == ["Hello"]


async def test_a_server_that_is_away_is_tried_again(
    postbox: Postbox, pool: TaskPool, run_jobs: RunJobs, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as `MAIL_RETRY` says; then it is a dead letter, which a person can replay when the server is back."""
    async with smtp_server(postbox) as port:
        point_to(unused_tcp_port, monkeypatch)
        await pool.enqueue("send_email", kwargs=MESSAGE, job_id="a")
        await run_jobs(email_at_once)
        letter = await DeadLetters(pool).get("a")
        assert (letter.tries, letter.cause) == (MAIL_RETRY.max_tries, FailureCause.EXCEPTION)
        assert letter.error is not None
        assert letter.error.startswith(f"TemporaryMailError: mail to {TO} by 127.0.0.1:{unused_tcp_port}: ")
        point_to(port, monkeypatch)
        await DeadLetters(pool).replay("a")
        await run_jobs(email_at_once)
    assert len(postbox.messages) == 1


@pytest.mark.parametrize("changed", [{}, {"subject": "Hi\nBcc: eve@example.com"}, {"to": "Ada <ada@example.com>"}])
async def test_what_cannot_be_sent_is_a_dead_letter_at_once(
    changed: dict[str, str], postbox: Postbox, pool: TaskPool, run_jobs: RunJobs
) -> None:
    """A refusal for good, and a message that cannot be one, are tried once."""
    postbox.answers["RCPT"] = ["550 no such user"]
    await pool.enqueue("send_email", kwargs=MESSAGE | changed, job_id="a")
    await run_jobs(email_at_once)
    letter = await DeadLetters(pool).get("a")
    assert letter.tries == 1
    assert letter.error is not None
    assert letter.error.startswith("InvalidMessageError: " if changed else f"PermanentMailError: mail to {TO} by ")
    assert not postbox.messages


async def test_a_task_that_fails_later_does_not_send_again(postbox: Postbox, pool: TaskPool, run_jobs: RunJobs) -> None:
    """One job sends a message once, over all its tries and the replays of its dead letter."""

    async def greet(ctx: TaskContext) -> None:
        await deliver_once(ctx, HELLO, to=TO)
        raise ConnectionError("what comes after the message fails")

    await pool.enqueue("greet", job_id="a")
    await run_jobs(greet)
    assert (await DeadLetters(pool).get("a")).tries == 3
    await DeadLetters(pool).replay("a")
    await run_jobs(greet)
    assert len(postbox.messages) == 1


async def test_the_messages_of_one_job(postbox: Postbox, pool: TaskPool, run_jobs: RunJobs) -> None:
    """Others go to others, or say something else; with a key, what a message says does not matter."""

    async def greet(ctx: TaskContext) -> None:
        for to in (TO, "eve@example.com"):
            for content in (HELLO, replace(HELLO, text="Something else"), replace(HELLO, subject="Another")):
                await deliver_once(ctx, content, to=to)
            await deliver_once(ctx, replace(HELLO, text=f"Try {ctx['job_try']}"), to=to, key="try")
        if ctx["job_try"] < 3:
            raise ConnectionError("again")

    await pool.enqueue("greet")
    await run_jobs(greet)
    sent = [(message["To"], message["Subject"], message.get_content().strip()) for message in postbox.messages]
    said = [("Hello", "It works."), ("Hello", "Something else"), ("Another", "It works."), ("Hello", "Try 1")]
    assert sent == [(to, *each) for to in (TO, "eve@example.com") for each in said]
    assert len({message["Message-ID"] for message in postbox.messages}) == 8


async def test_two_jobs_send_two_messages(postbox: Postbox, pool: TaskPool, run_jobs: RunJobs) -> None:
    """Even if they say the same; an id that is used again is another job, too."""
    for _ in range(2):
        await pool.enqueue("send_email", kwargs=MESSAGE, job_id="a")
        await pool.enqueue("send_email", kwargs=MESSAGE)
        await run_jobs(email_at_once, keep_result=0)
    assert len({message["Message-ID"] for message in postbox.messages}) == 4


async def test_a_message_that_may_have_arrived_is_sent_again_with_its_id(
    postbox: Postbox, pool: TaskPool, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: a try that ends between sending and recording leaves it unknown, and receivers can tell."""
    send_content = mail.send_content

    async def send_and_fail(*args: Any, **kwargs: Any) -> None:
        await send_content(*args, **kwargs)
        if len(postbox.messages) == 1:
            raise ConnectionError("the connection broke before the answer")

    monkeypatch.setattr(mail, "send_content", send_and_fail)
    await pool.enqueue("send_email", kwargs=MESSAGE, job_id="a")
    await run_jobs(email_at_once)
    first, second = postbox.messages
    assert first["Message-ID"] == second["Message-ID"]
    assert (await record_of(pool, "a")).status is JobStatus.SUCCESS


async def test_a_bad_goodbye_sends_nothing_twice(
    pool: TaskPool, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has the message, and closes instead of saying goodbye: the job has succeeded."""
    async with scripted_server("220 hi", "250 hi", "250 sender", "250 recipient", "354 go on", "250 taken") as port:
        point_to(port, monkeypatch)
        await pool.enqueue("send_email", kwargs=MESSAGE, job_id="a")
        await run_jobs(email_at_once)
    record = await record_of(pool, "a")
    assert (record.status, record.tries) == (JobStatus.SUCCESS, 1)


async def test_mail_is_sent_while_redis_is_away(
    postbox: Postbox, unused_tcp_port: int, tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that runs in place has nothing to be recorded in, and sends."""
    assert tables is None
    await close_task_pool()
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{unused_tcp_port}")
    get_settings.cache_clear()
    await enqueue_task("send_email", to=TO, subject="Hello", body="It works.\n")
    assert [message["Subject"] for message in postbox.messages] == ["Hello"]


async def test_a_notification_arrives(postbox: Postbox, pool: TaskPool, run_jobs: RunJobs) -> None:
    """As text, and as HTML in which values are escaped."""
    await pool.enqueue("send_notification_email", kwargs={"user_email": TO, "subject": "News", "body": "One < two"})
    await run_jobs(send_notification_email)
    (message,) = postbox.messages
    assert (message["To"], message["Subject"]) == (TO, "News")
    text, html = (part.get_content() for part in message.iter_parts())
    assert (text.strip(), "One &lt; two" in html) == ("One < two", True)


async def test_a_task_can_be_called(mailbox: list[EmailMessage]) -> None:
    """It is a function: without a job there is nothing to be recorded, and no Redis is needed."""
    await send_email({}, **MESSAGE)
    await send_email({}, **MESSAGE)
    await send_notification_email({}, TO, subject="News", body="One")
    assert [message["Subject"] for message in mailbox] == ["Hello", "Hello", "News"]


def test_how_often_mail_is_tried() -> None:
    """Long enough for greylisting and a restart of the server; never where it cannot help."""
    assert MAIL_RETRY.retries(mail.TemporaryMailError())
    assert not MAIL_RETRY.retries(mail.PermanentMailError())
    assert not MAIL_RETRY.retries(mail.InvalidMessageError("subject", "\n", "is wrong"))
    longest = replace(MAIL_RETRY, jitter=False)
    assert sum(longest.pause(attempt).total_seconds() for attempt in range(1, MAIL_RETRY.max_tries)) > 3600
