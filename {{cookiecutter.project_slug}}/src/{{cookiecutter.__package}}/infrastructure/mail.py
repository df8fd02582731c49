"""Outgoing mail: by SMTP when `SMTP_HOST` is set, else printed to the log."""

from __future__ import annotations

from email.message import EmailMessage

import aiosmtplib
import structlog

from .settings import get_settings

logger = structlog.get_logger(__name__)


async def send(*, to: str, subject: str, body: str) -> None:
    """Send one plain-text message.

    Raises:
        ValueError: a header holds a line break.
        aiosmtplib.SMTPException: the server refuses, or does not answer.
    """
    settings = get_settings().mail
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = to
    message["Subject"] = subject
    message.set_content(body)
    if not settings.host:
        logger.info("mail is not sent, SMTP_HOST is not set", to=to, subject=subject, body=body)
        return
    await aiosmtplib.send(
        message,
        hostname=settings.host,
        port=settings.port,
        username=settings.user or None,
        password=settings.password.get_secret_value() or None,
        use_tls=settings.security == "tls",
        start_tls=settings.security == "starttls",
        timeout=settings.timeout,
    )
