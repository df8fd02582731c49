"""The commands of billing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from {{ cookiecutter.__package }}.accounts import service as accounts
from {{ cookiecutter.__package }}.billing import orders
from {{ cookiecutter.__package }}.billing.commands import commands
from {{ cookiecutter.__package }}.billing.models import Membership, Order
from {{ cookiecutter.__package }}.infrastructure.database import (
    Base,
    close_database,
    get_engine,
    get_session_context,
)
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable


async def prepare() -> None:
    """Make a database with a membership that ends soon, and a paid order that has stood still for an hour."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    now = datetime.now(UTC)
    async with get_session_context() as session:
        user = await accounts.register(session, email="ada@example.com", name="Ada")
        session.add(Membership(user_id=user.id, starts_at=now, ends_at=now + timedelta(days=1)))
        order = await orders.place(session, user_id=user.id, items=[("notebook", 1)])
        await orders.validate(session, order.id)
    await orders.pay(order.id)
    async with get_session_context() as session:
        paid = await session.get_one(Order, order.id)
        paid.updated_at = now - timedelta(hours=1)
    await close_database()


@pytest.fixture
def run() -> Callable[..., tuple[int, str, str]]:
    """Give a function that runs a command, and gives its exit status and what it has printed and complained of."""
    asyncio.run(prepare())

    def invoke(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(commands, words)
        return result.exit_code, result.stdout, result.stderr

    return invoke


def test_remind(run: Callable[..., tuple[int, str, str]]) -> None:
    """It says how many were reminded, which at the second run is nobody."""
    assert run("remind")[:2] == (0, "1 reminded\n")
    assert run("remind")[:2] == (0, "0 reminded\n")


def test_remind_says_what_it_could_not_do(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail server that is away is an exit status."""
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_PORT", "9")
    get_settings.cache_clear()
    status, out, complaint = run("remind")
    assert (status, out) == (1, "0 reminded\n")
    assert "0 cannot be reached, 1 are left for the next time" in complaint


def test_refund(run: Callable[..., tuple[int, str, str]], provider_fails: Callable[[float], None]) -> None:
    """What stands still is given up if that is wished, and what cannot be given back yet is an exit status."""
    assert run("refund")[:2] == (0, "0 orders settled\n")
    assert run("refund", "--stalled", "90")[:2] == (0, "0 orders settled\n")
    provider_fails(1)
    status, out, complaint = run("refund", "--stalled", "30")
    assert (status, out) == (1, "0 orders settled\n")
    assert "1 are left for the next time: the provider does not answer" in complaint
    provider_fails(0)
    assert run("refund")[:2] == (0, "1 orders settled\n")
    assert run("refund", "--stalled", "0")[0] == 2
