"""Background work of the newsletter."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ...infrastructure import mail
from ...infrastructure.database import get_session_context
from ...infrastructure.jobs import ArqQueueBackend, JobManager, JobPriority, TaskContext, once, task
from ...infrastructure.mail_tasks import MAIL_RETRY
from . import service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: How long it is known that somebody has got a newsletter; a job that failed may be replayed until then.
COPY_TTL = timedelta(days=30)
#: Copies that are enqueued in one round trip.
TOGETHER = 500


@task(timeout=timedelta(hours=1))
async def send_newsletter(ctx: TaskContext, newsletter_id: int) -> int:
    """Put a copy for each subscriber on its way, and give the newsletter's id; it may be broken off and run again."""
    async with get_session_context() as session:
        newsletter = await service.get_newsletter(session, newsletter_id)
        total = await service.count_subscribers(session)
    if newsletter is None or newsletter.sent_at:
        return newsletter_id
    copies = await JobManager(ArqQueueBackend(ctx["redis"])).enqueue_batch(
        send_newsletter_copy,
        _copies(newsletter_id),
        batch_size=TOGETHER,
        progress=lambda done, _: ctx.progress(done, max(done, total)),
        key=lambda copy: _name(**copy),  # the run before this one may have come as far
    )
    async with get_session_context() as session:
        await service.mark_sent(session, newsletter_id, total=copies.total)
    return newsletter_id


@task(retry=MAIL_RETRY, priority=JobPriority.LOW)
async def send_newsletter_copy(ctx: dict[str, Any], newsletter_id: int, user_id: int) -> bool:
    """Send one subscriber's copy, unless that has been done; False if the user is no longer subscribed."""
    async with get_session_context() as session:
        copy = await service.write_copy(session, newsletter_id, user_id)
    if copy is None:
        return False
    to, content = copy
    # For all jobs, not for this one: a newsletter that is sent again after a day has new ones.
    async with once(ctx, "mail", scope=_name(newsletter_id, user_id), ttl=COPY_TTL) as effect:
        if effect.first:
            await mail.send_content(to, content, message_id=mail.message_id_of(effect.idempotency_key))
    return True


async def _copies(newsletter_id: int) -> AsyncIterator[dict[str, int]]:
    async for user_id in service.subscriber_ids():
        yield {"newsletter_id": newsletter_id, "user_id": user_id}


def _name(newsletter_id: int, user_id: int) -> str:
    return f"newsletter:{newsletter_id}:{user_id}"


TASKS = [send_newsletter, send_newsletter_copy]
