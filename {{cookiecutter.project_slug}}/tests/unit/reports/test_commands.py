"""The commands of the reports, as a user runs them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from {{ cookiecutter.__package }}.accounts.models import Role, User
from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.reports.commands import commands
from {{ cookiecutter.__package }}.reports.daily import service
from {{ cookiecutter.__package }}.reports.newsletter.models import Newsletter
from {{ cookiecutter.__package }}.reports.newsletter.service import subscribe

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

    from typer.testing import Result


async def run(*words: str, text: str | None = None) -> Result:
    """Run a command in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(lambda: CliRunner().invoke(commands, list(words), input=text))


async def add_users(number: int = 1, *, role: Role = Role.USER) -> None:
    async with get_session_context() as session:
        users = [User(email=f"user{n}@example.com", name="Ada", role=role) for n in range(number)]
        session.add_all(users)
        await session.flush()
        for user in users:
            await subscribe(session, user.id)


@pytest.fixture
def text_file(tmp_path: Path) -> str:
    """Give the name of a file that holds a newsletter."""
    file = tmp_path / "news.txt"
    file.write_text("Grüße!\n", encoding="utf-8")
    return str(file)


@pytest.mark.usefixtures("tables")
async def test_daily_writes_the_report_of_a_day(mailbox: list[EmailMessage]) -> None:
    """Of the one that is given, else of yesterday; it is printed, and mailed once."""
    await add_users(role=Role.ADMIN)
    done = await run("daily", "--day", "2026-02-28")
    assert done.exit_code == 0
    assert "Sign-ups: 0\n" in done.output
    assert done.output.endswith("Mailed to: user0@example.com.\n")
    done = await run("daily", "--day", "2026-02-28")
    assert (done.exit_code, "Mailed to: nobody.\n" in done.output) == (0, True)
    assert len(mailbox) == 1

    yesterday = service.day_before(datetime.now(UTC))
    assert (await run("daily")).exit_code == 0
    async with get_session_context() as session:
        found = [await service.get_report(session, yesterday + timedelta(days=n)) for n in (-1, 0, 1)]
    assert [report is not None for report in found] in ([False, True, False], [False, False, True])  # midnight


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("day", ["2999-01-01", "tomorrow", "2026-02-30"])
async def test_daily_refuses_a_day_that_cannot_be(day: str) -> None:
    """That is a wrong call: exit status 2."""
    done = await run("daily", "--day", day)
    assert (done.exit_code, "Traceback" in done.output) == (2, False)
    assert "--day" in done.output


@pytest.mark.usefixtures("tables")
async def test_daily_tells_of_addresses_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is there, and the exit status is 1."""

    async def refuse(to: str, content: mail.Content) -> None:  # noqa: ARG001
        raise mail.PermanentMailError("550 no such user")

    monkeypatch.setattr(mail, "send_content", refuse)
    await add_users(role=Role.ADMIN)
    done = await run("daily")
    assert done.exit_code == 1
    assert "user0@example.com: 550 no such user\n" in done.output


@pytest.mark.usefixtures("tables")
async def test_clean_up_says_what_it_has_deleted() -> None:
    """How much of each kind."""
    async with get_session_context() as session:
        session.add(Newsletter(subject="News", body="Hello!", created_at=datetime(2020, 1, 1, tzinfo=UTC)))
    done = await run("clean-up")
    assert done.exit_code == 0
    assert "password resets: 0 deleted\ndaily reports: 0 deleted\nnewsletters: 1 deleted\n" in done.output


@pytest.mark.usefixtures("tables")
async def test_newsletter_is_sent_to_all(mailbox: list[EmailMessage], text_file: str) -> None:
    """From a file, or from standard input."""
    await add_users(3)
    done = await run("newsletter", "News", text_file)
    assert (done.exit_code, done.output) == (0, "newsletter 1: 3 sent, 0 failed\n")
    done = await run("newsletter", "More news", "-", text="Hello again!")
    assert (done.exit_code, done.output) == (0, "newsletter 2: 3 sent, 0 failed\n")
    assert [message["Subject"] for message in mailbox] == ["News"] * 3 + ["More news"] * 3
    assert "Grüße!\n" in str(mailbox[0].get_body(["plain"]).get_content())  # type: ignore[union-attr]


@pytest.mark.usefixtures("tables")
async def test_newsletter_tells_what_went_wrong(monkeypatch: pytest.MonkeyPatch, text_file: str) -> None:
    """Addresses that were refused, and a server that is away, both with exit status 1 and no trace."""
    error: mail.MailError = mail.PermanentMailError("550 no such user")

    async def refuse(to: str, content: mail.Content) -> None:  # noqa: ARG001
        raise error

    monkeypatch.setattr(mail, "send_content", refuse)
    await add_users(3)
    done = await run("newsletter", "News", text_file)
    assert done.exit_code == 1
    assert "user2@example.com: 550 no such user\n" in done.output
    assert "newsletter 1: 0 sent, 3 failed\n" in done.output
    error = mail.TemporaryMailError("no connection")
    done = await run("newsletter", "News", text_file)
    assert (done.exit_code, done.output.strip()) == (1, "no connection; run the same command again to go on")


@pytest.mark.usefixtures("tables")
async def test_newsletter_refuses_what_cannot_be_sent(tmp_path: Path, text_file: str) -> None:
    """A subject of two lines, an empty text, one that is no text, and a file that is not there."""
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"Gr\xfc\xdfe")
    for words in (
        ("Two\nlines", text_file),
        ("News", str(tmp_path / "empty.txt")),
        ("News", str(tmp_path / "latin.txt")),
        ("News", str(tmp_path / "missing.txt")),
    ):
        done = await run("newsletter", *words)
        assert (done.exit_code, "Traceback" in done.output) == (2, False)


async def test_a_database_without_tables_is_one_line() -> None:
    """Nobody has migrated it yet."""
    done = await run("clean-up")
    assert done.exit_code == 1
    assert done.output.startswith("the database cannot be used (no such table")
