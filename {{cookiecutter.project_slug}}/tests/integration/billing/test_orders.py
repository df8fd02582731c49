"""Orders on the real servers, with a provider that fails at random, and workers that are killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from {{ cookiecutter.__package }}.billing import orders, tasks
from {{ cookiecutter.__package }}.billing.models import ENDED, Order, OrderState
from {{ cookiecutter.__package }}.billing.provider import Charge
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import RetryConfig
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    enqueue_task,
    get_job_manager,
    get_outbox,
    get_task_pool,
)

from processes import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.conftest import RunJobs

SETTINGS = "integration.billing.order_hands.SETTINGS"
TESTS = str(Path(__file__).parents[2])
#: What the provider may know of an order that has ended so; None: nothing.
CHARGES: dict[OrderState, set[str | None]] = {
    OrderState.CONFIRMED: {"charged"},
    OrderState.REFUNDED: {"refunded"},
    OrderState.REJECTED: {"cancelled", None},
}


async def place(user_id: int, product: str) -> int:
    """Place an order as the route does."""
    async with get_session_context() as session:
        order = await orders.place(session, user_id=user_id, items=[(product, 1)])
        order.job_id = await enqueue_task("process_order", order_id=order.id, _session=session)
    return order.id


async def read(order_id: int) -> Order:
    async with get_session_context() as session:
        order = await orders.get(session, order_id)
    assert order is not None
    return order


async def read_all() -> tuple[Sequence[Order], dict[str, Charge]]:
    """Give all orders, and what the provider knows, by its keys."""
    async with get_session_context() as session:
        found = (await session.scalars(select(Order).order_by(Order.id))).all()
        charges = {charge.idempotency_key: charge for charge in await session.scalars(select(Charge))}
    return found, charges


async def check_books() -> Counter[str]:
    """Compare the orders with what the provider knows, and count how they have ended."""
    found, charges = await read_all()
    assert {order.state for order in found} <= ENDED
    for order in found:
        charge = charges.pop(orders.payment_key(order.id), None)
        assert (charge and charge.status) in CHARGES[OrderState(order.state)], order.id
        if charge and charge.status != "cancelled":
            assert charge.amount_minor == order.amount_minor
    assert charges == {}
    return Counter(order.state for order in found)


async def test_every_order_ends_well_or_is_undone(
    user_id: int, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many orders, four calls of five fail: what is confirmed was charged once, all else is given back once."""
    monkeypatch.setenv("BILLING_PROVIDER_FAILURES", "0.8")
    get_settings.cache_clear()
    monkeypatch.setattr(RetryConfig, "pause", lambda _self, _attempt: timedelta(0))
    monkeypatch.setattr(orders, "STALLED", timedelta(0))
    products = ["notebook", "fountain-pen", "notebook", "signed-print", "umbrella"]
    for number in range(25):
        await place(user_id, products[number % 5])
    ended = 1
    while ended:  # the last jobs may have left others in the outbox
        worker = await run_jobs(*tasks.TASKS)
        ended = worker.jobs_complete + worker.jobs_failed
    # A refund may have failed twelve times; then the check takes it up again.
    while any(order.state not in ENDED for order in (await read_all())[0]):
        await tasks.check_stalled_orders({"redis": await get_task_pool()})
        await run_jobs(*tasks.TASKS)
    ends = await check_books()
    assert ends["rejected"] >= 5
    assert ends["refunded"] >= 2
    assert ends["confirmed"] >= 4


@pytest.mark.parametrize("each_database", ["postgresql"], indirect=True)
async def test_a_worker_dies_between_a_charge_and_its_record(
    user_id: int, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one asks the provider again, which knows the charge; the order is confirmed, and charged once."""
    monkeypatch.setenv("BILLING_PROVIDER_FAILURES", "0")
    ids = [await place(user_id, "notebook") for _ in range(3)]
    await get_outbox().relay.settle()
    environment = {"REDIS_URL": redis_url, "PYTHONPATH": TESTS}
    async with get_session_context() as session:
        for order_id in ids:
            await orders.validate(session, order_id)
    async with get_session_context() as session:
        # While these rows are locked, the worker can charge, but not say so.
        await session.execute(select(Order).with_for_update())
        async with asyncio.timeout(60), command("arq", SETTINGS, **environment):
            while len((await read_all())[1]) < len(ids):  # noqa: ASYNC110 - the provider tells nobody
                await asyncio.sleep(0.01)
    found, charges = await read_all()
    assert [order.state for order in found] == ["validated"] * len(ids)
    manager = await get_job_manager()
    async with command("arq", SETTINGS, **environment):
        for order_id in ids:
            while (known := await read(order_id)).state not in ENDED:
                await manager.wait_for(known.job_id, timeout=60)
    assert await check_books() == {"confirmed": len(ids)}
    assert {key: charge.created_at for key, charge in (await read_all())[1].items()} == {
        key: charge.created_at for key, charge in charges.items()
    }
