"""SMTP servers for tests: one that keeps what it is sent, and one that has a script, however odd."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes, policy
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage
    from pathlib import Path

    import pytest

USER, PASSWORD = "ada", "pässword with spaces"


class Postbox:
    """What the server does: it takes each message, unless there are answers left that it gives instead."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.envelopes: list[Any] = []
        self.encrypted: list[bool] = []
        #: Command ("MAIL", "RCPT", "DATA") -> the answers to the next ones.
        self.answers: dict[str, list[str]] = {}

    def _answer(self, command: str, otherwise: str = "250 OK") -> str:
        answers = self.answers.get(command)
        return answers.pop(0) if answers else otherwise

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self._answer("MAIL")

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802
        answer = self._answer("RCPT")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self._answer("DATA")
        if answer.startswith("250"):
            self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
            self.envelopes.append(envelope)
            self.encrypted.append(session.ssl is not None)
        return answer


def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    """Let in who has the password."""
    return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


@asynccontextmanager
async def smtp_server(
    handler: Any, *, certificate: ssl.SSLContext | None = None, starttls: bool = False, **options: Any
) -> AsyncIterator[int]:
    """Run a real server in this event loop, and give its port.

    Args:
        handler: what it does.
        certificate: to encrypt with, from the first byte or after STARTTLS.
        starttls: which of the two.
        options: of aiosmtpd's `SMTP`.
    """
    loop = asyncio.get_running_loop()
    options = {"hostname": "mail.test", "tls_context": certificate if starttls else None} | options
    protocols: list[Any] = []

    def protocol() -> Any:
        protocols.append(SMTP(handler, loop=loop, **options))
        return protocols[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=None if starttls else certificate)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        tasks = [each._handler_coroutine for each in protocols if each._handler_coroutine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def scripted_server(*script: str) -> AsyncIterator[int]:
    """Run a server that gives these answers, and give its port.

    The first is given at once, each other one after a line from the client, or the whole message after "354", and then
    the connection is closed; "..." as the last one keeps it open instead.
    """
    done = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            for before, answer in pairwise(("", *script)):
                if before:
                    await reader.readuntil(b"\r\n.\r\n" if before.startswith("354") else b"\r\n")
                if answer == "...":
                    await done.wait()
                else:
                    writer.write(answer.encode("utf-8", "surrogateescape") + b"\r\n")
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        done.set()


def new_certificate(directory: Path, host: str = "127.0.0.1") -> ssl.SSLContext:
    """Make a certificate for this host; the authority that vouches for it is `ca.pem` in the directory."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    return context


def point_to(port: int, monkeypatch: pytest.MonkeyPatch, security: str = "none", **others: str) -> None:
    """Let the settings point to a server; `others` are settings of the mail, such as `user`."""
    values = {"host": "127.0.0.1", "port": str(port), "security": security, **others}
    for name, value in values.items():
        monkeypatch.setenv(f"SMTP_{name.upper()}", value)
    get_settings.cache_clear()
