"""Mail, through real SMTP servers."""

from __future__ import annotations

import base64
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

from smtp_servers import (
    PASSWORD,
    USER,
    Postbox,
    authenticate,
    new_certificate,
    point_to,
    scripted_server,
    smtp_server,
)

if TYPE_CHECKING:
    from pathlib import Path

#: As far as a server gets that takes everything up to the message itself.
UP_TO_DATA = ["220 hello", "250 hello", "250 sender", "250 recipient", "354 go on"]
GONE = "Unexpected EOF|Connection lost|not connected"


async def send(**changed: Any) -> None:
    await mail.send(**({"to": "ada@example.com", "subject": "Hello", "body": "It works.\n"} | changed))


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


# What arrives


async def test_a_message_arrives(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sender, recipient, subject and text come through, accents too, with the headers that every message has."""
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch, sender="Grüße & Co <shop@example.org>")
        await send(subject="Grüße", body="Olá!\n.\nFrom here\n")
    (message,) = postbox.messages
    assert (postbox.envelopes[0].mail_from, postbox.envelopes[0].rcpt_tos) == ("shop@example.org", ["ada@example.com"])
    assert message["From"] == '"Grüße & Co" <shop@example.org>' or message["From"] == "Grüße & Co <shop@example.org>"
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Grüße")
    assert message.get_content().replace("\r\n", "\n") == "Olá!\n.\nFrom here\n"
    assert parsedate_to_datetime(message["Date"]).tzinfo
    assert message["Message-ID"].endswith("@example.org>")


async def test_text_and_html_arrive_together(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail program shows the one that it can, the HTML being the better one."""
    html = f"<p>{'Long lines, ' * 200}é</p>\n"
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch)
        await mail.send(to="ada@example.com", subject="Both", body="Text\n", html=html)
    (message,) = postbox.messages
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content().replace("\r\n", "\n") for part in message.iter_parts()] == ["Text\n", html]


async def test_the_same_message_has_the_same_id(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends again what may have arrived says so; another message has another id."""
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch)
        content = mail.Content("Hello", "It works.\n")
        for key in ("a", "a", "b"):
            await mail.send_content("ada@example.com", content, message_id=mail.message_id_of(key))
        for _ in range(2):
            await mail.send_content("ada@example.com", content)
    first, second, *others = [message["Message-ID"] for message in postbox.messages]
    assert first == second
    assert len({first, *others}) == 4


async def test_a_long_address_in_a_header_arrives_whole(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not broken into lines, nor encoded: mail programs look for it as it is."""
    link = f"<https://shop.example.com/unsubscribe?token={'x' * 400}>"
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch)
        content = mail.Content("News", "Hello\n", headers={"List-Unsubscribe": link})
        await mail.send_content("ada@example.com", content)
    assert f"\r\nList-Unsubscribe: {link}\r\n".encode() in postbox.envelopes[0].content


@pytest.mark.parametrize("smtputf8", [True, False])
async def test_domains_of_any_letters(smtputf8: bool, postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """They have an ASCII form, which every server takes."""
    async with smtp_server(postbox, enable_SMTPUTF8=smtputf8) as port:
        point_to(port, monkeypatch)
        await send(to="ada@bücher.example")
    assert postbox.envelopes[0].rcpt_tos == ["ada@xn--bcher-kva.example"]


async def test_addresses_of_any_letters(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the @ there is no other form, so the server has to offer SMTPUTF8; else the message cannot be sent."""
    async with smtp_server(postbox, enable_SMTPUTF8=True) as port:
        point_to(port, monkeypatch)
        await send(to="zoë@example.com", subject="Grüße")
    assert postbox.envelopes[0].rcpt_tos == ["zoë@example.com"]
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch)
        with pytest.raises(mail.PermanentMailError, match=r"zoë@example.com by 127.0.0.1.* SMTPUTF8 is not supported"):
            await send(to="zoë@example.com")


# The way there


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_the_connection_is_encrypted(
    security: str, postbox: Postbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password go over it too."""
    starttls = security == "starttls"
    certificate = new_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    options = {"require_starttls": starttls, "auth_required": True, "auth_require_tls": starttls}
    if not starttls:
        options = {}  # aiosmtpd takes a connection that was encrypted from the start for a plain one
    async with smtp_server(
        postbox, certificate=certificate, starttls=starttls, authenticator=authenticate, **options
    ) as port:
        point_to(port, monkeypatch, security, **({"user": USER, "password": PASSWORD} if starttls else {}))
        await send()
    assert len(postbox.messages) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("wrong", ["authority", "host"])
async def test_a_wrong_certificate_is_an_error(
    security: str, wrong: str, postbox: Postbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told to a server that nobody vouches for, or that is another one; another try may find it mended."""
    certificate = new_certificate(tmp_path, host="127.0.0.1" if wrong == "authority" else "elsewhere.example")
    if wrong == "host":
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with smtp_server(postbox, certificate=certificate, starttls=security == "starttls") as port:
        point_to(port, monkeypatch, security)
        with pytest.raises(mail.TemporaryMailError, match=r"ada@example.com by 127.0.0.1:\d+: .*certificate verify"):
            await send()
    assert not postbox.messages


async def test_nothing_is_sent_in_clear_that_was_to_be_encrypted(
    postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without STARTTLS gets no message, and no password."""
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch, "starttls", user=USER, password=PASSWORD)
        with pytest.raises(mail.PermanentMailError, match="STARTTLS extension not supported"):
            await send()
    assert not postbox.messages


async def test_user_and_password(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right ones are let in; wrong ones are an error that another try does not help, and that names no password."""
    async with smtp_server(postbox, authenticator=authenticate, auth_require_tls=False) as port:
        point_to(port, monkeypatch, user=USER, password=PASSWORD)
        await send()
        point_to(port, monkeypatch, user=USER, password="guessed")
        with pytest.raises(mail.PermanentMailError, match=r"535 refuses SMTP_USER and SMTP_PASSWORD$"):
            await send()
    assert len(postbox.messages) == 1


async def test_a_password_is_not_shown_by_a_server_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server answers to a password is not part of the error."""
    secret = base64.b64encode(b"\0ada\0hidden").decode()
    async with scripted_server("220 hello", "250-hello\r\n250 AUTH PLAIN", f"535 no {secret} hidden") as port:
        point_to(port, monkeypatch, user="ada", password="hidden")
        with pytest.raises(mail.PermanentMailError) as caught:
            await send()
    assert "hidden" not in str(caught.value)
    assert secret not in str(caught.value)


async def test_a_server_that_knows_no_passwords(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the settings hold a user, the message is not sent without."""
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch, user=USER, password=PASSWORD)
        with pytest.raises(mail.PermanentMailError, match="AUTH"):
            await send()
    assert not postbox.messages


# Failures


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("450 4.2.0 greylisted", mail.TemporaryMailError),
        ("421 4.3.2 shutting down", mail.TemporaryMailError),
        ("550 5.1.1 no such user", mail.PermanentMailError),
        ("554 5.7.1 spam", mail.PermanentMailError),
    ],
)
async def test_a_refusal_says_whether_another_try_may_help(
    command: str, answer: str, kind: type[mail.MailError], postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4xx is temporary, 5xx is not, whenever it comes; the error names server, recipient and answer."""
    postbox.answers[command] = [answer]
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch)
        with pytest.raises(kind) as caught:
            await send()
        assert str(caught.value) == f"mail to ada@example.com by 127.0.0.1:{port}: {answer}"
        assert not postbox.messages
        await send()
    assert len(postbox.messages) == 1


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        (["421 too busy"], mail.TemporaryMailError, "421 too busy"),
        (["554 not for you"], mail.PermanentMailError, "554 not for you"),
        (["HTTP/1.1 400 Bad Request"], mail.TemporaryMailError, "HTTP/1.1 400"),
        ([], mail.TemporaryMailError, GONE),
        (UP_TO_DATA[:1], mail.TemporaryMailError, GONE),
        (UP_TO_DATA[:3], mail.TemporaryMailError, GONE),
        (UP_TO_DATA, mail.TemporaryMailError, GONE),
        (["..."], mail.TemporaryMailError, "Timed out"),
        ([*UP_TO_DATA[:3], "..."], mail.TemporaryMailError, "Timed out"),
        ([*UP_TO_DATA, "..."], mail.TemporaryMailError, "Timed out"),
        ([*UP_TO_DATA[:3], "550 \udcff\x1b[1m no"], mail.PermanentMailError, r"550 \[1m no$"),
    ],
)
async def test_a_server_that_fails(
    script: list[str], kind: type[mail.MailError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses at once, is none, closes in the middle, hangs, or talks nonsense: each time it is known what to do."""
    async with scripted_server(*script) as port:
        point_to(port, monkeypatch, timeout="0.2")
        with pytest.raises(kind, match=rf"^mail to ada@example.com by 127.0.0.1:{port}: .*({said})"):
            await send()


async def test_no_server(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is temporary, and so is a host that is not found."""
    point_to(unused_tcp_port, monkeypatch)
    with pytest.raises(mail.TemporaryMailError, match=f"127.0.0.1:{unused_tcp_port}: "):
        await send()


async def test_a_host_that_cannot_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No try helps against a wrong setting."""
    point_to(25, monkeypatch, host="mail..example.com")
    with pytest.raises(mail.PermanentMailError, match=r"by mail\.\.example\.com:25: "):
        await send()


@pytest.mark.parametrize("goodbye", [[], ["550 stay"], ["..."]])
async def test_what_the_server_has_taken_is_sent(goodbye: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad goodbye is no error: the message would be sent twice."""
    async with scripted_server(*UP_TO_DATA, "250 taken", *goodbye) as port:
        point_to(port, monkeypatch, timeout="0.2")
        await send()


async def test_without_a_server_the_message_is_logged() -> None:
    """While developing, mail is read in the log."""
    with structlog.testing.capture_logs() as lines:
        await send(subject="Welcome", body="Hello Ada")
    assert [(line["to"], line["body"]) for line in lines] == [("ada@example.com", "Hello Ada")]


async def test_in_production_no_message_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold secrets, and somebody waits for it: without a server it is an error."""
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", "long and random")
    get_settings.cache_clear()
    with (
        structlog.testing.capture_logs() as lines,
        pytest.raises(mail.PermanentMailError, match=r"^mail to ada@example.com: SMTP_HOST is not set$"),
    ):
        await send()
    assert not lines


async def test_what_cannot_be_sent_is_not_sent(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can add recipients through a subject or an address: the server hears nothing."""
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch)
        for changed in ({"subject": "Hi\nBcc: eve@example.com"}, {"to": "ada@example.com>\r\nRCPT TO:<eve@x.com"}):
            with pytest.raises(mail.InvalidMessageError):
                await send(**changed)
    assert not postbox.messages
