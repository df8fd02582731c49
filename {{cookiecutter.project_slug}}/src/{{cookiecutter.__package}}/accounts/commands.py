"""What is done with accounts on the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from .schemas import UserCreate

# What a command needs is imported inside it, so that the others start fast.
# ruff: noqa: PLC0415


def create_admin(
    email: Annotated[str, typer.Argument(help="The address to sign in with.")],
    *,
    name: Annotated[str | None, typer.Option(help="What to call a new user; else what stands before the @.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
    ] = False,
) -> None:
    """Make somebody an administrator. An account that exists keeps its name, and its password unless one is given."""
    from ..infrastructure.database import run_command

    new = _checked(email, name)
    password = _read_password() if password_stdin else None
    if password is None and run_command(_lacks_password(new.email)):
        password = _ask_password()
    typer.echo(run_command(_make_admin(new, password)))


def set_role(
    email: Annotated[str, typer.Argument(help="The address that they sign in with.")],
    role: Annotated[str, typer.Argument(help="What they may do: user, viewer or admin.")],
) -> None:
    """Change what somebody may do who has signed up: a viewer sees what administrators see, and changes nothing.

    It holds from their next request on; they stay signed in.
    """
    from ..infrastructure.database import run_command

    typer.echo(run_command(_set_role(email, role)))


async def _set_role(email: str, role: str) -> str:
    from ..infrastructure.database import get_session_context
    from . import service
    from .models import Role

    if role not in set(Role):
        _fail(f"there is no role {role!r}, only {', '.join(Role)}", 2)
    async with get_session_context() as session:
        user = await service.find_by_email(session, email)
        if user is None:
            _fail(f"nobody has signed up as {email}", 1)
        before, user.role = user.role, Role(role)
    return f"{user.email} has the role {user.role} now, and had {before}"


async def _lacks_password(email: str) -> bool:
    from ..infrastructure.database import get_session_context
    from . import service

    async with get_session_context() as session:
        user = await service.find_by_email(session, email)
        return user is None or user.password_hash is None


async def _make_admin(new: UserCreate, password: str | None) -> str:
    from ..infrastructure.database import get_session_context
    from . import service
    from .security import UnfitPasswordError

    try:
        async with get_session_context() as session:
            user = await service.make_admin(session, email=new.email, name=new.name, password=password)
    except UnfitPasswordError as error:
        _fail(error, 2)
    except service.EmailTakenError as error:
        _fail(f"{error}; try again", 1)
    return f"{user.email} is an administrator now, user {user.id}"


def _checked(email: str, name: str | None) -> UserCreate:
    from pydantic import ValidationError

    from .schemas import UserCreate

    try:
        return UserCreate(email=email, name=email.partition("@")[0] if name is None else name)
    except ValidationError as error:
        _fail("; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors()), 2)


def _read_password() -> str:
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        _fail("the password on standard input is not UTF-8", 2)


def _ask_password() -> str:
    if not sys.stdin.isatty():
        _fail("there is no terminal to ask for the password on; use --password-stdin", 2)
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt="Once more"))


def _fail(problem: object, status: int) -> NoReturn:
    typer.echo(problem, err=True)
    raise typer.Exit(status)
