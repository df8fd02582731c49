"""Background work of billing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..infrastructure.database import get_session_context
from ..infrastructure.jobs import (
    TERMINAL_STATUSES,
    ArqQueueBackend,
    JobManager,
    RetryConfig,
    Schedule,
    once,
    task,
)
from ..infrastructure.mail_tasks import MAIL_RETRY, deliver_once
from ..infrastructure.outbox import enqueue_with, waits
from . import memberships, orders, provider, service
from .models import OrderState

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

#: Memberships that are marked, and their reminders enqueued, in one transaction.
BATCH = 500
#: The provider fails now and then; a product that does not exist will not exist the next time either.
STEP_RETRY = RetryConfig(max_tries=8, delay=1, give_up_on=(orders.OrderError, provider.ChargeRefusedError))
#: Money that is owed is worth more patience.
REFUND_RETRY = RetryConfig(max_tries=12, delay=1, max_delay=600)


# Payments and memberships


@task(retry=MAIL_RETRY)
async def send_payment_receipt(ctx: dict[str, Any], user_id: int, payment_id: int) -> str:
    """Send the receipt of a payment."""
    async with get_session_context() as session:
        receipt = await service.compose_receipt(session, user_id=user_id, payment_id=payment_id)
    if receipt is None:
        return f"not sent: user {user_id} or payment {payment_id} is gone"
    # With a name of its own, for the text may differ in the next try: the membership may have been extended since.
    await deliver_once(ctx, receipt.content, to=receipt.to, key="receipt")
    return "sent"


@task(retry=MAIL_RETRY)
async def send_membership_expiry_reminder(ctx: dict[str, Any], user_id: int, ends_at: datetime | None = None) -> str:
    """Remind a user that the membership ends soon; with `ends_at`, only if that is still its end."""
    async with get_session_context() as session:
        reminder = await memberships.compose_reminder(session, user_id, ends_at=ends_at)
    if reminder is None:
        return f"not sent: user {user_id} is gone, or has no membership that ends soon"
    await deliver_once(ctx, reminder.content, to=reminder.to, key="reminder")
    return "sent"


async def check_expiring_memberships(ctx: dict[str, Any]) -> int:
    """Enqueue a reminder for each membership that ends soon, once for each of its ends; give their number."""
    ctx["job_timeout"] = 3600
    total = 0
    while True:
        # Together: no membership is marked without its reminder, and no reminder is there without the mark.
        async with get_session_context() as session:
            claimed = await memberships.claim_reminders(session, limit=BATCH)
            for user_id, ends_at in claimed:
                await enqueue_with(session, "send_membership_expiry_reminder", user_id=user_id, ends_at=ends_at)
        total += len(claimed)
        if not claimed:
            return total


# Orders: `process_order` makes a chain of the three steps, whichever fails has the order given up


async def give_up_order(ctx: dict[str, Any], error: Exception, order_id: int) -> None:  # noqa: ARG001
    """Let an order come to nothing when the last try of a step has failed."""
    async with get_session_context() as session:
        await _give_up(session, order_id, problem=orders.explain(error))


@task(on_failure=give_up_order)
async def process_order(ctx: dict[str, Any], order_id: int) -> str:
    """Make the chain of an order's steps, once, and give its id."""
    async with once(ctx, "chain") as effect:
        if effect.first:
            steps = (validate_order, take_order_payment, confirm_order)
            effect.value = await _manager(ctx).chain([(step, (), {"order_id": order_id}) for step in steps])
    async with get_session_context() as session:
        # Unless a step has failed already, so that another job is at it.
        await orders.note_job(session, order_id, effect.value, instead_of=ctx["job_id"])
    return str(effect.value)


@task(retry=STEP_RETRY, on_failure=give_up_order)
async def validate_order(ctx: dict[str, Any], order_id: int) -> None:  # noqa: ARG001
    """Check what was ordered, and note what it costs."""
    async with get_session_context() as session:
        await orders.validate(session, order_id)


@task(retry=STEP_RETRY, on_failure=give_up_order)
async def take_order_payment(ctx: dict[str, Any], order_id: int) -> None:  # noqa: ARG001
    """Have the price of an order charged."""
    await orders.pay(order_id)


@task(retry=STEP_RETRY, on_failure=give_up_order)
async def confirm_order(ctx: dict[str, Any], order_id: int) -> None:  # noqa: ARG001
    """Set aside what was ordered."""
    async with get_session_context() as session:
        await orders.confirm(session, order_id)


@task(retry=REFUND_RETRY)
async def compensate_order(ctx: dict[str, Any], order_id: int) -> str:  # noqa: ARG001
    """Give back what was charged for an order that has come to nothing; give its state."""
    return await orders.refund(order_id)


async def check_stalled_orders(ctx: dict[str, Any]) -> int:
    """Look after orders that nothing has happened to for a while, and give up those that nobody is at; their number.

    That is so where a chain was cancelled, or the database was away when its last try had failed.
    """
    async with get_session_context() as session:
        stalled = await orders.find_stalled(session, since=orders.STALLED)
    given_up = 0
    for order in stalled:
        async with get_session_context() as session:
            waiting = await waits(session, order.job_id)  # looked at first: what is not there any more, Redis knows
        record = await _manager(ctx).get_status(order.job_id)
        async with get_session_context() as session:
            if waiting or (record and record.status not in TERMINAL_STATUSES):
                await orders.note_job(session, order.id, order.job_id, instead_of=order.job_id)
                continue
            latest = await orders.get(session, order.id)
            if latest is None or latest.updated_at != order.updated_at:
                continue  # somebody has been at it since
            if order.state == OrderState.REFUNDING:
                await _compensate(session, order.id)
            else:
                await _give_up(session, order.id, problem=orders.HALF_WAY)
            given_up += 1
    return given_up


async def _give_up(session: AsyncSession, order_id: int, *, problem: str) -> None:
    if await orders.give_up(session, order_id, problem=problem):
        await _compensate(session, order_id)


async def _compensate(session: AsyncSession, order_id: int) -> None:
    job_id = await enqueue_with(session, "compensate_order", order_id=order_id)
    await orders.note_job(session, order_id, job_id)


def _manager(ctx: dict[str, Any]) -> JobManager:
    return JobManager(ArqQueueBackend(ctx["redis"]))


TASKS: list[Any] = [
    send_payment_receipt,
    send_membership_expiry_reminder,
    check_expiring_memberships,
    process_order,
    validate_order,
    take_order_payment,
    confirm_order,
    compensate_order,
    check_stalled_orders,
]

SCHEDULES = [
    Schedule(check_expiring_memberships, "expiring-memberships", cron="0 8 * * *"),
    Schedule(check_stalled_orders, "stalled-orders", interval=timedelta(minutes=5)),
]
