"""Figures of billing: what was paid in a span of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.billing.figures import count_payments
from {{ cookiecutter.__package }}.billing.models import Payment
from {{ cookiecutter.__package }}.billing.money import MAX_MINOR
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context

START = datetime(2026, 2, 28, tzinfo=UTC)
END = START + timedelta(days=1)


async def add(*payments: tuple[int, str, datetime]) -> None:
    async with get_session_context() as session:
        session.add(User(id=1, email="ada@example.com", name="Ada"))
        await session.flush()
        for number, (minor, currency, moment) in enumerate(payments):
            values = {"amount_minor": minor, "currency": currency, "created_at": moment}
            session.add(Payment(user_id=1, months=1, reference=str(number), **values))


@pytest.mark.usefixtures("tables")
async def test_payments_are_counted_and_added_up_by_currency() -> None:
    """Exactly, with the decimals that a currency has, and only those of the span."""
    largest = [(MAX_MINOR - 1, "EUR", START)] * 3
    await add(*largest, (10, "USD", START), (20, "USD", END - timedelta(microseconds=1)), (7, "JPY", START))
    async with get_session_context() as session:
        figures = await count_payments(session, since=START, until=END)
        assert figures == {"count": 6, "totals": {"EUR": "29999999999.97", "JPY": "7", "USD": "0.30"}}
        assert await count_payments(session, since=END, until=END + timedelta(days=1)) == {"count": 0, "totals": {}}
