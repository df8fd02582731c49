"""Sending a newsletter from a command, one copy after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from ...infrastructure import mail
from ...infrastructure.database import get_session_context
from . import service
from .models import Newsletter

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncSession

#: Copies in succession that fail for a reason which may pass, after which it is not the addresses but the server.
GIVE_UP_AFTER = 3


class MailServerError(Exception):
    """Sending has been broken off, and can be continued."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{error}; run the same command again to go on")


@dataclass
class Sending:
    """What has become of the copies of a newsletter in one run."""

    newsletter_id: int
    #: Subscribers who are left when it begins, and copies that were sent by then.
    left: int
    before: int
    sent: int = 0
    #: By address, what went wrong.
    failed: dict[str, str] = field(default_factory=dict)


async def send_in_place(*, subject: str, body: str, progress: Callable[[int, int], None]) -> Sending:
    """Send a newsletter to all subscribers.

    How far it is, is stored after each copy: where sending the same subject and body was broken off, this goes on.

    Args:
        subject: one line.
        body: the text.
        progress: called after each copy with the number of subscribers so far, and that of all that are left.

    Raises:
        MailServerError: the mail server does not take anything.
    """
    async with get_session_context() as session:
        newsletter = await _unfinished(session, subject, body) or await service.create(
            session, subject=subject, body=body
        )
        newsletter.reached = reached = newsletter.reached or 0
        left = await service.count_subscribers(session, after=reached)
        sending = Sending(newsletter.id, left, newsletter.total or 0)
    error, troubles, done = None, 0, 0
    async for user_id in service.subscriber_ids(after=reached):
        error = await _send(sending, user_id)
        troubles = troubles + 1 if isinstance(error, mail.TemporaryMailError) else 0
        if error and troubles == GIVE_UP_AFTER:
            raise MailServerError(error)
        done += 1
        progress(done, sending.left)
        if troubles == 0:
            await _note(sending, user_id)
    if error and troubles:  # the last ones failed for such a reason, too: only they are left for the next run
        raise MailServerError(error)
    async with get_session_context() as session:
        await service.mark_sent(session, sending.newsletter_id, total=sending.before + sending.sent)
    return sending


async def _unfinished(session: AsyncSession, subject: str, body: str) -> Newsletter | None:
    query = select(Newsletter).where(Newsletter.subject == subject, Newsletter.body == body)
    query = query.where(Newsletter.sent_at.is_(None), Newsletter.reached.is_not(None)).order_by(Newsletter.id.desc())
    return (await session.scalars(query.limit(1))).one_or_none()


async def _send(sending: Sending, user_id: int) -> mail.MailError | None:
    async with get_session_context() as session:
        copy = await service.write_copy(session, sending.newsletter_id, user_id)
    if copy is None:
        return None
    to, content = copy
    try:
        await mail.send_content(to, content)
    except mail.MailError as error:
        sending.failed[to] = str(error)
        return error
    sending.sent += 1
    return None


async def _note(sending: Sending, user_id: int) -> None:
    async with get_session_context() as session:
        newsletter = await session.get(Newsletter, sending.newsletter_id)
        if newsletter:
            newsletter.reached, newsletter.total = user_id, sending.before + sending.sent
