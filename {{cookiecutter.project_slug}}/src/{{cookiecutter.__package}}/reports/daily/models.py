"""Tables of the daily report."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column

from ...infrastructure.database import Base, UtcDateTime, now


class DailyReport(Base):
    """What happened on one day in UTC."""

    __tablename__ = "daily_reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(unique=True)
    #: What was counted, by the name of its source; see `service.write_report`.
    figures: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    #: When it was mailed to the admins, or that was put on its way.
    mailed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
