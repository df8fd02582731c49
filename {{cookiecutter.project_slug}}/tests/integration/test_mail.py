"""Mail, through a real SMTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message as Email


class Inbox(Message):
    """Keeps what it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Email] = []

    def handle_message(self, message: Email) -> None:
        self.messages.append(message)


@pytest.fixture
def inbox(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """Run an SMTP server, and let the settings point to it."""
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=unused_tcp_port)
    controller.start()
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_PORT", str(unused_tcp_port))
    monkeypatch.setenv("SMTP_SECURITY", "none")
    get_settings.cache_clear()
    yield inbox
    controller.stop()


async def test_a_message_arrives(inbox: Inbox) -> None:
    """Sender, recipient, subject and text come through, accents too."""
    await mail.send(to="zoë@example.com", subject="Grüße", body="Olá!\n")
    (message,) = inbox.messages
    assert message["To"] == "zoë@example.com" or "example.com" in str(message["To"])
    assert "Olá!" in message.get_payload(decode=True).decode()  # type: ignore[union-attr]


async def test_a_line_break_in_a_header_is_refused(inbox: Inbox) -> None:
    """Nobody can add recipients through a name or a subject."""
    with pytest.raises(ValueError, match=r"[Hh]eader"):
        await mail.send(to="ada@example.com", subject="Hi\nBcc: eve@example.com", body="")
    assert not inbox.messages


async def test_without_a_server_the_message_is_logged() -> None:
    """While developing, mail is read in the log."""
    with structlog.testing.capture_logs() as lines:
        await mail.send(to="ada@example.com", subject="Welcome", body="Hello Ada")
    assert [(line["to"], line["body"]) for line in lines] == [("ada@example.com", "Hello Ada")]
