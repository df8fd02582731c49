"""What the routes of billing take and give. Amounts are text, such as "12.50": JSON's numbers are floats to most."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ..infrastructure.text import ONE_LINE
from .models import OrderState

if TYPE_CHECKING:
    from .models import Membership, Order, Payment

EXAMPLE_TIME = "2026-11-21T09:30:00Z"
PAYMENT: dict[str, Any] = {
    "user_id": 7,
    "amount": "12.50",
    "currency": "EUR",
    "months": 1,
    "reference": "transfer 2026-4711",
}
RECORDED: dict[str, Any] = {"id": 1, **PAYMENT, "created_at": EXAMPLE_TIME}
ITEMS: list[Any] = [{"product": "notebook", "quantity": 2}, {"product": "fountain-pen", "quantity": 1}]

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=ONE_LINE)]
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]


class PaymentCreate(BaseModel):
    """A payment that has been received."""

    model_config = ConfigDict(json_schema_extra={"example": PAYMENT})

    user_id: Id
    #: Text: a number would be a float on its way here.
    amount: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,13}(\.[0-9]{1,3})?$")]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    #: Of membership that it pays for.
    months: Annotated[int, Field(ge=1, le=120)] = 1
    #: Names the payment where it comes from; the same reference again records nothing again.
    reference: Line


class PaymentRead(BaseModel):
    """A payment."""

    model_config = ConfigDict(json_schema_extra={"example": RECORDED})

    id: int
    user_id: int
    amount: str
    currency: str
    months: int
    reference: str
    created_at: datetime

    @classmethod
    def of(cls, payment: Payment) -> Self:
        """Show a payment."""
        return cls(
            id=payment.id,
            user_id=payment.user_id,
            amount=payment.money.text,
            currency=payment.currency,
            months=payment.months,
            reference=payment.reference,
            created_at=payment.created_at,
        )
# {% if cookiecutter.cache_backend != "none" %}


class PaymentRecorded(PaymentRead):
    """A payment that is recorded, and the job that sends its receipt."""

    model_config = ConfigDict(json_schema_extra={"example": {**RECORDED, "job_id": "18ea46051a6f788517943ebb4c546e12"}})

    #: None where the payment was recorded before: then nothing has been done now.
    job_id: str | None = None
# {% endif %}


class PaymentsRead(BaseModel):
    """A page of payments, the last one first."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"items": [RECORDED], "total": 1, "limit": 50, "offset": 0}}
    )

    items: list[PaymentRead]
    #: How many there are on all pages.
    total: int
    limit: int
    offset: int


class MembershipRead(BaseModel):
    """From when until when a user is a member."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"starts_at": EXAMPLE_TIME, "ends_at": "2026-12-21T09:30:00Z", "active": True}}
    )

    starts_at: datetime
    ends_at: datetime
    active: bool

    @classmethod
    def of(cls, membership: Membership) -> Self:
        """Show a membership."""
        return cls(starts_at=membership.starts_at, ends_at=membership.ends_at, active=membership.active)


class OrderLine(BaseModel):
    """A product, and how many of it."""

    product: Line
    quantity: Annotated[int, Field(ge=1, le=100)] = 1


class OrderCreate(BaseModel):
    """An order: the names of products, see the price list in `orders.py`."""

    model_config = ConfigDict(json_schema_extra={"example": {"items": ITEMS}})

    items: Annotated[list[OrderLine], Field(min_length=1, max_length=20)]


class OrderRead(BaseModel):
    """An order, and how far it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1,
                "state": "confirmed",
                "problem": None,
                "items": ITEMS,
                "amount": "74.00",
                "currency": "EUR",
                "created_at": EXAMPLE_TIME,
                "updated_at": EXAMPLE_TIME,
            }
        }
    )

    id: int
    state: OrderState
    #: Why it has come to nothing.
    problem: str | None
    items: list[OrderLine]
    #: The price of all items, once the order is validated.
    amount: str | None
    currency: str | None
    # {% if cookiecutter.cache_backend != "none" %}
    #: The job, or the chain of jobs, that is at it, or was.
    job_id: str | None
    # {% endif %}
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, order: Order) -> Self:
        """Show an order."""
        return cls(
            id=order.id,
            state=OrderState(order.state),
            problem=order.problem,
            items=[OrderLine(product=item.product, quantity=item.quantity) for item in order.items],
            amount=order.price and order.price.text,
            currency=order.currency,
            # {% if cookiecutter.cache_backend != "none" %}
            job_id=order.job_id,
            # {% endif %}
            created_at=order.created_at,
            updated_at=order.updated_at,
        )
# {% if cookiecutter.cache_backend != "none" %}


class OrderAccepted(BaseModel):
    """An order that is placed, and where to look what becomes of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1,
                "state": "placed",
                "url": "/api/v1/orders/1",
                "job_id": "18ea46051a6f788517943ebb4c546e12",
                "job_url": "/api/v1/jobs/18ea46051a6f788517943ebb4c546e12",
            }
        }
    )

    id: int
    state: OrderState
    url: str
    #: The job that begins with it.
    job_id: str
    job_url: str
# {% endif %}
