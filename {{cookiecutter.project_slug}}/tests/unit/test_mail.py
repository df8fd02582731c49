"""Mail before it is sent: what a message may hold, and how one is made of templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
from jinja2 import TemplateNotFound, UndefinedError

from {{ cookiecutter.__package }} import TITLE
from {{ cookiecutter.__package }}.infrastructure import mail, mail_templates
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage
    from pathlib import Path

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"]


async def send(**changed: Any) -> None:
    await mail.send(**({"to": "ada@example.com", "subject": "Hello", "body": "It works.\n"} | changed))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", ""),
        ("to", "ada"),
        ("to", "ada@example.com, eve@example.com"),
        ("to", "ada@example.com,eve@example.com"),
        ("to", "Ada <ada@example.com>"),
        ("to", "ada@example.com>\r\nRCPT TO:<eve@example.com"),
        ("to", "ada@example.com\n"),
        ("to", "ada@example.com\u2028"),
        ("to", '"ada\neve"@example.com'),
        ("to", "=?utf-8?q?eve=40example.com=2C?=@example.com"),
        ("to", "a\udc80@example.com"),
        ("to", f"ada@{'a.' * 130}com"),
        ("to", "a" * 100_000),
        ("subject", "Hi\nBcc: eve@example.com"),
        ("subject", "Hi\r\n\r\nNot my text"),
        ("subject", "Hi\rBcc: eve@example.com"),
        ("subject", "Hi\x0bBcc: eve@example.com"),
        ("subject", "Hi\x1cBcc: eve@example.com"),
        ("subject", "Hi\x85Bcc: eve@example.com"),
        ("subject", "Hi\u2028Bcc: eve@example.com"),
        ("subject", "Hi\u2029Bcc: eve@example.com"),
        ("subject", "=?utf-8?q?Hi=0D=0ABcc=3A_eve=40example.com?="),
        ("subject", "Hi\0"),
        ("subject", "Hi\ud800"),
        ("subject", "x" * 999),
        ("body", "Hi\0"),
        ("body", "Hi\udfff"),
        ("html", "<p>\ud800"),
        ("message_id", "<1@example.com>\r\nBcc: eve@example.com"),
    ],
)
async def test_what_cannot_be_sent_is_refused(field: str, value: str, mailbox: list[EmailMessage]) -> None:
    """The error names the field and its value, in a form that can be printed; another try does not help."""
    with pytest.raises(mail.InvalidMessageError) as caught:
        await send(**{field: value})
    assert not mailbox
    assert isinstance(caught.value, mail.PermanentMailError)
    assert str(caught.value).startswith(f"mail: {'recipient' if field == 'to' else field} {value[:200]!r} ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", ["<https://a>\r\nBcc: eve@example.com", "<https://bücher.example>", "x" * 999])
async def test_a_further_header_is_one_line_of_ascii(value: str, mailbox: list[EmailMessage]) -> None:
    """Nothing else can be sent as it is."""
    with pytest.raises(mail.InvalidMessageError, match=r"^mail: List-Unsubscribe '"):
        await send(headers={"List-Unsubscribe": value})
    assert not mailbox


@pytest.mark.parametrize("name", ["X-A\nBcc: eve@example.com", "X A", "X:", "", "Ünsubscribe", "subject", "To"])
async def test_a_further_header_has_a_name_of_its_own(name: str, mailbox: list[EmailMessage]) -> None:
    """It is neither several headers nor one that there is already."""
    with pytest.raises(mail.InvalidMessageError, match=r"^mail: header '.* is no name of a further one$"):
        await send(headers={name: "x"})
    assert not mailbox


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "shop",
        "a@example.com, b@example.com",
        "Shop\n <a@example.com>",
        "=?x?q?=0A?=",
        "shop@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example",
    ],
)
async def test_a_sender_that_is_no_address_is_refused(
    sender: str, mailbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the setting; an empty one is none, as everywhere."""
    monkeypatch.setenv("SMTP_SENDER", sender)
    get_settings.cache_clear()
    if not sender:
        await send()
        assert mailbox[0]["From"] == "no-reply@localhost"
        return
    with pytest.raises(mail.InvalidMessageError, match=r"^mail: SMTP_SENDER '"):
        await send()
    assert not mailbox


@pytest.mark.parametrize(
    "subject", ["", "a" * 998, "é" * 998, " ".join(["word"] * 150), 'Re: "x" <y@z>, (a) ; b: c', "漢字" * 100, "tail  "]
)
async def test_any_line_is_a_subject(subject: str, mailbox: list[EmailMessage]) -> None:
    """It is one header, and no other comes of it; its lines in the message are as short as they must be."""
    await send(subject=subject)
    (message,) = mailbox
    assert message["Subject"] == subject
    head, _, _ = message.as_bytes().partition(b"\n\n")
    assert all(len(line) <= 998 for line in head.splitlines())
    assert [name for name in message if not name.startswith(("Content-", "MIME-"))] == HEADERS


async def test_what_is_caught_goes_nowhere_else() -> None:
    """The innermost `capture` gets a message; after it, messages are sent as before."""
    with structlog.testing.capture_logs() as lines, mail.capture() as outer:
        with mail.capture() as inner:
            await send(subject="inner")
        await send(subject="outer")
    assert [[message["Subject"] for message in each] for each in (inner, outer)] == [["inner"], ["outer"]]
    assert not lines
    with structlog.testing.capture_logs() as lines:
        await send()
    assert len(lines) == 1


def test_an_id_is_a_message_id_for_any_text() -> None:
    """The same for the same text only, and fit for a header."""
    texts = ["", "a", "a" * 100_000, "é", "\ud800", "\r\nBcc: eve@example.com", "\0"]
    ids = [mail.message_id_of(text) for text in texts]
    assert ids == [mail.message_id_of(text) for text in texts]
    assert len(set(ids)) == len(texts)
    assert all(each.isascii() and each.isprintable() and each.endswith("@localhost>") for each in ids)


# Templates


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Give a function that writes a template of the slice `shop`."""
    layout = (mail_templates.PACKAGE / "infrastructure/templates/layout.html").read_text()
    monkeypatch.setattr(mail_templates, "PACKAGE", tmp_path)

    def forget() -> None:
        mail_templates._environment.cache_clear()
        mail_templates._text_templates.cache_clear()

    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    forget()
    write("infrastructure/templates/layout.html", layout)
    yield write
    forget()


async def test_a_message_is_made_of_templates(
    write: Callable[[str, str], None], mailbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are escaped in HTML, attributes included, and nowhere else; the layout is round it."""
    monkeypatch.setenv("PUBLIC_URL", "https://shop.example.com/")
    get_settings.cache_clear()
    write("shop/templates/order.txt", "Subject: Order ${number}\n\nDear ${name},\n\n${public_url}\n")
    write(
        "shop/templates/order.html",
        '% extends "infrastructure/templates/layout.html"\n% block content\n'
        '<p title="${name}">${name}</p>\n% endblock\n',
    )
    content = mail.compose("shop/order", number=7, name='<script>"Ada" & co</script>')
    assert content.subject == "Order 7"
    assert content.text == 'Dear <script>"Ada" & co</script>,\n\nhttps://shop.example.com\n'
    assert content.html is not None
    assert "<script>" not in content.html
    escaped = "&lt;script&gt;&#34;Ada&#34; &amp; co&lt;/script&gt;"
    assert f'<p title="{escaped}">{escaped}</p>' in content.html
    assert "<title>Order 7</title>" in content.html
    assert 'href="https://shop.example.com"' in content.html
    await mail.send_content("ada@example.com", content)
    assert mailbox[0].get_content_type() == "multipart/alternative"


async def test_html_is_not_needed(write: Callable[[str, str], None], mailbox: list[EmailMessage]) -> None:
    """A text alone is a message, too."""
    write("shop/templates/note.txt", "Subject: Note\n\nHello\n")
    content = mail.compose("shop/note")
    assert content == mail.Content("Note", "Hello\n", None)
    await mail.send_content("ada@example.com", content)
    assert mailbox[0].get_content_type() == "text/plain"


@pytest.mark.parametrize("value", ["Ada\nBcc: eve@example.com", "Ada\r\n\r\nBcc:", "Ada\u2028Bcc:", "=?utf-8?q?=0A?="])
async def test_a_value_stays_in_the_subject(
    value: str, write: Callable[[str, str], None], mailbox: list[EmailMessage]
) -> None:
    """It adds neither headers nor text, and keeps nobody from getting the message."""
    write("shop/templates/note.txt", "Subject: Hello ${name}\n\nText\n")
    await mail.send_content("ada@example.com", mail.compose("shop/note", name=value))
    assert mailbox[0]["Bcc"] is None
    assert mailbox[0]["Subject"].startswith("Hello ")
    assert mailbox[0].get_content() == "Text\n"


def test_a_value_is_no_template(write: Callable[[str, str], None]) -> None:
    """Nothing in it is run."""
    write("shop/templates/note.txt", "Subject: ${name}\n\n${name}\n")
    value = "${7 * 7}"
    assert mail.compose("shop/note", name=value) == mail.Content(value, f"{value}\n")


@pytest.mark.parametrize("file", ["note.txt", "note.html"])
def test_a_missing_value_is_an_error(file: str, write: Callable[[str, str], None]) -> None:
    """Rather than a gap in the message."""
    write("shop/templates/note.txt", "Subject: Note\n\nHello\n")
    write(f"shop/templates/{file}", "Subject: Note\n\nHello ${nobody}\n")
    with pytest.raises(UndefinedError, match="'nobody' is undefined"):
        mail.compose("shop/note")


@pytest.mark.parametrize("source", ["Hello\n", "Subject: Hello\nText\n", "subject: Hello\n\nText\n", ""])
def test_a_template_without_a_subject_is_an_error(source: str, write: Callable[[str, str], None]) -> None:
    """The error names the file, and what it has to begin with."""
    write("shop/templates/note.txt", source)
    with pytest.raises(ValueError, match=r"^shop/templates/note\.txt does not begin with a line 'Subject: "):
        mail.compose("shop/note")


@pytest.mark.parametrize("name", ["shop/unknown", "unknown", "", "../secret", "/etc/passwd"])
def test_an_unknown_template_is_an_error(name: str) -> None:
    """Only what stands in a slice's templates can be sent."""
    with pytest.raises(TemplateNotFound):
        mail.compose(name)


def test_a_notification_is_text_and_html() -> None:
    """What somebody is told keeps its lines, and is escaped in HTML."""
    content = mail.compose("infrastructure/notification", subject="News", body="One <b>line</b>\nand another")
    assert (content.subject, content.text) == ("News", "One <b>line</b>\nand another\n")
    assert content.html is not None
    assert "One &lt;b&gt;line&lt;/b&gt;\nand another" in content.html
    assert "pre-line" in content.html
    assert TITLE.split()[0] in content.html
