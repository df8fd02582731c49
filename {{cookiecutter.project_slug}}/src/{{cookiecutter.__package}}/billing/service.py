"""What can be done with payments; knows nothing of HTTP. Memberships and orders have modules of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# {% if cookiecutter.cache_backend == "none" %}
import structlog
# {% endif %}
from sqlalchemy import func, select

from ..accounts.models import User
from ..infrastructure import mail
# {% if cookiecutter.cache_backend == "none" %}
from ..infrastructure.database import get_session_context, insert
# {% else %}
from ..infrastructure.database import insert
from ..infrastructure.outbox import enqueue_with
# {% endif %}
# {% if cookiecutter.cache_backend == "none" %}
from . import memberships, orders, provider
# {% else %}
from . import memberships
# {% endif %}
from .memberships import Letter
from .models import Payment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from .money import Money
# {% if cookiecutter.cache_backend == "none" %}

logger = structlog.get_logger(__name__)
# {% endif %}


class UnknownPayerError(Exception):
    """Payments come from users."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"no user has the id {user_id}")


class ReferenceTakenError(Exception):
    """A reference names one payment, and this would be another."""

    def __init__(self, payment: Payment) -> None:
        super().__init__(
            f"the reference {payment.reference!r} belongs to payment {payment.id}: {payment.money} "
            f"of user {payment.user_id} for {payment.months} months"
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """A payment that is recorded."""

    payment: Payment
    #: False: it was recorded before, and nothing has been done now.
    first: bool = True
    #: The job that sends the receipt, where there are jobs, and this is the first time.
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Payments:
    """A page of payments, and how many there are in all."""

    total: int
    items: Sequence[Payment]


async def record_payment(
    session: AsyncSession, *, user_id: int, money: Money, reference: str, months: int = 1
) -> Recorded:
    """Record a payment, and all that comes of it, in the caller's transaction; once for each reference.

    The user becomes a member, or stays one for so many months longer. The receipt is due once the transaction is
    committed.

    Args:
        session: whose transaction it is; nothing is committed here.
        user_id: who has paid.
        money: how much.
        reference: names the payment where it comes from, such as the number of a bank transfer.
        months: of membership that it pays for, see `memberships.extend`.

    Raises:
        UnknownPayerError: there is no such user.
        ReferenceTakenError: the reference belongs to a payment that differs.
        InvalidPeriodError: the membership would be too short or too long.
    """
    # One payment of a user after the other, so that each finds the membership as the one before has left it. This lock
    # is PostgreSQL's; with SQLite, the row that is written next keeps out all other writers.
    payer = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    if await session.scalar(payer) is None:
        raise UnknownPayerError(user_id)
    values = {
        "user_id": user_id,
        "amount_minor": money.minor,
        "currency": money.currency,
        "months": months,
        "reference": reference,
    }
    payment = await _insert(session, values)
    if payment is None:
        known = (await session.scalars(select(Payment).where(Payment.reference == reference))).one()
        if any(getattr(known, name) != value for name, value in values.items()):
            raise ReferenceTakenError(known)
        return Recorded(known, first=False)
    await memberships.extend(session, user_id=user_id, months=months)
    # {% if cookiecutter.cache_backend == "none" %}
    return Recorded(payment)
    # {% else %}
    job_id = await enqueue_with(session, "send_payment_receipt", user_id=user_id, payment_id=payment.id)
    return Recorded(payment, job_id=job_id)
    # {% endif %}


async def _insert(session: AsyncSession, values: dict[str, Any]) -> Payment | None:
    """Write a payment; None if its reference is taken, also by a transaction that was not committed until now."""
    row = insert(session, Payment).values(values).on_conflict_do_nothing(index_elements=[Payment.reference])
    payment: Payment | None = await session.scalar(row.returning(Payment))
    return payment


async def get_payment(session: AsyncSession, payment_id: int) -> Payment | None:
    """Find a payment."""
    return await session.get(Payment, payment_id)


async def list_payments(session: AsyncSession, *, user_id: int, limit: int, offset: int) -> Payments:
    """List a user's payments, the last one first."""
    total = await session.scalar(select(func.count()).select_from(Payment).where(Payment.user_id == user_id))
    query = select(Payment).where(Payment.user_id == user_id).order_by(Payment.id.desc())
    return Payments(total or 0, (await session.scalars(query.limit(limit).offset(offset))).all())


async def compose_receipt(session: AsyncSession, *, user_id: int, payment_id: int) -> Letter | None:
    """Write the receipt of a user's payment; None if the user or the payment is gone."""
    user, payment = await session.get(User, user_id), await session.get(Payment, payment_id)
    if user is None or payment is None or payment.user_id != user_id:
        return None
    membership = await memberships.get(session, user_id)
    content = mail.compose(
        "billing/receipt",
        name=user.name,
        money=payment.money,
        reference=payment.reference,
        paid_at=payment.created_at,
        ends_at=membership and membership.ends_at,
    )
    return Letter(user.email, content)
# {% if cookiecutter.cache_backend == "none" %}


async def send_receipt(session: AsyncSession, payment: Payment) -> None:
    """Send the receipt of a payment that is committed; where that fails, the log says so, and the payment holds."""
    receipt = await compose_receipt(session, user_id=payment.user_id, payment_id=payment.id)
    if receipt is None:
        return
    try:
        await mail.send_content(receipt.to, receipt.content)
    except mail.MailError as error:
        logger.warning("receipt not sent", payment_id=payment.id, error=str(error))


async def process_order(order_id: int) -> None:
    """Take an order through all its steps while the caller waits; what cannot be finished is undone.

    Where the provider does not even take back what it has charged, the order stays `refunding`, and the command
    `billing refund` goes on.
    """
    try:
        async with get_session_context() as session:
            await orders.validate(session, order_id)
        await orders.pay(order_id, tries=orders.TRIES)
        async with get_session_context() as session:
            await orders.confirm(session, order_id)
    except Exception as error:  # noqa: BLE001 - whatever has gone wrong, nobody else will look after the order
        logger.warning("order given up", order_id=order_id, error=str(error))
        async with get_session_context() as session:
            refund_is_due = await orders.give_up(session, order_id, problem=orders.explain(error))
        if refund_is_due:
            try:
                await orders.refund(order_id, tries=orders.TRIES)
            except provider.ProviderUnavailableError as unavailable:
                logger.warning("order not refunded yet", order_id=order_id, error=str(unavailable))
# {% endif %}
