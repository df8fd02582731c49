"""The newsletter: subscribing, unsubscribing by the link of a copy, and sending it in place."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sqlalchemy import delete, select

from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.signing import sign
from {{ cookiecutter.__package }}.reports.newsletter import in_place, service
from {{ cookiecutter.__package }}.reports.newsletter.models import Newsletter, Subscription

if TYPE_CHECKING:
    from email.message import EmailMessage

    from httpx import AsyncClient

    from signing_in import SignIn

SUBSCRIPTION = "/api/v1/newsletter/subscription"


async def add_subscribers(number: int) -> list[int]:
    async with get_session_context() as session:
        users = [User(email=f"user{n}@example.com", name=f"User {n}") for n in range(number)]
        session.add_all(users)
        await session.flush()
        for user in users:
            await service.subscribe(session, user.id)
        return [user.id for user in users]


async def subscribers() -> list[int]:
    async with get_session_context() as session:
        return list(await session.scalars(select(Subscription.user_id).order_by(Subscription.user_id)))


async def write_copy(user_id: int, *, subject: str = "News", body: str = "Hello!\n") -> mail.Content:
    async with get_session_context() as session:
        newsletter = await service.create(session, subject=subject, body=body)
        copy = await service.write_copy(session, newsletter.id, user_id)
    assert copy
    return copy[1]


def link_of(content: mail.Content) -> str:
    found = re.search(r"^http\S+$", content.text, re.MULTILINE)
    assert found
    url = urlsplit(found[0])
    return f"{url.path}?{url.query}"


async def test_a_user_subscribes_and_unsubscribes(client: AsyncClient, sign_in: SignIn) -> None:
    """Doing it twice changes nothing, and concerns nobody else."""
    ada, bob = await sign_in("ada@example.com"), await sign_in("bob@example.com")
    for headers in (ada, ada, bob):
        assert (await client.put(SUBSCRIPTION, headers=headers)).status_code == 204
    assert len(await subscribers()) == 2
    for _ in range(2):
        assert (await client.delete(SUBSCRIPTION, headers=ada)).status_code == 204
    assert len(await subscribers()) == 1
    assert (await client.put(SUBSCRIPTION)).status_code == 401
    assert (await client.delete(SUBSCRIPTION)).status_code == 401


async def test_a_copy_says_how_to_unsubscribe(client: AsyncClient) -> None:
    """The link shows a page, which changes nothing; posting to it, as mail programs do, unsubscribes its user only."""
    first, second = await add_subscribers(2)
    content = await write_copy(first)
    link = link_of(content)
    assert content.headers["List-Unsubscribe"] == f"<http://127.0.0.1:8000{link}>"
    assert content.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    page = await client.get(link)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<form method=post>" in page.text
    assert await subscribers() == [first, second]

    for _ in range(2):
        done = await client.post(link, data={"List-Unsubscribe": "One-Click"})
        assert (done.status_code, "no more newsletters" in done.text) == (200, True)
    assert await subscribers() == [second]


@pytest.mark.usefixtures("tables")
async def test_no_newsletter_has_the_id_of_another() -> None:
    """Not even of one that is gone: who has got that one would be taken to have got the new one."""
    ids = []
    for _ in range(2):
        async with get_session_context() as session:
            newsletter = await service.create(session, subject="News", body="Hello!\n")
        ids.append(newsletter.id)
        async with get_session_context() as session:
            await session.delete(newsletter)
    assert ids[0] != ids[1]


async def test_only_links_of_copies_unsubscribe(client: AsyncClient) -> None:
    """A token that is forged, made for something else, or too old is refused, as is none."""
    [user_id] = await add_subscribers(1)
    claims = {"user_id": user_id}
    tokens = [
        "",
        "nonsense",
        sign("download", claims, ttl=timedelta(days=1)),
        sign(service.UNSUBSCRIBE, claims, ttl=-timedelta(seconds=1)),
    ]
    for token in tokens:
        for method in ("GET", "POST"):
            answer = await client.request(method, "/api/v1/newsletter/unsubscribe", params={"token": token})
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert (await client.post("/api/v1/newsletter/unsubscribe")).status_code == 422
    assert await subscribers() == [user_id]


@pytest.mark.usefixtures("tables")
async def test_the_headers_reach_the_server_whole(mailbox: list[EmailMessage]) -> None:
    """The link in the header is not broken into pieces, which mail programs would not put together."""
    [user_id] = await add_subscribers(1)
    content = await write_copy(user_id)
    await mail.send_content("ada@example.com", content)
    lines = mailbox[0].as_bytes(policy=mailbox[0].policy.clone(linesep="\r\n")).decode().split("\r\n")
    assert f"List-Unsubscribe: {content.headers['List-Unsubscribe']}" in lines
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines


@pytest.mark.usefixtures("tables")
async def test_what_admins_write_is_text() -> None:
    """In HTML it is escaped; in the subject it is one line."""
    [user_id] = await add_subscribers(1)
    content = await write_copy(user_id, subject="<b>News</b> 7", body="1 < 2\n\n<script>\n")
    assert content.subject == "<b>News</b> 7"
    assert "1 < 2\n\n<script>\n" in content.text
    assert content.html
    assert "1 &lt; 2\n\n&lt;script&gt;" in content.html


@pytest.mark.usefixtures("tables")
async def test_who_is_not_subscribed_has_no_copy() -> None:
    """Neither a user who has unsubscribed, nor one who is gone; nor is there one of a newsletter that is gone."""
    first, second = await add_subscribers(2)
    async with get_session_context() as session:
        newsletter = await service.create(session, subject="News", body="Hello!")
        await service.unsubscribe(session, first)
        await session.execute(delete(User).where(User.id == second))
    async with get_session_context() as session:
        assert await service.write_copy(session, newsletter.id, first) is None
        assert await service.write_copy(session, newsletter.id, second) is None
        await service.subscribe(session, first)
        assert await service.write_copy(session, newsletter.id, first)
        assert await service.write_copy(session, newsletter.id + 1, first) is None


@pytest.mark.usefixtures("tables")
async def test_subscribers_are_read_a_page_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, in order, also where the last page is full."""
    monkeypatch.setattr(service, "PAGE", 3)
    ids = await add_subscribers(6)
    assert [user_id async for user_id in service.subscriber_ids()] == ids
    assert [user_id async for user_id in service.subscriber_ids(after=ids[1])] == ids[2:]


@pytest.mark.usefixtures("tables")
async def test_a_newsletter_is_sent_in_place(mailbox: list[EmailMessage]) -> None:
    """Everybody gets a copy of their own; the newsletter says how many."""
    await add_subscribers(5)
    told: list[tuple[int, int]] = []
    sending = await in_place.send_in_place(subject="News", body="Hello!", progress=lambda *how: told.append(how))
    assert sorted(message["To"] for message in mailbox) == [f"user{n}@example.com" for n in range(5)]
    assert len({message["List-Unsubscribe"] for message in mailbox}) == 5
    assert told == [(n, 5) for n in range(1, 6)]
    async with get_session_context() as session:
        newsletter = await service.get_newsletter(session, sending.newsletter_id)
    assert newsletter
    assert (newsletter.total, newsletter.sent_at is None) == (5, False)


class Server:
    """A mail server of which a test says what it takes."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.problems: dict[str, Exception] = {}
        self.breaks_at: int | None = None

    async def send_content(self, to: str, content: mail.Content) -> None:  # noqa: ARG002
        if self.breaks_at == len(self.sent):
            raise KeyboardInterrupt
        if to in self.problems:
            raise self.problems[to]
        self.sent.append(to)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(mail, "send_content", server.send_content)
    return server


async def send(subject: str = "News") -> in_place.Sending:
    return await in_place.send_in_place(subject=subject, body="Hello!", progress=lambda *_: None)


@pytest.mark.usefixtures("tables")
async def test_sending_that_was_broken_off_goes_on(server: Server) -> None:
    """The same command again sends to those who are left; once all have it, it is another newsletter."""
    await add_subscribers(5)
    server.breaks_at = 2
    with pytest.raises(KeyboardInterrupt):
        await send()
    server.breaks_at = None
    await send("Something else")
    assert len(server.sent) == 7
    second = await send()
    assert server.sent[7:] == [f"user{n}@example.com" for n in (2, 3, 4)]
    async with get_session_context() as session:
        newsletter = await service.get_newsletter(session, second.newsletter_id)
    assert newsletter
    assert newsletter.total == 5
    assert (await send()).sent == 5


@pytest.mark.usefixtures("tables")
async def test_bad_addresses_do_not_stop_it(server: Server) -> None:
    """They are told in the end; two that fail for a reason which may pass are no reason to give up either."""
    await add_subscribers(6)
    server.problems = {f"user{n}@example.com": mail.PermanentMailError("550 unknown") for n in (0, 1, 2)}
    server.problems |= {f"user{n}@example.com": mail.TemporaryMailError("452 full") for n in (3, 4)}
    sending = await send()
    assert server.sent == ["user5@example.com"]
    assert sending.failed == {address: str(error) for address, error in server.problems.items()}


@pytest.mark.usefixtures("tables")
async def test_a_server_that_is_away_stops_it(server: Server) -> None:
    """Then nobody is passed over: the same command again begins with the first who got none."""
    await add_subscribers(6)
    server.problems = {f"user{n}@example.com": mail.TemporaryMailError("away") for n in range(2, 6)}
    with pytest.raises(in_place.MailServerError, match="away; run the same command again to go on"):
        await send()
    assert server.sent == ["user0@example.com", "user1@example.com"]
    server.problems.clear()
    await send()
    assert server.sent == [f"user{n}@example.com" for n in range(6)]


@pytest.mark.usefixtures("tables")
async def test_a_server_that_goes_away_at_the_end_leaves_the_last(server: Server) -> None:
    """Too few are left to give up before the end; the same command again is for these alone."""
    await add_subscribers(4)
    server.problems = {f"user{n}@example.com": mail.TemporaryMailError("away") for n in (2, 3)}
    with pytest.raises(in_place.MailServerError):
        await send()
    server.problems.clear()
    await send()
    assert server.sent == [f"user{n}@example.com" for n in range(4)]


@pytest.mark.usefixtures("tables")
async def test_a_command_does_not_go_on_with_what_others_send() -> None:
    """A newsletter of the same text that was not begun by a command is left alone."""
    async with get_session_context() as session:
        other = await service.create(session, subject="News", body="Hello!")
    assert (await send()).newsletter_id != other.id


@pytest.mark.parametrize("role", ["admin", "viewer"])
async def test_admins_and_viewers_look_a_newsletter_up(client: AsyncClient, sign_in: SignIn, role: str) -> None:
    """It says what was written and when; others may not see it."""
    async with get_session_context() as session:
        session.add(Newsletter(subject="News", body="Hello!", created_at=datetime(2026, 2, 1, tzinfo=UTC)))
    path = "/api/v1/newsletters/1"
    found = await client.get(path, headers=await sign_in("boss@example.com", role=role))
    assert found.json() == {
        "id": 1,
        "subject": "News",
        "body": "Hello!",
        "created_at": "2026-02-01T00:00:00Z",
        "sent_at": None,
        "total": None,
    }
    assert (await client.get(path)).status_code == 401
    assert (await client.get(path, headers=await sign_in())).status_code == 403
    missing = await client.get("/api/v1/newsletters/2", headers=await sign_in("boss@example.com"))
    assert missing.status_code == 404
