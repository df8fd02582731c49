"""What can be done with newsletters; knows neither HTTP nor what it runs in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from ...accounts.models import User
from ...infrastructure import mail
from ...infrastructure.database import get_session_context, insert
from ...infrastructure.settings import get_settings
from ...infrastructure.signing import sign, verify
from .models import Newsletter, Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncSession

#: Subscribers that are read together.
PAGE = 1000
#: What the link in a copy is signed for, and for how long it works: who finds an old copy can still unsubscribe.
UNSUBSCRIBE = "unsubscribe"
LINK_TTL = timedelta(days=2 * 365)


async def subscribe(session: AsyncSession, user_id: int) -> None:
    """Let a user have newsletters from now on; it may be so already."""
    await session.execute(insert(session, Subscription).values(user_id=user_id).on_conflict_do_nothing())


async def unsubscribe(session: AsyncSession, user_id: int) -> None:
    """Let a user have no newsletters from now on; it may be so already."""
    await session.execute(delete(Subscription).where(Subscription.user_id == user_id))


async def unsubscribe_by(session: AsyncSession, token: str) -> None:
    """Let the user to whom the link with this token was sent have no newsletters from now on.

    Raises:
        InvalidTokenError: it is of no such link, or too old.
    """
    await unsubscribe(session, verify(UNSUBSCRIBE, token)["user_id"])


async def create(session: AsyncSession, *, subject: str, body: str) -> Newsletter:
    """Add a newsletter to the caller's transaction; nobody gets it yet."""
    newsletter = Newsletter(subject=subject, body=body)
    session.add(newsletter)
    await session.flush()
    return newsletter


async def get_newsletter(session: AsyncSession, newsletter_id: int) -> Newsletter | None:
    """Find a newsletter."""
    return await session.get(Newsletter, newsletter_id)


async def count_subscribers(session: AsyncSession, *, after: int = 0) -> int:
    """Count the users who get newsletters, those whose id is larger than `after`."""
    query = select(func.count()).select_from(Subscription).where(Subscription.user_id > after)
    return (await session.scalars(query)).one()


async def subscriber_ids(*, after: int = 0) -> AsyncIterator[int]:
    """Give the ids of the users who get newsletters, from the smallest one that is larger than `after`.

    They are read a page at a time, each in a transaction of its own, however many there are.
    """
    query = select(Subscription.user_id).order_by(Subscription.user_id).limit(PAGE)
    while True:
        async with get_session_context() as session:
            page = (await session.scalars(query.where(Subscription.user_id > after))).all()
        for user_id in page:
            yield user_id
        if len(page) < PAGE:
            return
        after = page[-1]


async def write_copy(session: AsyncSession, newsletter_id: int, user_id: int) -> tuple[str, mail.Content] | None:
    """Write one user's copy of a newsletter, and give the address too; None if the user is no longer subscribed."""
    query = select(Newsletter, User).join(User, User.id == user_id).join(Subscription, Subscription.user_id == User.id)
    row = (await session.execute(query.where(Newsletter.id == newsletter_id))).one_or_none()
    if row is None:
        return None
    newsletter, user = row
    link = unsubscribe_link(user.id)
    content = mail.compose("reports/newsletter", newsletter=newsletter, unsubscribe_link=link)
    # RFC 8058: mail programs show a button that posts to the link.
    headers = {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return user.email, replace(content, headers=headers)


def unsubscribe_link(user_id: int) -> str:
    """Give the link by which a user can unsubscribe without signing in."""
    token = sign(UNSUBSCRIBE, {"user_id": user_id}, ttl=LINK_TTL)
    return f"{get_settings().public_url}/api/v1/newsletter/unsubscribe?token={token}"


async def mark_sent(session: AsyncSession, newsletter_id: int, *, total: int) -> None:
    """Note that every subscriber has a copy, or one on its way."""
    newsletter = await session.get(Newsletter, newsletter_id)
    if newsletter:
        newsletter.sent_at, newsletter.total = datetime.now(UTC), total
