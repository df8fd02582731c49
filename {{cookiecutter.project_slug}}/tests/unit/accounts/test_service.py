"""What can be done with accounts, without HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from {{ cookiecutter.__package }}.accounts import security, service
from {{ cookiecutter.__package }}.accounts.models import PasswordReset, Role, User
from {{ cookiecutter.__package }}.infrastructure.database import get_engine, get_session_context
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

pytestmark = pytest.mark.usefixtures("tables")

EMAIL, PASSWORD, OTHER = "ada@example.com", "correct horse", "battery staple"


async def signed_up(email: str = EMAIL, password: str | None = PASSWORD) -> User:
    async with get_session_context() as session:
        return await service.register(session, email=email, name="Ada", password=password)


async def signed_in(email: str = EMAIL, password: str = PASSWORD) -> User:
    async with get_session_context() as session:
        return await service.sign_in(session, email=email, password=password)


async def mailed_token(email: str = EMAIL) -> str:
    async with get_session_context() as session:
        reset = await service.start_password_reset(session, email)
    assert reset is not None
    return parse_qs(urlsplit(reset.link).query)["token"][0]


async def finished(token: str, password: str = OTHER) -> None:
    async with get_session_context() as session:
        await service.finish_password_reset(session, token=token, password=password)


async def resets() -> list[PasswordReset]:
    async with get_session_context() as session:
        return list(await session.scalars(select(PasswordReset).order_by(PasswordReset.id)))


async def is_good(token: str) -> bool:
    async with get_session_context() as session:
        return await service.find_by_token(session, token) is not None


async def test_who_signs_up_can_sign_in() -> None:
    """In any letter case of the address; what is stored does not contain the password."""
    user = await signed_up("Ada@Example.com")
    assert (user.email, user.role, user.token_generation) == (EMAIL, "user", 0)
    assert user.created_at.tzinfo is not None
    assert PASSWORD not in str(user.password_hash)
    assert (await signed_in("ADA@example.com")).id == user.id


@pytest.mark.parametrize("password", [OTHER, "", PASSWORD.upper(), PASSWORD + " ", "x" * 128])
async def test_another_password_lets_nobody_in(password: str) -> None:
    """It has to be the same."""
    await signed_up()
    with pytest.raises(service.WrongCredentialsError, match="the address or the password is wrong"):
        await signed_in(password=password)


@pytest.mark.parametrize("email", ["bob@example.com", "", "ada@example.com ", "%", "ada@example.co_"])
async def test_an_unknown_address_lets_nobody_in(email: str) -> None:
    """With the same error as a wrong password."""
    await signed_up()
    with pytest.raises(service.WrongCredentialsError, match="the address or the password is wrong"):
        await signed_in(email)


@pytest.mark.parametrize("password", ["", "None", PASSWORD])
async def test_an_account_without_a_password_lets_nobody_in(password: str) -> None:
    """Until a password reset has given it one."""
    await signed_up(password=None)
    with pytest.raises(service.WrongCredentialsError):
        await signed_in(password=password)
    await finished(await mailed_token())
    await signed_in(password=OTHER)


async def test_a_refused_password_signs_nobody_up() -> None:
    """The account is not there without it."""
    with pytest.raises(security.UnfitPasswordError):
        await signed_up(password="short")
    async with get_session_context() as session:
        assert await service.find_by_email(session, EMAIL) is None


async def test_an_address_signs_up_once_whoever_comes_first() -> None:
    """Of several at the same time, one gets it."""
    outcomes = await asyncio.gather(*(signed_up(password=None) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, service.EmailTakenError) for outcome in outcomes) == 7


async def test_signing_in_renews_an_old_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the parameters of Argon2 change, the hash is renewed, and tokens stay good."""
    monkeypatch.setattr(security, "ARGON2", PasswordHasher(time_cost=2, memory_cost=64))
    token = security.access_token(await signed_up())
    monkeypatch.undo()
    await signed_in()
    async with get_session_context() as session:
        user = await service.find_by_email(session, EMAIL)
    assert user is not None
    assert not security.ARGON2.check_needs_rehash(str(user.password_hash))
    assert await is_good(token)
    await signed_in()


async def test_renewing_a_hash_undoes_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that changes while the old one signs in for the last time stays changed."""
    monkeypatch.setattr(security, "ARGON2", PasswordHasher(time_cost=2, memory_cost=64))
    user = await signed_up()
    monkeypatch.undo()
    renew = security.Hasher.hash

    async def change_first(hasher: security.Hasher, password: str) -> str:
        monkeypatch.undo()
        new = await renew(hasher, OTHER)
        async with get_session_context() as session:
            await session.execute(update(User).where(User.id == user.id).values(password_hash=new))
        return await renew(hasher, password)

    monkeypatch.setattr(security.Hasher, "hash", change_first)
    await signed_in()
    await signed_in(password=OTHER)
    with pytest.raises(service.WrongCredentialsError):
        await signed_in()


async def test_a_changed_password_signs_out_everywhere() -> None:
    """The new one signs in, the old one does not; tokens and links from before are void."""
    user = await signed_up()
    old, link = security.access_token(user), await mailed_token()
    async with get_session_context() as session:
        user = await session.get_one(User, user.id)
        await service.change_password(session, user, current=PASSWORD, new=OTHER)
    assert not await is_good(old)
    assert await is_good(security.access_token(await signed_in(password=OTHER)))
    with pytest.raises(service.WrongCredentialsError):
        await signed_in()
    with pytest.raises(service.InvalidResetTokenError):
        await finished(link)


@pytest.mark.parametrize("password", [PASSWORD, None])
async def test_a_password_is_changed_by_who_knows_it(password: str | None) -> None:
    """A wrong current one changes nothing, nor does any where there is none."""
    user = await signed_up(password=password)
    async with get_session_context() as session:
        with pytest.raises(service.WrongPasswordError):
            await service.change_password(session, user, current=OTHER, new=OTHER)
    assert await is_good(security.access_token(user))


async def test_tokens_of_nobody_are_void() -> None:
    """A user who has been deleted is signed out, also when others sign up; a token for one who never was is none."""
    user = await signed_up()
    token = security.access_token(user)
    async with get_session_context() as session:
        await session.delete(user)
    assert not await is_good(token)
    await signed_up("bob@example.com")
    assert not await is_good(token)
    assert not await is_good(security.access_token(User(id=2**31 - 1, token_generation=0)))


async def test_a_link_sets_a_password_once() -> None:
    """The second time it is void; the access tokens from before are, too."""
    old = security.access_token(await signed_up())
    token = await mailed_token()
    await finished(token)
    assert not await is_good(old)
    await signed_in(password=OTHER)
    with pytest.raises(service.InvalidResetTokenError, match="not valid, or no longer"):
        await finished(token, "yet another password")
    await signed_in(password=OTHER)


async def test_only_the_hash_of_a_token_is_stored() -> None:
    """Who reads the database can set nobody's password; 256 random bits cannot be guessed."""
    await signed_up()
    token = await mailed_token()
    [reset] = await resets()
    assert len(token) == 43
    assert reset.token_hash == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(vars(reset))
    with pytest.raises(service.InvalidResetTokenError):
        await finished(reset.token_hash)


async def test_a_used_link_makes_the_others_void() -> None:
    """Those of the same user; another's stays good."""
    for email in (EMAIL, "bob@example.com"):
        await signed_up(email)
    first, second, of_bob = await mailed_token(), await mailed_token(), await mailed_token("bob@example.com")
    await finished(second)
    with pytest.raises(service.InvalidResetTokenError):
        await finished(first)
    await finished(of_bob)


async def test_a_link_expires() -> None:
    """Afterwards it sets nothing, and the next request for one deletes it."""
    await signed_up()
    token = await mailed_token()
    [reset] = await resets()
    assert timedelta(minutes=59) < reset.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    async with get_session_context() as session:
        await session.execute(update(PasswordReset).values(expires_at=datetime.now(UTC)))
    with pytest.raises(service.InvalidResetTokenError):
        await finished(token)
    async with get_session_context() as session:
        assert await service.start_password_reset(session, "nobody@example.com") is None
    assert await resets() == []


@pytest.mark.parametrize("token", ["", "x", "\0", "' OR 1=1 --", "x" * 100_000])
async def test_a_made_up_token_sets_nothing(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is no work: no password is hashed for it."""
    await signed_up()
    await mailed_token()
    with monkeypatch.context() as patch:
        patch.delattr(security.Hasher, "hash")
        with pytest.raises(service.InvalidResetTokenError):
            await finished(token)
    await signed_in()


async def test_a_refused_password_leaves_the_link_good() -> None:
    """One may try again."""
    await signed_up()
    token = await mailed_token()
    with pytest.raises(security.UnfitPasswordError):
        await finished(token, "short")
    await finished(token)


async def test_of_several_at_the_same_time_one_uses_the_link() -> None:
    """The others are told that it is void, and the password is that one's."""
    await signed_up()
    token = await mailed_token()
    passwords = [f"password {number}" for number in range(4)]
    outcomes = await asyncio.gather(*(finished(token, password) for password in passwords), return_exceptions=True)
    [winner] = [password for password, outcome in zip(passwords, outcomes, strict=True) if outcome is None]
    assert sum(isinstance(outcome, service.InvalidResetTokenError) for outcome in outcomes) == 3
    assert (await signed_in(password=winner)).token_generation == 1


async def test_the_link_goes_to_the_address_of_the_account() -> None:
    """Not to the one that was typed: the sign of the unit kelvin is a k in lower case, and another mailbox."""
    await signed_up("k@example.com")
    async with get_session_context() as session:
        reset = await service.start_password_reset(session, "\N{KELVIN SIGN}@example.com")
    assert reset is not None
    assert reset.email == "k@example.com"


@pytest.mark.parametrize(
    ("settings", "beginning"),
    [
        (dict[str, str](), "http://127.0.0.1:8000/reset-password?token="),
        ({"PUBLIC_URL": "https://example.com/app/"}, "https://example.com/app/reset-password?token="),
        ({"AUTH_RESET_URL": "https://example.com/new"}, "https://example.com/new?token="),
        ({"AUTH_RESET_URL": "https://example.com/?page=new"}, "https://example.com/?page=new&token="),
    ],
)
async def test_the_link_leads_to_the_page_of_the_front_end(
    settings: dict[str, str], beginning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PUBLIC_URL and AUTH_RESET_URL say where that is."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    await signed_up()
    async with get_session_context() as session:
        reset = await service.start_password_reset(session, EMAIL)
    assert reset is not None
    assert reset.link.startswith(beginning)


async def test_links_go_with_their_user() -> None:
    """The database deletes them together."""
    user = await signed_up()
    await mailed_token()
    async with get_session_context() as session:
        await session.delete(user)
    async with get_session_context() as session:
        assert await session.scalar(select(func.count()).select_from(PasswordReset)) == 0


async def test_who_waits_for_a_turn_holds_no_connection() -> None:
    """However many sign in or reset their password at once, the others still get at the database."""
    await signed_up()
    token = await mailed_token("ada@example.com")
    pool: Any = get_engine().pool
    async with AsyncExitStack() as taken:
        for _ in range(security.AT_ONCE):
            await taken.enter_async_context(security.hashing())
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(signed_in()) for _ in range(20)]
        waiting.append(asyncio.create_task(finished(token, PASSWORD)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert pool.checkedout() == 0
        async with get_session_context() as session:
            assert await service.find_by_email(session, EMAIL) is not None
    await asyncio.gather(*waiting)


async def test_an_administrator_is_made() -> None:
    """A new one gets name and password; one who is there keeps theirs, unless a password is given."""
    async with get_session_context() as session:
        new = await service.make_admin(session, email=EMAIL, name="Ada", password=PASSWORD)
    assert (new.name, new.role) == ("Ada", Role.ADMIN)
    await signed_in()

    bob = await signed_up("bob@example.com")
    token = security.access_token(bob)
    async with get_session_context() as session:
        await service.make_admin(session, email="BOB@example.com", name="Robert")
    user = await signed_in("bob@example.com")
    assert (user.id, user.name, user.role) == (bob.id, "Ada", Role.ADMIN)
    assert await is_good(token)

    async with get_session_context() as session:
        await service.make_admin(session, email="bob@example.com", name="Robert", password=OTHER)
    await signed_in("bob@example.com", OTHER)
    assert not await is_good(token)


def test_secrets_are_marked() -> None:
    """What is exported or shown of a table leaves these columns out."""
    secret = {
        str(column)
        for model in (User, PasswordReset)
        for column in model.__table__.columns
        if column.info.get("secret")
    }
    assert secret == {"users.password_hash", "users.token_generation", "password_resets.token_hash"}


def test_mails_escape_what_users_chose() -> None:
    """A name is text, in HTML too."""
    content = service.welcome_mail("<b>Ada</b> & " + "{" * 2 + " 7 * 7 " + "}" * 2)
    assert "<b>Ada</b>" in content.text
    assert "&lt;b&gt;Ada&lt;/b&gt; &amp;" in str(content.html)
    assert "49" not in content.text + str(content.html)
    link = "https://example.com/?a=1&token=x"
    content = service.password_reset_mail(link)
    assert link in content.text
    assert "60 minutes" in content.text
    assert "?a=1&amp;token=x" in str(content.html)
