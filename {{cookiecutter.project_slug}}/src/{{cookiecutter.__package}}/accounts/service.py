"""What can be done with accounts, whoever asks."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from ..infrastructure import mail
from ..infrastructure.settings import get_settings
from . import security
from .models import PasswordReset, Role, User
from .settings import get_auth_settings

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession


class EmailTakenError(Exception):
    """Somebody has signed up with this address before."""

    def __init__(self, email: str) -> None:
        super().__init__(f"somebody has signed up as {email} before")


class WrongCredentialsError(Exception):
    """Nobody signs in like this; why not, is told to nobody."""

    def __init__(self) -> None:
        super().__init__("the address or the password is wrong")


class WrongPasswordError(Exception):
    """The current password is another."""

    def __init__(self) -> None:
        super().__init__("the current password is wrong")


class InvalidResetTokenError(Exception):
    """A password reset was never asked for, was used, or has expired."""

    def __init__(self) -> None:
        super().__init__("this password reset is not valid, or no longer; ask for another")


class ResetLink(NamedTuple):
    """A link by which a user can set a new password, and the address that it is for."""

    email: str
    link: str


async def register(
    session: AsyncSession, *, email: str, name: str, password: str | None = None, role: Role = Role.USER
) -> User:
    """Add a user to the caller's transaction; letter case of the address makes no difference.

    Args:
        session: whose transaction the user belongs to.
        email: a valid address.
        name: how to greet them.
        password: what they sign in with; without one they need a password reset before they can.
        role: what they may do.

    Raises:
        EmailTakenError: the address is in use.
        security.UnfitPasswordError: the password is too short or too long.
    """
    user = User(email=email.lower(), name=name, role=role, token_generation=0)
    if password is not None:
        async with security.hashing() as hasher:
            user.password_hash = await hasher.hash(password)
    session.add(user)
    try:
        await session.flush()
    except IntegrityError:
        raise EmailTakenError(user.email) from None
    return user


async def get_user(session: AsyncSession, user_id: int) -> User | None:
    """Find a user."""
    return await session.get(User, user_id)


async def find_by_email(session: AsyncSession, email: str) -> User | None:
    """Find a user by their address, in any letter case."""
    return await session.scalar(select(User).where(User.email == email.lower()))


async def find_by_token(session: AsyncSession, token: str) -> User | None:
    """Find the user whose access token this is, if it is good."""
    claims = security.read_access_token(token)
    user = claims and await get_user(session, claims.user_id)
    return user if claims and user and user.token_generation == claims.generation else None


async def sign_in(session: AsyncSession, *, email: str, password: str) -> User:
    """Find the user with this address and password.

    Raises:
        WrongCredentialsError: there is none; that takes the same work whether the address is known or not.
    """
    async with security.hashing() as hasher:
        user = await find_by_email(session, email)
        stored = user.password_hash if user else None
        if not await hasher.verify(password, stored) or user is None or stored is None:
            raise WrongCredentialsError
        if hasher.is_outdated(stored):
            # Only if it is still the one that was compared: it may have been changed meanwhile.
            same = (User.id == user.id, User.password_hash == stored)
            await session.execute(update(User).where(*same).values(password_hash=await hasher.hash(password)))
    return user


async def change_password(session: AsyncSession, user: User, *, current: str, new: str) -> None:
    """Give a user another password, which signs them out everywhere.

    Raises:
        WrongPasswordError: `current` is not their password.
        security.UnfitPasswordError: the new one is too short or too long.
    """
    stored = user.password_hash
    async with security.hashing() as hasher:
        if not await hasher.verify(current, stored):
            raise WrongPasswordError
        password_hash = await hasher.hash(new)
    if not await _store_password(session, User.id == user.id, User.password_hash == stored, new=password_hash):
        raise WrongPasswordError


async def start_password_reset(session: AsyncSession, email: str) -> ResetLink | None:
    """Make a link for the user with this address, if there is one; expired links are deleted.

    The link goes to the address of the account, not to the one that was asked with: letters that are the same in lower
    case may be another mailbox.
    """
    auth, token, now = get_auth_settings(), secrets.token_urlsafe(32), datetime.now(UTC)
    user = await find_by_email(session, email)
    if user:
        expires_at = now + timedelta(seconds=auth.reset_ttl)
        session.add(PasswordReset(user_id=user.id, token_hash=security.token_hash(token), expires_at=expires_at))
        await session.flush()
    # Without waiting for those that others are about to use or delete.
    expired = select(PasswordReset.id).where(PasswordReset.expires_at <= now).with_for_update(skip_locked=True)
    await session.execute(delete(PasswordReset).where(PasswordReset.id.in_(expired)))
    page = auth.reset_url or f"{get_settings().public_url}/reset-password"
    return ResetLink(user.email, f"{page}{'&' if '?' in page else '?'}token={token}") if user else None


async def finish_password_reset(session: AsyncSession, *, token: str, password: str) -> User:
    """Set a new password by the token of a link, once; the user's other links and all their access tokens become void.

    Raises:
        InvalidResetTokenError: there is no such link, or no longer.
        security.UnfitPasswordError: the password is too short or too long.
    """
    good = (
        PasswordReset.token_hash == security.token_hash(token),
        PasswordReset.used_at.is_(None),
        PasswordReset.expires_at > datetime.now(UTC),
    )
    async with security.hashing() as hasher:
        user_id = await session.scalar(select(PasswordReset.user_id).where(*good))
        if user_id is None:  # told before the work of a password
            raise InvalidResetTokenError
        password_hash = await hasher.hash(password)
    # The user before their links, in this order everywhere: requests with two links of one user would wait for each
    # other for ever.
    user = await session.scalar(select(User).where(User.id == user_id).with_for_update(key_share=True))
    used = update(PasswordReset).where(*good).values(used_at=datetime.now(UTC)).returning(PasswordReset.id)
    if user is None or await session.scalar(used) is None:  # another request was faster
        raise InvalidResetTokenError
    await _store_password(session, User.id == user_id, new=password_hash)
    return user


async def make_admin(session: AsyncSession, *, email: str, name: str, password: str | None = None) -> User:
    """Make somebody an administrator; one who has signed up keeps their name, and their password if none is given.

    Raises:
        EmailTakenError: somebody signs up with the address at this moment.
        security.UnfitPasswordError: the password is too short or too long.
    """
    user = await find_by_email(session, email)
    if user is None:
        return await register(session, email=email, name=name, password=password, role=Role.ADMIN)
    user.role = Role.ADMIN
    if password is not None:
        async with security.hashing() as hasher:
            password_hash = await hasher.hash(password)
        await _store_password(session, User.id == user.id, new=password_hash)
    return user


def welcome_mail(name: str) -> mail.Content:
    """Write the message that greets a new user."""
    return mail.compose("accounts/welcome", name=name)


def password_reset_mail(link: str) -> mail.Content:
    """Write the message with the link of a password reset."""
    return mail.compose("accounts/password_reset", link=link, minutes=get_auth_settings().reset_ttl // 60)


async def _store_password(session: AsyncSession, *whose: ColumnElement[bool], new: str) -> bool:
    """Replace a password, and make void what the old one led to; False if `whose` is nobody."""
    values = {"password_hash": new, "token_generation": User.token_generation + 1}
    user_id = await session.scalar(update(User).where(*whose).values(values).returning(User.id))
    unused = (PasswordReset.user_id == user_id, PasswordReset.used_at.is_(None))
    await session.execute(delete(PasswordReset).where(*unused))
    return user_id is not None
