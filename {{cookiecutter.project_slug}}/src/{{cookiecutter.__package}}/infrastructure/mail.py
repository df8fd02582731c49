"""Outgoing mail: by SMTP when `SMTP_HOST` is set, else, while developing, in the log; in tests, caught by `capture`.

`send` sends a text; `compose` makes one of a slice's templates, which `send_content` sends. A failure says whether
another try may help: see `TemporaryMailError` and `PermanentMailError`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from contextlib import contextmanager, suppress
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, localtime, make_msgid
from functools import cache
from typing import TYPE_CHECKING

import aiosmtplib
import structlog
from email_validator import EmailNotValidError, validate_email

from .mail_templates import Content, compose
from .settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.policy import Policy

    from .settings import MailSettings

logger = structlog.get_logger(__name__)

#: Characters that a subject may have; what is longer is a mistake.
MAX_SUBJECT = 998

_caught: list[list[EmailMessage]] = []


class MailError(Exception):
    """A message has not been sent."""


class TemporaryMailError(MailError):
    """Another try may help: the server said so (4xx), or did not answer."""


class PermanentMailError(MailError):
    """Another try would fail, too: the server refuses (5xx), or cannot do what this message or the settings need."""


class InvalidMessageError(PermanentMailError):
    """The message cannot be one: nothing was sent anywhere."""

    def __init__(self, field: str, value: str, problem: str) -> None:
        super().__init__(f"mail: {field} {value[:200]!r} {problem}")


async def send(
    *,
    to: str,
    subject: str,
    body: str,
    html: str | None = None,
    message_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send one message to one address.

    Args:
        to: the address alone, without a name. Its domain may have any letters; before the `@` they need a server with
            SMTPUTF8.
        subject: one line.
        body: the text.
        html: the same as HTML, for mail programs that show it.
        message_id: the header of that name, as `message_id_of` makes it; by default a new one.
        headers: further headers, each in ASCII and on one line.

    Raises:
        InvalidMessageError: an argument cannot be sent, such as a subject with a line break.
        TemporaryMailError: another try may help.
        PermanentMailError: it would not.
    """
    settings = get_settings()
    message = _new_message(settings.mail, to=to, subject=subject, message_id=message_id)
    for name, value in (headers or {}).items():
        if not re.fullmatch(r"[\w-]+", name, re.ASCII) or name in message:
            raise InvalidMessageError("header", name, "is no name of a further one")
        _check_line(name, value)
        if not value.isascii():
            raise InvalidMessageError(name, value, "is not ASCII")
        message[name] = value
    _check_text("body", body)
    message.set_content(body)
    if html is not None:
        _check_text("html", html)
        message.add_alternative(html, subtype="html")
    if _caught:
        _caught[-1].append(message)
    elif settings.mail.host:
        await _deliver(message, settings.mail)
    elif settings.environment == "production":  # a message may hold what no log should, such as a link to sign in
        raise PermanentMailError(f"mail to {to}: SMTP_HOST is not set")
    else:
        logger.info("mail is not sent, SMTP_HOST is not set", to=to, subject=subject, body=body)


async def send_content(to: str, content: Content, message_id: str | None = None) -> None:
    """Send what `compose` has made; see `send`."""
    await send(
        to=to,
        subject=content.subject,
        body=content.text,
        html=content.html,
        message_id=message_id,
        headers=content.headers,
    )


@contextmanager
def capture() -> Iterator[list[EmailMessage]]:
    """Keep what this process sends in a list, for tests: nothing goes to a server or the log meanwhile."""
    messages: list[EmailMessage] = []
    _caught.append(messages)
    try:
        yield messages
    finally:
        _caught.remove(messages)


def message_id_of(key: str) -> str:
    """Give the Message-ID that belongs to any text: the same for the same text, so that repetitions can be told."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"<{digest[:40]}@{_sender(get_settings().mail).domain}>"


class _UnbrokenHeader(UnstructuredHeader, BaseHeader):
    """A header that is written on one line: a long address in it would be encoded otherwise, which nobody decodes."""

    def fold(self, *, policy: Policy) -> str:
        """Give it as it is sent."""
        return f"{self.name}: {self}{policy.linesep}"


@cache
def _policy() -> EmailPolicy[EmailMessage]:
    registry = HeaderRegistry()
    registry.map_to_type("list-unsubscribe", _UnbrokenHeader)
    return EmailPolicy(header_factory=registry)


def _new_message(settings: MailSettings, *, to: str, subject: str, message_id: str | None) -> EmailMessage:
    sender = _sender(settings)
    message = EmailMessage(policy=_policy())
    message["From"] = sender
    message["To"] = _recipient(to)
    _check_line("subject", subject)
    message["Subject"] = subject
    message["Date"] = format_datetime(localtime())
    message_id = message_id or make_msgid(domain=sender.domain)
    _check_line("message_id", message_id)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from people who are on holiday
    return message


def _sender(settings: MailSettings) -> Address:
    """Read SMTP_SENDER: an address, with or without a name."""
    _check_line("SMTP_SENDER", settings.sender)
    probe = EmailMessage()
    probe["From"] = settings.sender
    addresses = probe["From"].addresses
    if len(addresses) != 1 or not addresses[0].domain or probe["From"].defects:
        raise InvalidMessageError("SMTP_SENDER", settings.sender, "is not one address")
    if not addresses[0].domain.isascii():
        raise InvalidMessageError("SMTP_SENDER", settings.sender, "has a domain in other letters; write it as xn--...")
    sender: Address = addresses[0]
    _check_line("SMTP_SENDER", str(sender))
    return sender


def _recipient(to: str) -> Address:
    _check_line("recipient", to)
    try:
        valid = validate_email(to, check_deliverability=False)
    except EmailNotValidError as error:
        raise InvalidMessageError("recipient", to, f"is not one address: {error}") from None
    return Address(username=valid.local_part, domain=valid.ascii_domain)


def _check_line(field: str, value: str) -> None:
    if len(value) > MAX_SUBJECT:
        raise InvalidMessageError(field, value, f"is longer than {MAX_SUBJECT} characters")
    for character in value:
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            raise InvalidMessageError(field, value, f"has the character {character!r}, which no header can hold")
    if "=?" in value:  # `=?utf-8?q?=0A?=` would be read as a line break
        raise InvalidMessageError(field, value, "has '=?', which begins a word in another encoding")


def _check_text(field: str, value: str) -> None:
    found = re.search("[\0\ud800-\udfff]", value)
    if found:
        raise InvalidMessageError(field, value, f"has the character {found[0]!r}, which no message can hold")


async def _deliver(message: EmailMessage, settings: MailSettings) -> None:
    sender, recipient = message["From"].addresses[0], message["To"].addresses[0]
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        username=settings.user or None,
        password=settings.password.get_secret_value() or None,
        use_tls=settings.security == "tls",
        start_tls=settings.security == "starttls",
        timeout=settings.timeout,
        local_hostname=sender.domain,  # not this machine's name, which takes a look-up in the DNS
    )
    try:
        await client.connect()
        await client.send_message(message, sender=sender.addr_spec, recipients=recipient.addr_spec)
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        place = f"mail to {recipient.addr_spec} by {settings.host}:{settings.port}"
        raise _explained(error, place) from None
    else:
        with suppress(aiosmtplib.SMTPException, OSError):  # the server has the message, whatever comes of the goodbye
            await client.quit()
    finally:
        client.close()


def _explained(error: Exception, place: str) -> MailError:
    """Tell a failure that may pass from one that will not."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        answer = "refuses SMTP_USER and SMTP_PASSWORD"  # the answer may repeat them
    elif isinstance(error, aiosmtplib.SMTPResponseException):
        answer = error.message
    else:
        # Without an answer it is the network, which is an OSError; or the server lacks what the settings need.
        kind = TemporaryMailError if isinstance(error, OSError) else PermanentMailError
        return kind(f"{place}: {_printable(str(error) or type(error).__name__)}")
    kind = PermanentMailError if 500 <= error.code < 600 else TemporaryMailError  # noqa: PLR2004
    return kind(f"{place}: {error.code} {_printable(answer)}")


def _printable(answer: str) -> str:
    """Bring an answer to one line without anything that would steer a terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in answer).split())[:500]


__all__ = [
    "MAX_SUBJECT",
    "Content",
    "InvalidMessageError",
    "MailError",
    "PermanentMailError",
    "TemporaryMailError",
    "capture",
    "compose",
    "message_id_of",
    "send",
    "send_content",
]
