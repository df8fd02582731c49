"""A fake payment provider that fails at random; in its place comes the client of a real one.

It is somebody else's system. So its charges are in a table of its own, through sessions of its own, and each call may
fail in two ways: before anything has happened, or after it, so that only the answer is lost. The caller cannot tell
which, and calls again with the same idempotency key until there is an answer.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, String, select, update
from sqlalchemy.orm import Mapped, mapped_column

from ..infrastructure.database import Base, UtcDateTime, get_session_context, insert
from ..infrastructure.settings import get_settings
from .settings import BillingSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from .money import Money


class ChargeStatus(StrEnum):
    """What has become of a charge."""

    CHARGED = "charged"
    REFUNDED = "refunded"
    #: Cancelled before there was a charge, so that there will be none.
    CANCELLED = "cancelled"


class Charge(Base):
    """A charge as the provider knows it."""

    __tablename__ = "provider_charges"

    idempotency_key: Mapped[str] = mapped_column(String(100), primary_key=True)
    status: Mapped[str] = mapped_column(String(20))
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(3))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProviderUnavailableError(Exception):
    """The provider has not answered: it may have done what it was asked for, or not."""

    def __init__(self, idempotency_key: str) -> None:
        super().__init__(f"{idempotency_key}: the payment provider does not answer; ask again with the same key")


class ChargeRefusedError(Exception):
    """The provider will not charge this, however often it is asked."""

    def __init__(self, idempotency_key: str, problem: str) -> None:
        super().__init__(f"{idempotency_key}: the payment provider refuses: {problem}")


async def charge(money: Money, *, idempotency_key: str) -> None:
    """Charge the customer, once for each key.

    Raises:
        ProviderUnavailableError: there is no answer; ask again.
        ChargeRefusedError: the charge was cancelled, or the key was used for another amount.
    """
    with _unreliable(idempotency_key):
        async with get_session_context() as session:
            wanted = {"amount_minor": money.minor, "currency": money.currency}
            await _insert(session, idempotency_key, ChargeStatus.CHARGED, **wanted)
            row = await _read(session, idempotency_key)
        if row.status != ChargeStatus.CHARGED:
            raise ChargeRefusedError(idempotency_key, f"the charge is {row.status}")
        if (row.amount_minor, row.currency) != (money.minor, money.currency):
            raise ChargeRefusedError(idempotency_key, "the key was used for another amount")


async def cancel(idempotency_key: str) -> bool:
    """Give back what was charged under a key, and let nothing be charged under it any more.

    Returns:
        Whether anything was charged; the same however often it is called.

    Raises:
        ProviderUnavailableError: there is no answer; ask again.
    """
    with _unreliable(idempotency_key):
        async with get_session_context() as session:
            # The row is there in any case, so a charge that is still on its way finds it.
            await _insert(session, idempotency_key, ChargeStatus.CANCELLED)
            charged = Charge.idempotency_key == idempotency_key, Charge.status == ChargeStatus.CHARGED
            await session.execute(update(Charge).where(*charged).values(status=ChargeStatus.REFUNDED))
            row = await _read(session, idempotency_key)
        return row.status == ChargeStatus.REFUNDED


@contextmanager
def _unreliable(idempotency_key: str) -> Iterator[None]:
    """Fail as often as the settings say: half the time before, half the time after it has happened."""
    part = get_settings().of(BillingSettings).provider_failures / 2
    fate = random.random()  # noqa: S311 - no secret
    if fate < part:
        raise ProviderUnavailableError(idempotency_key)
    yield
    if fate >= 1 - part:
        raise ProviderUnavailableError(idempotency_key)


async def _insert(session: AsyncSession, idempotency_key: str, status: ChargeStatus, **values: Any) -> None:
    row = {"idempotency_key": idempotency_key, "status": status, "created_at": datetime.now(UTC), **values}
    await session.execute(insert(session, Charge).values(row).on_conflict_do_nothing())


async def _read(session: AsyncSession, idempotency_key: str) -> Charge:
    query = select(Charge).where(Charge.idempotency_key == idempotency_key)
    return (await session.scalars(query.execution_options(populate_existing=True))).one()
