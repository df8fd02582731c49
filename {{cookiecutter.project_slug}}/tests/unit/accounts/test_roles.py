"""What the roles may do, and `set-role`, as somebody types it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from {{ cookiecutter.__package }}.accounts import service
from {{ cookiecutter.__package }}.accounts.commands import set_role
from {{ cookiecutter.__package }}.accounts.models import Role, User
from {{ cookiecutter.__package }}.infrastructure.database import (
    Base,
    get_engine,
    get_session_context,
    run_command,
)

if TYPE_CHECKING:
    from httpx import AsyncClient
    from typer.testing import Result

    from signing_in import SignIn

EMAIL = "ada@example.com"


@pytest.fixture
def ada() -> None:
    """Sign somebody up; the commands have event loops of their own."""

    async def sign_up() -> None:
        async with get_engine().begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with get_session_context() as session:
            await service.register(session, email=EMAIL, name="Ada")

    run_command(sign_up())


def run(*words: str) -> Result:
    app = typer.Typer()
    app.command()(set_role)
    return CliRunner().invoke(app, list(words))


def find() -> User | None:
    async def act() -> User | None:
        async with get_session_context() as session:
            return await service.find_by_email(session, EMAIL)

    return run_command(act())


@pytest.mark.usefixtures("ada")
def test_a_role_is_given_and_taken() -> None:
    """In any letter case of the address; the answer says what it was before."""
    for role, before in [("viewer", "user"), ("admin", "viewer"), ("user", "admin")]:
        done = run("ADA@example.com", role)
        assert (done.exit_code, done.output) == (0, f"{EMAIL} has the role {role} now, and had {before}\n")
        assert (user := find()) is not None
        assert user.role == role


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["grace@example.com", "viewer"], 1, "nobody has signed up as grace@example.com"),
        ([EMAIL, "owner"], 2, "there is no role 'owner', only user, viewer, admin"),
    ],
)
def test_what_cannot_be(words: list[str], status: int, line: str) -> None:
    """It says why, and nobody becomes anything."""
    done = run(*words)
    assert (done.exit_code, done.output) == (status, f"{line}\n")
    assert (user := find()) is not None
    assert user.role == "user"


async def test_a_viewer_sees_others(client: AsyncClient, sign_in: SignIn) -> None:
    """As an administrator does; to a user it is as if nobody else were there."""
    grace = await sign_in("grace@example.com")
    path = f"/api/v1/users/{(await client.get('/api/v1/users/me', headers=grace)).json()['id']}"
    for role, status in [("viewer", 200), ("admin", 200), ("user", 404)]:
        answer = await client.get(path, headers=await sign_in(f"{role}@example.com", role=role))
        assert answer.status_code == status


async def test_a_role_holds_from_the_next_request_on(client: AsyncClient, sign_in: SignIn) -> None:
    """With the same token."""
    headers = await sign_in(role="viewer")
    me = "/api/v1/users/me"
    assert (await client.get(me, headers=headers)).json()["role"] == "viewer"
    async with get_session_context() as session:
        user = await service.find_by_email(session, EMAIL)
        assert user is not None
        user.role = Role.USER
    assert (await client.get(me, headers=headers)).json()["role"] == "user"
