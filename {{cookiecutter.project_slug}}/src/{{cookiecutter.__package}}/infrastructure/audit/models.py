"""The table of the audit log."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Base, UtcDateTime, now


class Outcome(StrEnum):
    """What came of an action."""

    STARTED = "started"
    """It is under way; or its process, or the database, was gone before the end: then it may be done or not."""
    DONE = "done"
    """It is done."""
    FAILED = "failed"
    """It ended with an error; part of it may be done."""


class AuditEntry(Base):
    """Somebody has done something, or has tried to."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    #: None: it was done on the command line, or the user is deleted.
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    #: The address of the user, or `cli:<user of the system>@<host>`.
    actor: Mapped[str] = mapped_column(String(400))
    #: What was done, such as `job.retry`.
    action: Mapped[str] = mapped_column(String(50))
    #: What it was done to, such as the id of a job; "" where that stands in the details.
    target: Mapped[str] = mapped_column(Text)
    #: With what; secrets are masked.
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    outcome: Mapped[str] = mapped_column(String(10), default=Outcome.STARTED)
    #: Why it has failed.
    error: Mapped[str | None] = mapped_column(Text)
