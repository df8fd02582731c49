"""What can be done with accounts, whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError

from ..infrastructure import mail
from .models import User

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


class EmailTakenError(Exception):
    """Somebody has signed up with this address before."""

    def __init__(self, email: str) -> None:
        super().__init__(f"somebody has signed up as {email} before")


async def register(session: AsyncSession, *, email: str, name: str) -> User:
    """Add a user to the caller's transaction; letter case of the address makes no difference.

    Raises:
        EmailTakenError: the address is in use.
    """
    user = User(email=email.lower(), name=name)
    session.add(user)
    try:
        await session.flush()
    except IntegrityError:
        raise EmailTakenError(user.email) from None
    return user


async def get_user(session: AsyncSession, user_id: int) -> User | None:
    """Find a user."""
    return await session.get(User, user_id)


async def welcome(*, email: str, name: str) -> None:
    """Send the message that greets a new user."""
    await mail.send(to=email, subject="Welcome", body=f"Hello {name},\n\nyour account is ready.\n")
