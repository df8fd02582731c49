"""Memberships: how long they last, and who is reminded of their end."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select, update

from ..accounts.models import User
from ..infrastructure import mail
from ..infrastructure.database import get_session_context
from ..infrastructure.settings import get_settings
from .models import Membership
from .settings import BillingSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncSession

#: What one payment can pay for.
MAX_MONTHS = 120
#: How far ahead a membership may be paid.
MAX_AHEAD = timedelta(days=20 * 366)
#: Reminders that cannot be sent now, before the mail server is taken to be away.
PATIENCE = 5

logger = structlog.get_logger(__name__)


class InvalidPeriodError(Exception):
    """Nobody is a member for so long, or for less than a month."""

    def __init__(self, months: int) -> None:
        super().__init__(
            f"{months} months: give 1 to {MAX_MONTHS}, so that the membership ends within {MAX_AHEAD.days // 366} years"
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to a user, ready to be sent."""

    to: str
    content: mail.Content


@dataclass(frozen=True, slots=True)
class Reminders:
    """How many reminders were sent, how many never can be, and how many may be later."""

    sent: int = 0
    refused: int = 0
    postponed: int = 0


def add_months(moment: datetime, months: int, *, day: int = 0) -> datetime:
    """Give the same time of day so many calendar months later.

    Where the month has no such day, it is its last one: a month after 31 January is 28 February, or 29. `day` is the
    day of the month that this began with: a month after that 28 February is 31 March then, so that twelve payments for
    a month reach as far as one for a year.
    """
    clipped = moment.day == monthrange(moment.year, moment.month)[1]
    years, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + years, month + 1
    wanted = max(moment.day, day) if clipped else moment.day
    return moment.replace(year=year, month=month, day=min(wanted, monthrange(year, month)[1]))


async def get(session: AsyncSession, user_id: int) -> Membership | None:
    """Find the membership of a user, as the database has it now."""
    query = select(Membership).where(Membership.user_id == user_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def extend(session: AsyncSession, *, user_id: int, months: int) -> Membership:
    """Make a user a member for so many months, counted from the end of the membership, or from now if it is over.

    The caller sees to it that nobody else does so for this user at the same time.

    Raises:
        InvalidPeriodError: that is too short, or would be too long.
    """
    now = datetime.now(UTC)
    if not 1 <= months <= MAX_MONTHS:
        raise InvalidPeriodError(months)
    membership = await get(session, user_id)
    if membership is None:
        membership = Membership(user_id=user_id, starts_at=now, ends_at=now)
        session.add(membership)
    elif membership.ends_at <= now:
        membership.starts_at = membership.ends_at = now
    ends_at = add_months(membership.ends_at, months, day=membership.starts_at.day)
    if ends_at > now + MAX_AHEAD:
        raise InvalidPeriodError(months)
    membership.ends_at = ends_at
    await session.flush()
    return membership


async def claim_reminders(
    session: AsyncSession, *, limit: int, besides: Iterable[int] = ()
) -> list[tuple[int, datetime]]:
    """Mark memberships that end soon as reminded of, in the caller's transaction; give their users' ids and their ends.

    A membership is marked once for each of its ends, also if this runs twice at the same time; one that is being
    changed right now is left for the next time, and so are those of the users `besides`.
    """
    now = datetime.now(UTC)
    soon = now + timedelta(days=get_settings().of(BillingSettings).reminder_days)
    due = (
        Membership.ends_at > now,
        Membership.ends_at <= soon,
        Membership.reminded_for.is_distinct_from(Membership.ends_at),
        Membership.user_id.not_in(besides),
    )
    page = select(Membership.id).where(*due).order_by(Membership.ends_at).limit(limit)
    claim = update(Membership).where(Membership.id.in_(page.with_for_update(skip_locked=True)), *due)
    marked = claim.values(reminded_for=Membership.ends_at).returning(Membership.user_id, Membership.ends_at)
    rows = await session.execute(marked.execution_options(synchronize_session=False))
    return [(user_id, ends_at) for user_id, ends_at in rows]


async def compose_reminder(session: AsyncSession, user_id: int, *, ends_at: datetime | None = None) -> Letter | None:
    """Write the reminder of a membership that ends soon; None if it is gone, is over, or has been extended.

    With `ends_at`, only a membership that still ends then: the next end has a reminder of its own, also if it is near.
    """
    user, membership = await session.get(User, user_id), await get(session, user_id)
    now = datetime.now(UTC)
    soon = now + timedelta(days=get_settings().of(BillingSettings).reminder_days)
    if user is None or membership is None or not now < membership.ends_at <= soon:
        return None
    if ends_at and membership.ends_at != ends_at:
        return None
    return Letter(user.email, mail.compose("billing/expiry_reminder", name=user.name, ends_at=membership.ends_at))


async def send_reminders() -> Reminders:
    """Remind everybody whose membership ends soon, one after the other, in transactions of its own.

    Who could not be reminded, but may be later, is left for the next time; after some of these, so is the rest.
    """
    sent, refused = 0, 0
    postponed: list[int] = []
    while len(postponed) < PATIENCE:
        async with get_session_context() as session:
            claimed = await claim_reminders(session, limit=1, besides=postponed)
            reminder = await compose_reminder(session, claimed[0][0]) if claimed else None
        if not claimed:
            break
        [(user_id, ends_at)] = claimed
        # Not while the row is locked: a mail server may be slow.
        try:
            if reminder:
                await mail.send_content(reminder.to, reminder.content)
                sent += 1
        except mail.PermanentMailError as error:
            refused += 1
            logger.warning("reminder not sent", user_id=user_id, error=str(error))
        except mail.TemporaryMailError as error:
            postponed.append(user_id)
            logger.warning("reminder not sent yet", user_id=user_id, error=str(error))
            async with get_session_context() as session:
                marked = Membership.user_id == user_id, Membership.reminded_for == ends_at
                await session.execute(update(Membership).where(*marked).values(reminded_for=None))
    return Reminders(sent, refused, len(postponed))
