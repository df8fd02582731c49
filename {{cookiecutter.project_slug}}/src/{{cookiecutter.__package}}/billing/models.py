"""Tables of billing. Amounts are integers of minor units with a currency, see `money.py`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..infrastructure.database import Base, UtcDateTime, now
from .money import Money


class Payment(Base):
    """Money that a user has paid, for some months of membership."""

    __tablename__ = "payments"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    months: Mapped[int]
    #: Names the payment where it comes from, so that it is recorded once.
    reference: Mapped[str] = mapped_column(String(100), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)

    @property
    def money(self) -> Money:
        """What was paid."""
        return Money.of_minor(self.amount_minor, self.currency)


class Membership(Base):
    """From when until when a user is a member."""

    __tablename__ = "memberships"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    #: The `ends_at` of which the user has been reminded.
    reminded_for: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def active(self) -> bool:
        """Whether the user is a member right now."""
        return self.starts_at <= now() < self.ends_at


class OrderState(StrEnum):
    """How far an order is; see docs/billing.md."""

    PLACED = "placed"
    VALIDATED = "validated"
    PAID = "paid"
    CONFIRMED = "confirmed"
    #: It will come to nothing, and what was charged, if anything was, is being given back.
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    #: It has come to nothing, and nothing is charged.
    REJECTED = "rejected"


#: Nothing changes any more.
ENDED = {OrderState.CONFIRMED, OrderState.REFUNDED, OrderState.REJECTED}
OPEN = set(OrderState) - ENDED


class Order(Base):
    """What a user has ordered."""

    __tablename__ = "orders"
    #: Few orders are open, however many have ended.
    __table_args__ = (Index("ix_orders_state_updated_at", "state", "updated_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(20), default=OrderState.PLACED.value)
    #: Why it has come to nothing.
    problem: Mapped[str | None] = mapped_column(String(500))
    #: The price of all items, once they are validated.
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(3))
    #: The job, or the chain of jobs, that is at it, where that is not done in the request.
    job_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    #: When somebody last did something about it.
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    items: Mapped[list[OrderItem]] = relationship(lazy="selectin", order_by="OrderItem.id")

    @property
    def price(self) -> Money | None:
        """What all items cost, once they are validated."""
        if self.amount_minor is None or self.currency is None:
            return None
        return Money.of_minor(self.amount_minor, self.currency)


class OrderItem(Base):
    """One line of an order."""

    __tablename__ = "order_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), index=True)
    product: Mapped[str] = mapped_column(String(100))
    quantity: Mapped[int]
