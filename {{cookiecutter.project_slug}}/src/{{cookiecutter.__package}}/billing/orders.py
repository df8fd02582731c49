"""Orders: the steps from placed to confirmed, and the way back.

Each step may run again, and beside itself: it changes the state by an UPDATE that names the state before, and does
nothing if the order is further already. `give_up` and `refund` undo what the steps have done; they may overtake them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ..infrastructure.database import get_session_context
from . import provider
from .models import OPEN, Order, OrderItem, OrderState
from .money import Money

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

#: The steps, in their order; what is not among these is on the way back.
PROGRESS = [OrderState.PLACED, OrderState.VALIDATED, OrderState.PAID, OrderState.CONFIRMED]
#: After so long without any change somebody looks what has become of an order.
STALLED = timedelta(minutes=15)
#: Seconds before the first repetition of a call of the provider, where the caller waits for it; they double.
PAUSE = 0.02
#: Calls of the provider, where the caller waits for it.
TRIES = 8
#: Orders in a row for which there is no answer, before the provider is taken to be away.
PATIENCE = 5
#: The problem of an order that nobody is at any more.
HALF_WAY = "its processing has stopped half-way"


@dataclass(frozen=True, slots=True)
class Refunds:
    """How many orders were settled, and how many have to wait until the provider answers."""

    done: int
    postponed: int


@dataclass(frozen=True, slots=True)
class Product:
    """Something to order."""

    price: Money
    #: There are some left; that they are gone shows when the order is confirmed.
    in_stock: bool = True


PRODUCTS = {
    "notebook": Product(Money(Decimal("12.50"), "EUR")),
    "fountain-pen": Product(Money(Decimal("49.00"), "EUR")),
    "signed-print": Product(Money(Decimal("120.00"), "EUR"), in_stock=False),
}


class OrderError(Exception):
    """An order cannot go on; trying again does not help."""


class UnknownOrderError(OrderError):
    """No such order."""

    def __init__(self, order_id: int) -> None:
        super().__init__(f"no order has the id {order_id}")


class OrderStateError(OrderError):
    """The order is not where this step begins."""

    def __init__(self, order_id: int, state: str, wanted: str) -> None:
        super().__init__(f"order {order_id} is {state}, so it cannot become {wanted}")


class UnknownProductError(OrderError):
    """Nothing of that name is for sale."""

    def __init__(self, product: str) -> None:
        super().__init__(f"there is no product {product!r}; there are {', '.join(PRODUCTS)}")


class SoldOutError(OrderError):
    """There are none left."""

    def __init__(self, product: str) -> None:
        super().__init__(f"the product {product!r} is sold out")


def explain(error: BaseException) -> str:
    """Say why an order has come to nothing, as whoever has ordered may read it."""
    if isinstance(error, OrderError | provider.ProviderUnavailableError | provider.ChargeRefusedError):
        return str(error)
    return f"it failed for a reason of ours: {type(error).__name__}"


async def place(session: AsyncSession, *, user_id: int, items: Iterable[tuple[str, int]]) -> Order:
    """Add an order of products and their quantities to the caller's transaction."""
    listed = [OrderItem(product=product, quantity=quantity) for product, quantity in items]
    order = Order(user_id=user_id, items=listed)
    session.add(order)
    await session.flush()
    return order


async def get(session: AsyncSession, order_id: int) -> Order | None:
    """Find an order, as the database has it now."""
    query = select(Order).where(Order.id == order_id)
    return await session.scalar(query.execution_options(populate_existing=True))


async def validate(session: AsyncSession, order_id: int) -> None:
    """Check what was ordered and note what it costs: `placed` becomes `validated`.

    Raises:
        UnknownProductError: there is no such product.
        OrderStateError: the order has been given up; so with all steps.
        UnknownOrderError: there is no such order; likewise.
    """
    order = await _require(session, order_id)
    prices = [_product(item).price for item in order.items]
    total = sum(price.minor * item.quantity for price, item in zip(prices, order.items, strict=True))
    [currency] = {price.currency for price in prices}  # the price list has one
    await _advance(session, order_id, to=OrderState.VALIDATED, amount_minor=total, currency=currency)


async def pay(order_id: int, *, tries: int = 1) -> None:
    """Have the provider charge the price: `validated` becomes `paid`. The transactions are its own.

    Args:
        order_id: the order.
        tries: calls of the provider, with a pause in between, before that is an error.

    Raises:
        ProviderUnavailableError: it may be charged, or not; do it again.
        ChargeRefusedError: it is not charged, and will not be.
    """
    async with get_session_context() as session:
        order = await _require(session, order_id)
    # Nothing is locked while the provider is at it. If the order is given up meanwhile, the refund finds this charge,
    # or keeps it from happening.
    if order.state == OrderState.VALIDATED and (price := order.price):
        await _insist(lambda: provider.charge(price, idempotency_key=payment_key(order_id)), tries)
    async with get_session_context() as session:
        await _advance(session, order_id, to=OrderState.PAID)


async def confirm(session: AsyncSession, order_id: int) -> None:
    """Set aside what was ordered: `paid` becomes `confirmed`.

    Raises:
        SoldOutError: something is not there any more.
    """
    order = await _require(session, order_id)
    for item in order.items:
        if not _product(item).in_stock:
            raise SoldOutError(item.product)
    await _advance(session, order_id, to=OrderState.CONFIRMED)


async def give_up(session: AsyncSession, order_id: int, *, problem: str) -> bool:
    """Let an order come to nothing, unless it is confirmed.

    `placed` becomes `rejected`. From `validated` on something may have been charged, so it becomes `refunding`.

    Returns:
        Whether a `refund` is due, which it is for whoever is told so.
    """
    values = {"problem": problem[:500], "updated_at": datetime.now(UTC)}
    for before, after in (
        ([OrderState.PLACED], OrderState.REJECTED),
        ([OrderState.VALIDATED, OrderState.PAID], OrderState.REFUNDING),
    ):
        change = update(Order).where(Order.id == order_id, Order.state.in_(before)).values(state=after, **values)
        if await session.scalar(change.returning(Order.id)):
            return after is OrderState.REFUNDING
    return False


async def refund(order_id: int, *, tries: int = 1) -> str:
    """Have the provider give back what it has charged: `refunding` becomes `refunded`.

    If it had charged nothing, it becomes `rejected`. An order that is not `refunding` is left alone. The transactions
    are its own.

    Returns:
        The state of the order.

    Raises:
        ProviderUnavailableError: it may be given back, or not; do it again.
    """
    async with get_session_context() as session:
        order = await _require(session, order_id)
    if order.state != OrderState.REFUNDING:
        return order.state
    charged = await _insist(lambda: provider.cancel(payment_key(order_id)), tries)
    state = OrderState.REFUNDED if charged else OrderState.REJECTED
    async with get_session_context() as session:
        change = update(Order).where(Order.id == order_id, Order.state == OrderState.REFUNDING)
        await session.execute(change.values(state=state, updated_at=datetime.now(UTC)))
    return state


async def find_stalled(session: AsyncSession, *, since: timedelta, limit: int = 100) -> Sequence[Order]:
    """Find orders that have not ended, and have not changed for a while; the longest first."""
    query = select(Order).where(Order.state.in_(OPEN), Order.updated_at <= datetime.now(UTC) - since)
    return (await session.scalars(query.order_by(Order.updated_at).limit(limit))).all()


async def refund_all(*, stalled: timedelta | None = None) -> Refunds:
    """Refund all orders that are `refunding`, in transactions of its own, until the provider is away.

    Args:
        stalled: first give up the orders that have not changed for so long. That is for where no job is at them.
    """
    if stalled:
        async with get_session_context() as session:
            for order in await find_stalled(session, since=stalled, limit=1000):
                await give_up(session, order.id, problem=HALF_WAY)
    async with get_session_context() as session:
        due = (await session.scalars(select(Order.id).where(Order.state == OrderState.REFUNDING))).all()
    done = unanswered = 0
    for order_id in due:
        try:
            await refund(order_id, tries=TRIES)
            done, unanswered = done + 1, 0
        except provider.ProviderUnavailableError:
            unanswered += 1
        if unanswered == PATIENCE:
            break
    return Refunds(done, len(due) - done)


async def note_job(session: AsyncSession, order_id: int, job_id: str | None, *, instead_of: str | None = None) -> None:
    """Note which job is at an order, and that it is; only where `instead_of` was noted before, if that is given."""
    known = [Order.job_id == instead_of] if instead_of else []
    change = update(Order).where(Order.id == order_id, *known)
    await session.execute(change.values(job_id=job_id, updated_at=datetime.now(UTC)))


def payment_key(order_id: int) -> str:
    """Give the idempotency key by which the provider knows the payment of an order."""
    return f"order-{order_id}"


def _product(item: OrderItem) -> Product:
    if item.product not in PRODUCTS:
        raise UnknownProductError(item.product)
    return PRODUCTS[item.product]


async def _require(session: AsyncSession, order_id: int) -> Order:
    order = await get(session, order_id)
    if order is None:
        raise UnknownOrderError(order_id)
    return order


async def _advance(session: AsyncSession, order_id: int, *, to: OrderState, **values: Any) -> None:
    """Move an order to this state from the one before; do nothing if it is there, or further."""
    before = PROGRESS[PROGRESS.index(to) - 1]
    change = update(Order).where(Order.id == order_id, Order.state == before)
    change = change.values(state=to, updated_at=datetime.now(UTC), **values)
    if await session.scalar(change.returning(Order.id)):
        return
    state = (await _require(session, order_id)).state
    if state not in PROGRESS[PROGRESS.index(to) :]:
        raise OrderStateError(order_id, state, to)


async def _insist(call: Callable[[], Awaitable[Any]], tries: int) -> Any:
    for attempt in range(tries - 1):
        try:
            return await call()
        except provider.ProviderUnavailableError:
            await asyncio.sleep(PAUSE * 2**attempt)
    return await call()
