"""Payments and reminders on the real servers: what several do at the same time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from {{ cookiecutter.__package }}.accounts import service as accounts
from {{ cookiecutter.__package }}.billing import memberships, service, tasks
from {{ cookiecutter.__package }}.billing.memberships import add_months
from {{ cookiecutter.__package }}.billing.models import Membership, Payment
from {{ cookiecutter.__package }}.billing.money import Money
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.tasks import get_outbox, get_task_pool

if TYPE_CHECKING:
    from email.message import EmailMessage

    from integration.conftest import RunJobs

PRICE = Money(Decimal("12.50"), "EUR")


async def pay(user_id: int, reference: str) -> service.Recorded:
    """Record a payment in a transaction of its own, which stays open for a moment."""
    async with get_session_context() as session:
        recorded = await service.record_payment(session, user_id=user_id, money=PRICE, reference=reference)
        await asyncio.sleep(0)
    return recorded


async def state() -> tuple[int, int, Membership | None]:
    """Give the number of payments, that of jobs which wait, and the membership."""
    await get_outbox().relay.settle()
    async with get_session_context() as session:
        payments = await session.scalar(select(func.count()).select_from(Payment)) or 0
        membership = await session.scalar(select(Membership))
    return payments, int(await (await get_task_pool()).zcard("arq:queue")), membership


async def test_the_same_payment_many_times_at_once(user_id: int) -> None:
    """One of them records it, and all give the same payment; there is one job."""
    recorded = await asyncio.gather(*(pay(user_id, "r-1") for _ in range(10)))
    assert sum(each.first for each in recorded) == 1
    assert len({each.payment.id for each in recorded}) == 1
    payments, jobs, membership = await state()
    assert membership is not None
    assert (payments, jobs, membership.ends_at) == (1, 1, add_months(membership.starts_at, 1))


async def test_many_payments_of_a_user_at_once(user_id: int) -> None:
    """All of them count: none is lost because two have read the same end."""
    await asyncio.gather(*(pay(user_id, f"r-{number}") for number in range(10)))
    payments, jobs, membership = await state()
    assert membership is not None
    assert (payments, jobs, membership.ends_at) == (10, 10, add_months(membership.starts_at, 10))


async def test_a_rollback_leaves_no_job(user_id: int) -> None:
    """Neither payment, nor membership, nor receipt; and the reference is free."""

    async def fail() -> None:
        async with get_session_context() as session:
            await service.record_payment(session, user_id=user_id, money=PRICE, reference="r-1")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()
    assert await state() == (0, 0, None)
    assert (await pay(user_id, "r-1")).first


async def test_amounts_are_added_up_exactly(user_id: int) -> None:
    """The database adds minor units, so no cent is lost."""
    async with get_session_context() as session:
        for number in range(20):
            money = Money(Decimal("9999999999.99" if number % 2 else "0.01"), "EUR")
            await service.record_payment(session, user_id=user_id, money=money, reference=f"r-{number}")
        total = await session.scalar(select(func.sum(Payment.amount_minor)))
    assert total == 10 * 10**12


async def test_two_checks_at_once_remind_once(
    user_id: int, run_jobs: RunJobs, mailbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each member gets one message, whichever of the checks has found them."""
    monkeypatch.setattr(tasks, "BATCH", 3)
    ends_at = datetime.now(UTC) + timedelta(days=3)
    async with get_session_context() as session:
        users = [await accounts.register(session, email=f"user{number}@example.com", name="-") for number in range(20)]
        session.add_all(Membership(user_id=user.id, starts_at=ends_at, ends_at=ends_at) for user in users)
        await memberships.extend(session, user_id=user_id, months=1)  # who is not reminded
    counts = await asyncio.gather(*(tasks.check_expiring_memberships({}) for _ in range(3)))
    assert sum(counts) == 20
    await run_jobs(*tasks.TASKS)
    assert sorted(message["To"] for message in mailbox) == sorted(user.email for user in users)
    assert await tasks.check_expiring_memberships({}) == 0
