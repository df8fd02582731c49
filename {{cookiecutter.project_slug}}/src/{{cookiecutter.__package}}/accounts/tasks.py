"""Background work of the accounts."""

from __future__ import annotations

import asyncio
from typing import Any

from ..infrastructure.database import get_session_context
from ..infrastructure.jobs import task
from ..infrastructure.mail_tasks import MAIL_RETRY, deliver_once
from ..infrastructure.outbox import enqueue_with
from . import service

#: Seconds that a request for a password reset takes at least: a job's times can be seen by whoever asked for it.
RESET_TIME = 0.2


@task(retry=MAIL_RETRY)
async def send_welcome_email(ctx: dict[str, Any], user_email: str, user_name: str) -> None:
    """Greet a new user."""
    await deliver_once(ctx, service.welcome_mail(user_name), to=user_email)


async def request_password_reset(ctx: dict[str, Any], email: str) -> None:  # noqa: ARG001
    """Have a link mailed to the user with this address; if there is none, nothing tells so."""
    await asyncio.gather(_start_password_reset(email), asyncio.sleep(RESET_TIME))


@task(retry=MAIL_RETRY)
async def send_password_reset_email(ctx: dict[str, Any], user_email: str, reset_link: str) -> None:
    """Send a user the link by which they can set a new password."""
    await deliver_once(ctx, service.password_reset_mail(reset_link), to=user_email)


async def _start_password_reset(email: str) -> None:
    async with get_session_context() as session:
        reset = await service.start_password_reset(session, email)
        if reset:
            await enqueue_with(session, "send_password_reset_email", user_email=reset.email, reset_link=reset.link)


#: What workers are to run.
TASKS = [send_welcome_email, request_password_reset, send_password_reset_email]
