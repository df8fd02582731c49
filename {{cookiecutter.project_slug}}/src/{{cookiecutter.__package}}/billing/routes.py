"""Routes of billing."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from ..accounts.dependencies import AdminUser, CurrentUser
from ..accounts.models import SEEING_ROLES
from ..api.dependencies import Session
from ..api.problems import Problem, problem_responses
# {% if cookiecutter.cache_backend != "none" %}
from ..infrastructure.tasks import enqueue_task
# {% endif %}
from . import memberships, orders, service
from .money import InvalidMoneyError, Money
# {% if cookiecutter.cache_backend == "none" %}
from .schemas import MembershipRead, OrderCreate, OrderRead, PaymentCreate, PaymentRead, PaymentsRead
# {% else %}
from .schemas import (
    MembershipRead,
    OrderAccepted,
    OrderCreate,
    OrderRead,
    PaymentCreate,
    PaymentRead,
    PaymentRecorded,
    PaymentsRead,
)
# {% endif %}

router = APIRouter(prefix="/api/v1", tags=["billing"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[1])]
OfUser = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Whose; by default one's own")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most")]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="How many to leave out first")]


# {% if cookiecutter.cache_backend == "none" %}
@router.post(
    "/payments",
    status_code=201,
    responses={
        200: {"model": PaymentRead, "description": "Recorded before"},
        **problem_responses(401, 403, 409),
    },
)
async def record_payment(new: PaymentCreate, _admin: AdminUser, session: Session, response: Response) -> PaymentRead:
    """Record a payment that has been received, once for each reference, and extend the user's membership.

    The receipt is sent before the answer. Where the mail server does not take it, the payment is recorded all the same.
    """
    recorded = await _record(new, session)
    await session.commit()
    if recorded.first:
        await service.send_receipt(session, recorded.payment)
    else:
        response.status_code = 200
    return PaymentRead.of(recorded.payment)


# {% else %}
@router.post(
    "/payments",
    status_code=201,
    responses={
        200: {"model": PaymentRecorded, "description": "Recorded before"},
        **problem_responses(401, 403, 409),
    },
)
async def record_payment(
    new: PaymentCreate, _admin: AdminUser, session: Session, response: Response
) -> PaymentRecorded:
    """Record a payment that has been received, once for each reference, and extend the user's membership.

    The receipt is sent by a job; its id is in the answer.
    """
    recorded = await _record(new, session)
    await session.commit()
    if not recorded.first:
        response.status_code = 200
    return PaymentRecorded(**PaymentRead.of(recorded.payment).model_dump(), job_id=recorded.job_id)


# {% endif %}
@router.get("/payments", responses=problem_responses(401, 403))
async def read_payments(
    user: CurrentUser, session: Session, user_id: OfUser = None, limit: Limit = 50, offset: Offset = 0
) -> PaymentsRead:
    """List one's own payments; administrators and viewers may look at those of others."""
    whose = user_id or user.id
    if whose != user.id and user.role not in SEEING_ROLES:
        raise Problem(403, f"only administrators and viewers may see the payments of user {whose}")
    page = await service.list_payments(session, user_id=whose, limit=limit, offset=offset)
    return PaymentsRead(items=list(map(PaymentRead.of, page.items)), total=page.total, limit=limit, offset=offset)


@router.get("/payments/{payment_id}", responses=problem_responses(401, 404))
async def read_payment(payment_id: Id, user: CurrentUser, session: Session) -> PaymentRead:
    """Look a payment up: one's own, or as administrator or viewer any."""
    payment = await service.get_payment(session, payment_id)
    if payment is None or (payment.user_id != user.id and user.role not in SEEING_ROLES):
        raise Problem(404, f"no payment has the id {payment_id}, or it is somebody else's")
    return PaymentRead.of(payment)


@router.get("/memberships/me", responses=problem_responses(401, 404))
async def read_membership(user: CurrentUser, session: Session) -> MembershipRead:
    """Look one's own membership up."""
    membership = await memberships.get(session, user.id)
    if membership is None:
        raise Problem(404, "you have not been a member yet")
    return MembershipRead.of(membership)


# {% if cookiecutter.cache_backend == "none" %}
@router.post("/orders", status_code=201, responses=problem_responses(401))
async def place_order(new: OrderCreate, user: CurrentUser, session: Session, response: Response) -> OrderRead:
    """Order products. The order is processed before the answer: `state` says what has become of it."""
    placed = await orders.place(session, user_id=user.id, items=[(line.product, line.quantity) for line in new.items])
    await session.commit()
    await service.process_order(placed.id)
    response.headers["Location"] = f"{router.prefix}/orders/{placed.id}"
    return OrderRead.of(await orders.get(session, placed.id) or placed)


# {% else %}
@router.post("/orders", status_code=202, responses=problem_responses(401))
async def place_order(new: OrderCreate, user: CurrentUser, session: Session, response: Response) -> OrderAccepted:
    """Order products. Jobs process the order: `Location` says where to look what becomes of it."""
    order = await orders.place(session, user_id=user.id, items=[(line.product, line.quantity) for line in new.items])
    # In the same transaction: no order is left without the job that makes its chain, whatever dies in between.
    order.job_id = str(await enqueue_task("process_order", order_id=order.id, _session=session))
    await session.commit()
    url = f"{router.prefix}/orders/{order.id}"
    response.headers["Location"] = url
    job_url = f"{router.prefix}/jobs/{order.job_id}"
    return OrderAccepted(id=order.id, state=order.state, url=url, job_id=order.job_id, job_url=job_url)


# {% endif %}
@router.get("/orders/{order_id}", responses=problem_responses(401, 404))
async def read_order(order_id: Id, user: CurrentUser, session: Session) -> OrderRead:
    """Look an order up: one's own, or as administrator or viewer any."""
    order = await orders.get(session, order_id)
    if order is None or (order.user_id != user.id and user.role not in SEEING_ROLES):
        raise Problem(404, f"no order has the id {order_id}, or it is somebody else's")
    return OrderRead.of(order)


async def _record(new: PaymentCreate, session: Session) -> service.Recorded:
    try:
        money = Money.parse(new.amount, new.currency)
        return await service.record_payment(
            session, user_id=new.user_id, money=money, reference=new.reference, months=new.months
        )
    except (InvalidMoneyError, service.UnknownPayerError, memberships.InvalidPeriodError) as error:
        raise Problem(422, str(error)) from None
    except service.ReferenceTakenError as error:
        raise Problem(409, str(error)) from None
