"""Background work of the mail: sending, so that a server that is away delays a message and does not lose it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from . import mail
from .jobs import RetryConfig, once, task

#: For tasks that send mail: a server that is away is tried again for about an hour; what cannot succeed is not.
MAIL_RETRY = RetryConfig(max_tries=8, delay=timedelta(minutes=1), give_up_on=mail.PermanentMailError)


async def deliver_once(ctx: dict[str, Any], content: mail.Content, *, to: str, key: str | None = None) -> None:
    """Send a message once for all tries of a job, and the replays of its dead letter.

    A worker that dies after the server has taken the message, and before that is recorded, leaves it unknown: then it
    is sent again, with the same Message-ID. Where nothing can be recorded it is just sent: in a plain call, and by a
    job that runs in place because Redis is away.

    Args:
        ctx: the context of the task.
        content: what to send.
        to: the address.
        key: which of the job's messages this is; by default the one with this recipient, subject and text. Give one if
            the text may differ from try to try.

    Raises:
        MailError: it has not been sent.
    """
    if "redis" not in ctx:
        await mail.send_content(to, content)
        return
    said = hashlib.sha256(f"{content.subject}\0{content.text}".encode("utf-8", "surrogatepass")).hexdigest()
    async with once(ctx, f"mail:{to}:{key or said[:16]}") as effect:
        if effect.first:
            await mail.send_content(to, content, message_id=mail.message_id_of(effect.idempotency_key))


@task(retry=MAIL_RETRY)
async def send_email(ctx: dict[str, Any], to: str, subject: str, body: str) -> None:
    """Send one plain-text message."""
    await deliver_once(ctx, mail.Content(subject, body), to=to)


@task(retry=MAIL_RETRY)
async def send_notification_email(ctx: dict[str, Any], user_email: str, subject: str, body: str) -> None:
    """Tell a user something, as text and HTML."""
    content = mail.compose("infrastructure/notification", subject=subject, body=body)
    await deliver_once(ctx, content, to=user_email)
