"""Tables of the accounts."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, func
from sqlalchemy.orm import Mapped, mapped_column

from ..infrastructure.database import SECRET, Base, UtcDateTime, now


class Role(StrEnum):
    """What a user may do besides what everybody may."""

    USER = "user"
    """Nothing."""
    VIEWER = "viewer"
    """Sees what administrators see, other users too, and changes nothing."""
    ADMIN = "admin"
    """Sees it, and acts."""


#: Those who see more than what is their own.
SEEING_ROLES = frozenset({Role.VIEWER, Role.ADMIN})


class User(Base):
    """Somebody who has signed up."""

    __tablename__ = "users"
    #: SQLite would give the id of the newest user, once deleted, to the next one, for whom old tokens would be good.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    #: In lower case.
    email: Mapped[str] = mapped_column(String(320), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    #: Argon2id, with its parameters and salt; None: signing in needs a password reset first.
    password_hash: Mapped[str | None] = mapped_column(String(255), info=SECRET)
    role: Mapped[str] = mapped_column(String(20), default=Role.USER)
    #: Access tokens of another generation are void; a new password begins the next one.
    token_generation: Mapped[int] = mapped_column(default=0, info=SECRET)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, server_default=func.now())


class PasswordReset(Base):
    """A link that was mailed to a user, who may set a new password by it, once."""

    __tablename__ = "password_resets"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    #: SHA-256 of the token; the token itself stands in the mail only.
    token_hash: Mapped[str] = mapped_column(String(64), unique=True, info=SECRET)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
