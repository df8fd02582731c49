"""Orders: each step once, in whatever way it is repeated, and the way back."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from {{ cookiecutter.__package }}.billing import orders, provider
from {{ cookiecutter.__package }}.billing.models import ENDED, OrderState
from {{ cookiecutter.__package }}.billing.orders import STALLED, payment_key
from {{ cookiecutter.__package }}.billing.provider import Charge
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from {{ cookiecutter.__package }}.billing.models import Order

    from .conftest import NewUser

BOOKS = [("notebook", 2), ("fountain-pen", 1)]


async def place(new_user: NewUser, *items: tuple[str, int]) -> int:
    async with get_session_context() as session:
        user_id = await new_user(f"{random.getrandbits(64):x}@example.com")
        return (await orders.place(session, user_id=user_id, items=items or BOOKS)).id


async def read(order_id: int) -> Order:
    async with get_session_context() as session:
        order = await orders.get(session, order_id)
    assert order is not None
    return order


async def validate(order_id: int) -> None:
    async with get_session_context() as session:
        await orders.validate(session, order_id)


async def confirm(order_id: int) -> None:
    async with get_session_context() as session:
        await orders.confirm(session, order_id)


async def give_up(order_id: int) -> bool:
    async with get_session_context() as session:
        return await orders.give_up(session, order_id, problem="no reason")


async def charge_of(order_id: int) -> tuple[str, int | None] | None:
    """Give what the provider knows of an order: the state and the amount."""
    async with get_session_context() as session:
        charge = await session.scalar(select(Charge).where(Charge.idempotency_key == payment_key(order_id)))
    return (charge.status, charge.amount_minor) if charge else None


STEPS = {"validate": validate, "pay": orders.pay, "confirm": confirm}


async def test_the_steps_lead_to_a_confirmed_order(new_user: NewUser) -> None:
    """Placed, validated with its price, paid, confirmed."""
    order_id = await place(new_user)
    seen = [(await read(order_id)).state]
    for step in STEPS.values():
        await step(order_id)
        seen.append((await read(order_id)).state)
    assert seen == ["placed", "validated", "paid", "confirmed"]
    order = await read(order_id)
    assert (str(order.price), order.problem) == ("74.00 EUR", None)
    assert await charge_of(order_id) == ("charged", 7400)


async def test_steps_bear_repetition(new_user: NewUser) -> None:
    """A step that runs again, at once or much later, changes nothing, and charges nothing."""
    order_id = await place(new_user)
    for step in STEPS.values():
        await asyncio.gather(step(order_id), step(order_id))
        await step(order_id)
    before = (await read(order_id)).updated_at
    for step in STEPS.values():
        await step(order_id)
    after = await read(order_id)
    assert (after.state, after.updated_at) == ("confirmed", before)
    assert await charge_of(order_id) == ("charged", 7400)


async def test_no_step_is_left_out(new_user: NewUser) -> None:
    """A step that comes too early is an error, and nothing is charged."""
    order_id = await place(new_user)
    for step in (orders.pay, confirm):
        with pytest.raises(orders.OrderStateError, match=f"order {order_id} is placed, so it cannot become"):
            await step(order_id)
    assert await charge_of(order_id) is None
    for step in STEPS.values():
        with pytest.raises(orders.UnknownOrderError, match="no order has the id 99"):
            await step(99)


async def test_unknown_products_are_refused(new_user: NewUser) -> None:
    """The error names the product, and what there is instead."""
    order_id = await place(new_user, ("notebook", 1), ("umbrella", 1))
    with pytest.raises(orders.UnknownProductError, match="no product 'umbrella'; there are notebook, "):
        await validate(order_id)
    assert not await give_up(order_id)
    order = await read(order_id)
    assert (order.state, order.problem, order.price) == ("rejected", "no reason", None)


async def test_what_is_sold_out_is_refunded(new_user: NewUser) -> None:
    """That shows after the payment, which is given back once."""
    order_id = await place(new_user, ("signed-print", 1))
    await validate(order_id)
    await orders.pay(order_id)
    with pytest.raises(orders.SoldOutError, match="'signed-print' is sold out"):
        await confirm(order_id)
    assert await give_up(order_id)
    assert not await give_up(order_id)
    assert (await read(order_id)).state == "refunding"
    assert [await orders.refund(order_id), await orders.refund(order_id)] == ["refunded", "refunded"]
    assert (await read(order_id)).state == "refunded"
    assert await charge_of(order_id) == ("refunded", 12_000)


async def test_a_confirmed_order_stays(new_user: NewUser) -> None:
    """It can be neither given up nor refunded."""
    order_id = await place(new_user)
    for step in STEPS.values():
        await step(order_id)
    assert not await give_up(order_id)
    assert await orders.refund(order_id) == "confirmed"
    assert (await read(order_id)).problem is None
    assert await charge_of(order_id) == ("charged", 7400)


@pytest.mark.parametrize("step", STEPS)
async def test_no_step_goes_on_with_an_order_that_was_given_up(new_user: NewUser, step: str) -> None:
    """Whatever comes late finds the order on its way back, and leaves it there."""
    order_id = await place(new_user)
    for name, act in STEPS.items():
        if name == step:
            break
        await act(order_id)
    await give_up(order_id)
    state = (await read(order_id)).state
    with pytest.raises(orders.OrderStateError):
        await STEPS[step](order_id)
    assert (await read(order_id)).state == state


async def test_a_refund_overtakes_a_charge(new_user: NewUser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A charge that is on its way while the order is refunded does not happen any more."""
    order_id = await place(new_user)
    await validate(order_id)
    charge = provider.charge

    async def late(*args: object, **kwargs: object) -> None:
        await give_up(order_id)
        assert await orders.refund(order_id) == "rejected"
        await charge(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(provider, "charge", late)
    with pytest.raises(provider.ChargeRefusedError, match="the charge is cancelled"):
        await orders.pay(order_id)
    assert (await read(order_id)).state == "rejected"
    assert await charge_of(order_id) == ("cancelled", None)


async def test_a_charge_without_an_answer_is_refunded(new_user: NewUser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order was never paid as far as it knows; what was charged all the same is given back."""
    order_id = await place(new_user)
    await validate(order_id)
    monkeypatch.setattr(random, "random", lambda: 1.0)  # the answer is lost
    with pytest.raises(provider.ProviderUnavailableError, match="ask again with the same key"):
        await orders.pay(order_id)
    assert (await read(order_id)).state == "validated"
    assert await charge_of(order_id) == ("charged", 7400)
    monkeypatch.undo()
    assert await give_up(order_id)
    assert await orders.refund(order_id, tries=100) == "refunded"
    assert await charge_of(order_id) == ("refunded", 7400)


async def test_money_is_right_whatever_fails(new_user: NewUser, provider_fails: Callable[[float], None]) -> None:
    """With a provider that fails half the time every order ends, and is charged if and only if it is confirmed."""
    provider_fails(0.5)
    chance = random.Random(7)
    ids = [await place(new_user, (chance.choice(["notebook", "signed-print", "umbrella"]), 1)) for _ in range(30)]

    async def process(order_id: int) -> None:
        try:
            await validate(order_id)
            await orders.pay(order_id, tries=2)
            await confirm(order_id)
        except (orders.OrderError, provider.ProviderUnavailableError):
            await give_up(order_id)
        while (await read(order_id)).state not in ENDED:
            await asyncio.gather(*(orders.refund(order_id) for _ in range(2)), return_exceptions=True)

    for order_id in ids:
        await process(order_id)
    ends = {OrderState.CONFIRMED: {"charged"}, OrderState.REFUNDED: {"refunded"}}
    seen = set()
    for order_id in ids:
        charge = await charge_of(order_id)
        state = OrderState((await read(order_id)).state)
        assert charge is None or charge[0] in ends.get(state, {"cancelled"})
        assert charge is not None or state is OrderState.REJECTED
        seen.add(state)
    assert seen == ENDED


async def test_a_key_is_for_one_amount(tables: None) -> None:  # noqa: ARG001
    """The provider charges nothing for a key that it knows with another amount."""
    small, large = (orders.PRODUCTS[name].price for name in ("notebook", "fountain-pen"))
    await asyncio.gather(*(provider.charge(small, idempotency_key="k") for _ in range(5)))
    with pytest.raises(provider.ChargeRefusedError, match="used for another amount"):
        await provider.charge(large, idempotency_key="k")
    assert [await provider.cancel("k"), await provider.cancel("k")] == [True, True]
    assert [await provider.cancel("never"), await provider.cancel("never")] == [False, False]


async def test_stalled_orders_are_found(new_user: NewUser) -> None:
    """Those that have not ended, and that nobody has looked at for a while."""
    ended, stalled, noted = [await place(new_user) for _ in range(3)]
    await give_up(ended)
    async with get_session_context() as session:
        assert await orders.find_stalled(session, since=STALLED) == []
        for order_id in (ended, stalled, noted):
            order = await orders.get(session, order_id)
            assert order is not None
            order.updated_at -= STALLED
        await session.flush()
        await orders.note_job(session, noted, "a job")
        assert [order.id for order in await orders.find_stalled(session, since=STALLED)] == [stalled]


async def test_refund_all_settles_what_is_owed(new_user: NewUser, provider_fails: Callable[[float], None]) -> None:
    """The command's work: what is refunding is refunded; what stands still is given up first, if that is wished."""
    refunding, standing = await place(new_user), await place(new_user)
    for order_id in (refunding, standing):
        await validate(order_id)
        await orders.pay(order_id)
    await give_up(refunding)
    provider_fails(1)
    assert await orders.refund_all() == orders.Refunds(done=0, postponed=1)
    provider_fails(0)
    assert await orders.refund_all() == orders.Refunds(done=1, postponed=0)
    assert ((await read(refunding)).state, (await read(standing)).state) == ("refunded", "paid")
    async with get_session_context() as session:
        order = await orders.get(session, standing)
        assert order is not None
        order.updated_at -= STALLED
    assert await orders.refund_all(stalled=STALLED) == orders.Refunds(done=1, postponed=0)
    assert ((await read(standing)).state, (await read(standing)).problem) == ("refunded", orders.HALF_WAY)


async def test_a_provider_that_is_away_is_left_alone(
    new_user: NewUser, provider_fails: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some orders without an answer the rest waits for the next time."""
    for _ in range(7):
        order_id = await place(new_user)
        await validate(order_id)
        await give_up(order_id)
    calls: list[str] = []
    cancel = provider.cancel

    async def count(key: str) -> bool:
        calls.append(key)
        return await cancel(key)

    monkeypatch.setattr(provider, "cancel", count)
    provider_fails(1)
    assert await orders.refund_all() == orders.Refunds(done=0, postponed=7)
    assert len(set(calls)) == orders.PATIENCE < 7
    provider_fails(0)
    assert await orders.refund_all() == orders.Refunds(done=7, postponed=0)


def test_problems_do_not_tell_secrets() -> None:
    """What is ours is explained; of anything else only its kind is shown."""
    assert orders.explain(orders.SoldOutError("notebook")) == "the product 'notebook' is sold out"
    assert orders.explain(ValueError("postgresql://user:password@host")) == "it failed for a reason of ours: ValueError"
