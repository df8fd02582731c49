"""Accounts on PostgreSQL, where requests run truly at the same time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import func, select, update

from {{ cookiecutter.__package }}.accounts import security, service
from {{ cookiecutter.__package }}.accounts.models import PasswordReset, User
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context

if TYPE_CHECKING:
    from httpx import AsyncClient

pytestmark = pytest.mark.usefixtures("redis_url", "on_postgresql", "tables")

EMAIL, PASSWORD = "ada@example.com", "correct horse"


async def sign_up(email: str = EMAIL) -> User:
    async with get_session_context() as session:
        return await service.register(session, email=email, name="Ada", password=PASSWORD)


async def mailed_token(email: str = EMAIL) -> str:
    async with get_session_context() as session:
        reset = await service.start_password_reset(session, email)
    assert reset is not None
    return parse_qs(urlsplit(reset.link).query)["token"][0]


async def test_a_link_is_used_once_by_whoever_is_first(client: AsyncClient) -> None:
    """Of requests at the same time one sets its password; the others get 400."""
    await sign_up()
    token = await mailed_token()
    passwords = [f"password {number}" for number in range(8)]
    answers = await asyncio.gather(
        *(
            client.post("/api/v1/auth/password-reset/confirm", json={"token": token, "password": password})
            for password in passwords
        )
    )
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 7
    [winner] = [one for one, answer in zip(passwords, answers, strict=True) if answer.status_code == 204]
    async with get_session_context() as session:
        assert (await service.sign_in(session, email=EMAIL, password=winner)).token_generation == 1


async def test_two_links_of_one_user_do_not_both_work() -> None:
    """The one that is used makes the other void, also at the same time; none fails otherwise."""
    user = await sign_up()
    tokens = [await mailed_token() for _ in range(4)]

    async def use(token: str) -> None:
        async with get_session_context() as session:
            await service.finish_password_reset(session, token=token, password=token)

    outcomes = await asyncio.gather(*map(use, tokens), return_exceptions=True)
    errors = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(error, service.InvalidResetTokenError) for error in errors), errors
    assert len(errors) == 3
    async with get_session_context() as session:
        assert (await session.get_one(User, user.id)).token_generation == 1
        assert await session.scalar(select(func.count()).select_from(PasswordReset)) == 1


async def test_asking_for_links_and_using_them_do_not_wait_for_each_other() -> None:
    """However requests with old and new links of two users meet, all come to their end."""
    emails = [EMAIL, "bob@example.com"]
    for email in emails:
        await sign_up(email)
    tokens = [await mailed_token(email) for email in emails * 3]
    async with get_session_context() as session:
        old = select(PasswordReset.id).order_by(PasswordReset.id).limit(4)
        await session.execute(
            update(PasswordReset).where(PasswordReset.id.in_(old)).values(expires_at=datetime.now(UTC))
        )

    async def use(token: str) -> None:
        async with get_session_context() as session:
            await service.finish_password_reset(session, token=token, password=token)

    asked = [mailed_token(email) for email in emails * 5]
    outcomes = await asyncio.gather(*map(use, tokens), *asked, return_exceptions=True)
    assert outcomes[:4].count(None) == 0
    assert outcomes[4:6] == [None, None]
    assert all(isinstance(outcome, str) for outcome in outcomes[6:]), outcomes


async def test_an_address_signs_up_once_whoever_is_first(client: AsyncClient) -> None:
    """Of requests at the same time one gets it; the others get 409."""
    bodies = [{"email": email, "name": "Ada"} for email in (EMAIL, EMAIL.upper()) * 4]
    answers = await asyncio.gather(*(client.post("/api/v1/users", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_password_changes_once_for_one_current_one() -> None:
    """Two changes from the same current password do not both hold."""
    user = await sign_up()

    async def change(new: str) -> None:
        async with get_session_context() as session:
            mine = await session.get_one(User, user.id)
            await service.change_password(session, mine, current=PASSWORD, new=new)

    outcomes = await asyncio.gather(*(change(f"password {n}") for n in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, service.WrongPasswordError) for outcome in outcomes) == 3


async def test_signing_in_end_to_end(client: AsyncClient) -> None:
    """Times and rows come back from PostgreSQL as they do from SQLite."""
    user = await sign_up()
    assert user.created_at.tzinfo is not None
    answer = await client.post("/api/v1/auth/token", data={"username": EMAIL, "password": PASSWORD})
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get("/api/v1/users/me", headers=headers)).json()["email"] == EMAIL
    ghost = security.access_token(User(id=2**31 - 1, token_generation=0))
    headers = {"Authorization": f"Bearer {ghost}"}
    assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 401
