"""Memberships: calendar months, and one reminder for each end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.billing import memberships
from {{ cookiecutter.__package }}.billing.memberships import add_months
from {{ cookiecutter.__package }}.billing.models import Membership
from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context

if TYPE_CHECKING:
    from email.message import EmailMessage

    from .conftest import NewUser


async def member(new_user: NewUser, email: str = "ada@example.com", *, days: float = 3) -> int:
    """Make a user whose membership ends in so many days."""
    user_id = await new_user(email)
    now = datetime.now(UTC)
    async with get_session_context() as session:
        session.add(Membership(user_id=user_id, starts_at=now - timedelta(days=30), ends_at=now + timedelta(days=days)))
    return user_id


async def claim(limit: int = 100) -> list[int]:
    async with get_session_context() as session:
        return [user_id for user_id, _ in await memberships.claim_reminders(session, limit=limit)]


@pytest.mark.parametrize(
    ("begin", "months", "end"),
    [
        ("2026-01-15", 1, "2026-02-15"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2026-03-31", 1, "2026-04-30"),
        ("2026-11-30", 3, "2027-02-28"),
        ("2026-12-01", 1, "2027-01-01"),
        ("2026-06-30", 12, "2027-06-30"),
        ("2028-02-29", 12, "2029-02-28"),
        ("2026-01-31", 120, "2036-01-31"),
    ],
)
def test_months_are_those_of_the_calendar(begin: str, months: int, end: str) -> None:
    """The same day of a later month, or its last one where it has no such day; the time of day stays."""
    moment = datetime.fromisoformat(f"{begin}T12:34:56.789+00:00")
    assert add_months(moment, months) == datetime.fromisoformat(f"{end}T12:34:56.789+00:00")


@pytest.mark.parametrize("day", [1, 28, 29, 30, 31])
def test_twelve_months_are_a_year(day: int) -> None:
    """Whoever pays month by month is a member as long as who pays for a year."""
    begin = end = datetime(2026, 1, day, tzinfo=UTC)
    for _ in range(12):
        end = add_months(end, 1, day=begin.day)
    assert end == add_months(begin, 12)


def test_a_day_in_the_middle_of_a_month_stays() -> None:
    """What somebody has moved by hand is not moved back."""
    moment = datetime(2026, 2, 20, tzinfo=UTC)
    assert add_months(moment, 1, day=31) == datetime(2026, 3, 20, tzinfo=UTC)


async def test_a_membership_that_is_over_begins_anew(new_user: NewUser) -> None:
    """Time without a membership is not paid for afterwards."""
    user_id = await member(new_user, days=-10)
    before = datetime.now(UTC)
    async with get_session_context() as session:
        extended = await memberships.extend(session, user_id=user_id, months=1)
    assert before <= extended.starts_at
    assert extended.ends_at == add_months(extended.starts_at, 1)
    assert extended.active


async def test_one_reminder_for_each_end(new_user: NewUser) -> None:
    """However often it runs, a membership is reminded of once; and once more after it was extended."""
    user_id = await member(new_user)
    assert await claim() == [user_id]
    assert await claim() == []
    async with get_session_context() as session:
        membership = await memberships.get(session, user_id)
        assert membership is not None
        membership.ends_at += timedelta(days=1)
    assert await claim() == [user_id]
    assert await claim() == []


async def test_only_ends_that_are_near_are_reminded_of(new_user: NewUser) -> None:
    """Neither what is over nor what ends much later."""
    await member(new_user, "over@example.com", days=-0.1)
    near = await member(new_user, "near@example.com", days=6.9)
    await member(new_user, "far@example.com", days=7.1)
    assert await claim() == [near]


async def test_reminders_are_claimed_in_batches(new_user: NewUser) -> None:
    """A page at a time, no one left out or claimed twice, also by several at once."""
    users = {await member(new_user, f"user{number}@example.com") for number in range(10)}
    pages = await asyncio.gather(*(claim(limit=3) for _ in range(5)))
    assert max(map(len, pages)) == 3
    assert sorted(user_id for page in pages for user_id in page) == sorted(users)


async def test_a_claim_that_is_rolled_back_counts_for_nothing(new_user: NewUser) -> None:
    """The mark stands and falls with what the caller does in its transaction."""
    user_id = await member(new_user)

    async def fail() -> None:
        async with get_session_context() as session:
            assert len(await memberships.claim_reminders(session, limit=10)) == 1
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()
    assert await claim() == [user_id]


async def test_no_reminder_of_what_has_been_extended(new_user: NewUser) -> None:
    """Between the claim and the message somebody may have paid."""
    user_id = await member(new_user)
    await claim()
    async with get_session_context() as session:
        assert await memberships.compose_reminder(session, user_id) is not None
        await memberships.extend(session, user_id=user_id, months=1)
        assert await memberships.compose_reminder(session, user_id) is None
        assert await memberships.compose_reminder(session, 99) is None


async def test_no_reminder_of_another_end(new_user: NewUser) -> None:
    """An end that is near is reminded of by its own claim, not by that of the one before."""
    user_id = await member(new_user)
    async with get_session_context() as session:
        [(_, ends_at)] = await memberships.claim_reminders(session, limit=1)
        assert await memberships.compose_reminder(session, user_id, ends_at=ends_at) is not None
        membership = await memberships.get(session, user_id)
        assert membership is not None
        membership.ends_at += timedelta(days=1)
        await session.flush()
        assert await memberships.compose_reminder(session, user_id, ends_at=ends_at) is None
        assert await memberships.compose_reminder(session, user_id) is not None


async def test_reminders_are_sent_once(new_user: NewUser, mailbox: list[EmailMessage]) -> None:
    """The command's work: everybody gets one message, and none at the second run."""
    for number in range(3):
        await member(new_user, f"user{number}@example.com")
    assert await memberships.send_reminders() == memberships.Reminders(sent=3)
    assert sorted(message["To"] for message in mailbox) == [f"user{number}@example.com" for number in range(3)]
    assert await memberships.send_reminders() == memberships.Reminders()
    assert len(mailbox) == 3
    assert "your membership ends on" in mailbox[0].as_string()


async def test_reminders_that_could_not_be_sent(
    new_user: NewUser, monkeypatch: pytest.MonkeyPatch, mailbox: list[EmailMessage]
) -> None:
    """An address that is refused for good is not tried again, one that is refused for now is."""
    for name in ("gone", "full", "fine"):
        await member(new_user, f"{name}@example.com")
    errors = {"gone@example.com": mail.PermanentMailError("550"), "full@example.com": mail.TemporaryMailError("452")}
    send = mail.send_content

    async def picky(to: str, content: mail.Content) -> None:
        if to in errors:
            raise errors[to]
        await send(to, content)

    monkeypatch.setattr(mail, "send_content", picky)
    assert await memberships.send_reminders() == memberships.Reminders(sent=1, refused=1, postponed=1)
    del errors["full@example.com"]
    assert await memberships.send_reminders() == memberships.Reminders(sent=1)
    assert [message["To"] for message in mailbox] == ["fine@example.com", "full@example.com"]


async def test_a_mail_server_that_is_away_is_left_alone(new_user: NewUser, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some failures the rest waits for the next time, and nobody is marked as reminded."""
    users = [await member(new_user, f"user{number}@example.com", days=number / 10 + 1) for number in range(8)]
    calls = 0

    async def away(to: str, content: mail.Content) -> None:  # noqa: ARG001
        nonlocal calls
        calls += 1
        raise mail.TemporaryMailError("no answer")

    monkeypatch.setattr(mail, "send_content", away)
    assert await memberships.send_reminders() == memberships.Reminders(postponed=5)
    assert calls == 5
    assert await claim() == users


async def test_who_dies_loses_one_reminder_at_most(new_user: NewUser, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was put off before is not marked as reminded, only what is being sent is."""
    users = [await member(new_user, f"user{number}@example.com", days=number + 1) for number in range(4)]

    async def die(to: str, content: mail.Content) -> None:  # noqa: ARG001
        raise mail.TemporaryMailError("no answer") if to < "user2" else asyncio.CancelledError

    monkeypatch.setattr(mail, "send_content", die)
    with pytest.raises(asyncio.CancelledError):
        await memberships.send_reminders()
    assert await claim() == [users[0], users[1], users[3]]
