"""Figures of billing, for whoever sums up a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from .models import Payment
from .money import decimal_text

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession


async def count_payments(session: AsyncSession, *, since: datetime, until: datetime) -> dict[str, Any]:
    """Give `count`, the number of payments from `since` on and before `until`, and `totals`, by currency: `"12.50"`."""
    query = select(Payment.currency, func.count(), func.sum(Payment.amount_minor))
    query = query.where(Payment.created_at >= since, Payment.created_at < until)
    rows = (await session.execute(query.group_by(Payment.currency).order_by(Payment.currency))).all()
    return {
        "count": sum(count for _, count, _ in rows),
        "totals": {currency: decimal_text(int(total), currency) for currency, _, total in rows},
    }
