"""Deleting what is older than the settings say, in batches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import delete, select

from ...accounts.models import PasswordReset
from ...infrastructure.database import get_session_context
from ...infrastructure.settings import get_settings
from ..daily.models import DailyReport
from ..exports.service import delete_expired
from ..newsletter.models import Newsletter
from ..settings import ReportsSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import CursorResult

    from ...infrastructure.database import Base

#: Rows that are deleted in one transaction: others wait for it no longer than that takes.
BATCH = 1000


@dataclass(frozen=True)
class Kind:
    """Rows that are deleted some days after their `created_at`; their primary key is `id`."""

    name: str
    model: type[Base]
    #: The setting that says how many days.
    setting: str


KINDS = [
    Kind("password_resets", PasswordReset, "keep_password_resets_days"),
    Kind("daily_reports", DailyReport, "keep_daily_reports_days"),
    Kind("newsletters", Newsletter, "keep_newsletters_days"),
]


async def delete_old(*, progress: Callable[[str, int], Any]) -> dict[str, int]:
    """Delete what has been kept for long enough, and give how much of each kind.

    Each batch is a transaction of its own: what is broken off is done as far as it came, and the next run goes on.

    Args:
        progress: called after each batch with the kind, and the number of its rows so far.
    """
    settings = get_settings().of(ReportsSettings)
    deleted = {}
    for kind in KINDS:
        days = getattr(settings, kind.setting)
        deleted[kind.name] = days and await _delete_older(kind, datetime.now(UTC) - timedelta(days=days), progress)
    deleted["exports"] = await delete_expired()
    return deleted


async def _delete_older(kind: Kind, moment: datetime, progress: Callable[[str, int], Any]) -> int:
    row: Any = kind.model
    total, last = 0, 0
    while True:
        async with get_session_context() as session:
            # From where the last batch ended: what was deleted there is still in the index, and would be passed again.
            old = (row.id > last, row.created_at < moment)
            ids = (await session.scalars(select(row.id).where(*old).order_by(row.id).limit(BATCH))).all()
            if ids:
                done = await session.execute(delete(row).where(*old, row.id <= ids[-1]))
                total, last = total + cast("CursorResult[Any]", done).rowcount, ids[-1]
        if not ids:
            return total
        progress(kind.name, total)
