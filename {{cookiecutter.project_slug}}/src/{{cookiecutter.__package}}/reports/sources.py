"""What the daily report counts: each source is a function that counts, and its line in `SOURCES`.

This is the only module of the reports that knows other example slices. Whatever is here for the sake of one stands on
lines that name it, so it can be taken out with these lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from ..accounts.models import User
from ..billing.figures import count_payments as billing_payments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession


async def count_sign_ups(session: AsyncSession, *, since: datetime, until: datetime) -> int:
    """Count the users who have signed up."""
    query = select(func.count()).select_from(User).where(User.created_at >= since, User.created_at < until)
    return (await session.scalars(query)).one()


#: By the names that their figures have in a report. Called with a session, `since` and `until`, each gives what has
#: happened from the one moment on and before the other, as JSON can hold it.
SOURCES: dict[str, Callable[..., Awaitable[Any]]] = {
    "sign_ups": count_sign_ups,
    "payments": billing_payments,
}
