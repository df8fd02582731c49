"""Tables of the exports."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from ...infrastructure.database import SECRET, Base, UtcDateTime, now


class ExportStatus(StrEnum):
    """Where an export is."""

    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"
    #: It was ready, and its time is over; never stored, for it becomes true by itself.
    EXPIRED = "expired"


class DataExport(Base):
    """A user has asked for their data; a user has one that waits at most."""

    __tablename__ = "data_exports"
    __table_args__ = (
        Index(
            "uq_data_exports_waiting",
            "user_id",
            unique=True,
            sqlite_where=text("status = 'waiting'"),
            postgresql_where=text("status = 'waiting'"),
        ),
        {"sqlite_autoincrement": True},  # no id twice: a link to one that is gone must not lead to another's
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    #: What makes it, where it is made in the background.
    job_id: Mapped[str | None] = mapped_column(String(255), index=True)
    status: Mapped[str] = mapped_column(String(20), default=ExportStatus.WAITING)
    #: What its file is called in the storage. While it waits, the file of whoever has begun last.
    file: Mapped[str | None] = mapped_column(String(100), info=SECRET)
    #: Rows in all of its tables, and bytes of the file.
    rows: Mapped[int | None] = mapped_column(BigInteger)
    size: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)

    @property
    def state(self) -> ExportStatus:
        """Give the status that holds now."""
        over = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return ExportStatus.EXPIRED if over else ExportStatus(self.status)
