"""Payments: one transaction for all that comes of them, once for each reference."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from {{ cookiecutter.__package }}.billing import memberships, service
from {{ cookiecutter.__package }}.billing.memberships import InvalidPeriodError, add_months
from {{ cookiecutter.__package }}.billing.models import Membership, Payment
from {{ cookiecutter.__package }}.billing.money import Money
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context

if TYPE_CHECKING:
    from .conftest import NewUser

PRICE = Money(Decimal("12.50"), "EUR")


async def pay(user_id: int, reference: str = "r-1", *, money: Money = PRICE, months: int = 1) -> service.Recorded:
    """Record a payment in a transaction of its own."""
    async with get_session_context() as session:
        return await service.record_payment(session, user_id=user_id, money=money, reference=reference, months=months)


async def count(model: type[Payment | Membership]) -> int:
    async with get_session_context() as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


async def membership_of(user_id: int) -> Membership:
    async with get_session_context() as session:
        membership = await memberships.get(session, user_id)
    assert membership is not None
    return membership


async def test_a_payment_makes_a_member(new_user: NewUser) -> None:
    """The first payment begins a membership, the next one continues it from its end."""
    user_id = await new_user()
    before = datetime.now(UTC)
    recorded = await pay(user_id, months=2)
    assert recorded.first
    assert (recorded.payment.money, recorded.payment.reference) == (PRICE, "r-1")
    first = await membership_of(user_id)
    assert before <= first.starts_at <= datetime.now(UTC)
    assert first.ends_at == add_months(first.starts_at, 2)
    await pay(user_id, "r-2")
    second = await membership_of(user_id)
    assert (second.starts_at, second.ends_at) == (first.starts_at, add_months(first.starts_at, 3))


async def test_a_reference_is_recorded_once(new_user: NewUser) -> None:
    """The same again gives the first payment, and extends nothing."""
    user_id = await new_user()
    first = await pay(user_id)
    ends_at = (await membership_of(user_id)).ends_at
    again = await pay(user_id)
    assert (again.first, again.payment.id, again.job_id) == (False, first.payment.id, None)
    assert await count(Payment) == 1
    assert (await membership_of(user_id)).ends_at == ends_at


async def test_a_reference_names_one_payment(new_user: NewUser) -> None:
    """With anything else different it is an error that says what it belongs to, and nothing changes."""
    user_id, other_id = await new_user(), await new_user("bob@example.com")
    first = await pay(user_id)
    ends_at = (await membership_of(user_id)).ends_at
    for changed in (
        pay(other_id),
        pay(user_id, money=Money(Decimal("12.51"), "EUR")),
        pay(user_id, money=Money(Decimal("12.50"), "USD")),
        pay(user_id, months=2),
    ):
        with pytest.raises(service.ReferenceTakenError, match=f"payment {first.payment.id}: 12.50 EUR of user"):
            await changed
    assert (await count(Payment), await count(Membership)) == (1, 1)
    assert (await membership_of(user_id)).ends_at == ends_at


async def test_a_rollback_leaves_nothing(new_user: NewUser) -> None:
    """Neither payment nor membership are there when the transaction is not committed."""
    user_id = await new_user()

    async def fail() -> None:
        async with get_session_context() as session:
            await service.record_payment(session, user_id=user_id, money=PRICE, reference="r-1")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()
    assert (await count(Payment), await count(Membership)) == (0, 0)


async def test_payments_come_from_users(tables: None) -> None:  # noqa: ARG001
    """A user who does not exist pays nothing."""
    with pytest.raises(service.UnknownPayerError, match="no user has the id 7"):
        await pay(7)
    assert await count(Payment) == 0


@pytest.mark.parametrize("months", [0, -1, 121, 10**9])
async def test_periods_have_limits(new_user: NewUser, months: int) -> None:
    """A membership is no shorter than a month, and one payment pays for no more than ten years."""
    with pytest.raises(InvalidPeriodError, match=f"{months} months: give 1 to 120"):
        await pay(await new_user(), months=months)
    assert await count(Payment) == 0


async def test_nobody_is_a_member_for_ever(new_user: NewUser) -> None:
    """Many payments together have a limit, too: dates end with the year 9999."""
    user_id = await new_user()
    await pay(user_id, "r-1", months=120)
    await pay(user_id, "r-2", months=120)
    with pytest.raises(InvalidPeriodError, match="within 20 years"):
        await pay(user_id, "r-3", months=1)
    assert await count(Payment) == 2


async def test_payments_at_the_same_time_all_count(new_user: NewUser) -> None:
    """However many arrive at once, each extends the membership; of the same one, the first."""
    user_id = await new_user()
    recorded = await asyncio.gather(*(pay(user_id, f"r-{number // 2}") for number in range(8)))
    assert sorted(each.first for each in recorded) == [False] * 4 + [True] * 4
    membership = await membership_of(user_id)
    assert membership.ends_at == add_months(membership.starts_at, 4)


async def test_payments_are_listed_by_pages(new_user: NewUser) -> None:
    """A user's own payments, the last one first."""
    user_id, other_id = await new_user(), await new_user("bob@example.com")
    for number in range(5):
        await pay(user_id, f"r-{number}")
    await pay(other_id, "other")
    async with get_session_context() as session:
        page = await service.list_payments(session, user_id=user_id, limit=2, offset=1)
    assert (page.total, [payment.reference for payment in page.items]) == (5, ["r-3", "r-2"])


async def test_a_receipt_says_what_was_paid(new_user: NewUser) -> None:
    """It names amount, reference and the end of the membership, and a name cannot break out of its place."""
    user_id = await new_user(name="<b>Ada</b>")
    recorded = await pay(user_id, "transfer <1>")
    async with get_session_context() as session:
        receipt = await service.compose_receipt(session, user_id=user_id, payment_id=recorded.payment.id)
    assert receipt is not None
    assert receipt.to == "ada@example.com"
    assert receipt.content.subject == "Receipt for your payment of 12.50 EUR"
    ends_at = (await membership_of(user_id)).ends_at
    for part in ("Hello <b>Ada</b>,", "Amount: 12.50 EUR", "transfer <1>", f"until {ends_at:%d %B %Y}."):
        assert part in receipt.content.text
    assert receipt.content.html is not None
    assert "&lt;b&gt;Ada&lt;/b&gt;" in receipt.content.html
    assert "<b>Ada" not in receipt.content.html


async def test_no_receipt_for_what_is_gone(new_user: NewUser) -> None:
    """Without the user or the payment there is nothing to write; nor if it is somebody else's."""
    user_id, other_id = await new_user(), await new_user("bob@example.com")
    recorded = await pay(other_id)
    async with get_session_context() as session:
        assert await service.compose_receipt(session, user_id=user_id, payment_id=recorded.payment.id) is None
        assert await service.compose_receipt(session, user_id=user_id, payment_id=99) is None
        assert await service.compose_receipt(session, user_id=99, payment_id=recorded.payment.id) is None
