"""Tables of the newsletter."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ...infrastructure.database import Base, UtcDateTime, now


class Subscription(Base):
    """A user wants newsletters."""

    __tablename__ = "subscriptions"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Newsletter(Base):
    """What is sent to all subscribers."""

    __tablename__ = "newsletters"
    __table_args__ = ({"sqlite_autoincrement": True},)  # no id twice: by it is known who has got a copy

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    #: When a copy for the last subscriber was sent, or put on its way.
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: How many copies that were.
    total: Mapped[int | None]
    #: Where a command sends it: the subscriber with the largest id who has been dealt with.
    reached: Mapped[int | None]
