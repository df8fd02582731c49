"""The tasks of billing, and the jobs that stand and fall with a transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, update

from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.billing import orders, service, tasks
from {{ cookiecutter.__package }}.billing.models import Membership, Order
from {{ cookiecutter.__package }}.billing.money import Money
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import ArqQueueBackend, JobManager
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, find_job, get_outbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord
    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from .conftest import NewUser

PRICE = Money(Decimal("12.50"), "EUR")


async def place(new_user: NewUser, product: str = "notebook") -> int:
    """Place an order as the route does."""
    user_id = await new_user()
    async with get_session_context() as session:
        order = await orders.place(session, user_id=user_id, items=[(product, 1)])
        order.job_id = await enqueue_task("process_order", order_id=order.id, _session=session)
    return order.id


async def read(order_id: int) -> Order:
    async with get_session_context() as session:
        order = await orders.get(session, order_id)
    assert order is not None
    return order


async def run_all(jobs: MemoryJobs) -> list[JobRecord]:
    """Run all jobs, those too that the last ones have left in the outbox."""
    ended: list[JobRecord] = []
    while more := await jobs.run_jobs(scheduled=True):
        ended += more
    return ended


async def stall(order_id: int, **values: Any) -> None:
    """Let nothing have happened to an order for a while."""
    async with get_session_context() as session:
        await session.execute(
            update(Order).where(Order.id == order_id).values(updated_at=datetime.now(UTC) - orders.STALLED, **values)
        )


async def test_a_receipt_belongs_to_its_payment(
    new_user: NewUser, jobs: MemoryJobs, mailbox: list[EmailMessage]
) -> None:
    """A payment that is committed has one receipt, one that is rolled back has no job."""
    user_id = await new_user()

    async def fail() -> None:
        async with get_session_context() as session:
            await service.record_payment(session, user_id=user_id, money=PRICE, reference="r-1")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()
    await jobs.settle()
    jobs.assert_not_enqueued("send_payment_receipt")

    for _ in range(2):
        async with get_session_context() as session:
            recorded = await service.record_payment(session, user_id=user_id, money=PRICE, reference="r-1")
    await jobs.settle()
    jobs.assert_enqueued("send_payment_receipt", user_id=user_id, payment_id=recorded.payment.id, _count=1)
    [job] = await jobs.run_jobs()
    assert (job.status, job.result) == ("success", "sent")
    assert [message["To"] for message in mailbox] == ["ada@example.com"]


async def test_mail_for_nobody_is_not_tried_again(
    new_user: NewUser, jobs: MemoryJobs, mailbox: list[EmailMessage]
) -> None:
    """Where the user is gone the task says so, in its first try."""
    user_id = await new_user()
    async with get_session_context() as session:
        recorded = await service.record_payment(session, user_id=user_id, money=PRICE, reference="r-1")
        await session.execute(delete(User))
    await enqueue_task("send_membership_expiry_reminder", user_id=user_id)
    ended = {job.task: job for job in await run_all(jobs)}
    receipt, reminder = ended["send_payment_receipt"], ended["send_membership_expiry_reminder"]
    assert receipt.result == f"not sent: user {user_id} or payment {recorded.payment.id} is gone"
    assert reminder.result == f"not sent: user {user_id} is gone, or has no membership that ends soon"
    assert (receipt.tries, reminder.tries, mailbox) == (1, 1, [])


async def test_everybody_is_reminded_once(
    new_user: NewUser, jobs: MemoryJobs, mailbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daily check goes through all pages, and finds nobody the second time."""
    monkeypatch.setattr(tasks, "BATCH", 2)
    ends_at = datetime.now(UTC) + timedelta(days=3)
    users = [await new_user(f"user{number}@example.com") for number in range(5)]
    async with get_session_context() as session:
        session.add_all(Membership(user_id=user_id, starts_at=ends_at, ends_at=ends_at) for user_id in users)
    for expected in (5, 0):
        await enqueue_task("check_expiring_memberships")
        [check, *reminders] = await run_all(jobs)
        assert (check.task, check.result, len(reminders)) == ("check_expiring_memberships", expected, expected)
    assert sorted(message["To"] for message in mailbox) == [f"user{number}@example.com" for number in range(5)]


async def test_an_end_has_one_reminder_however_often_it_moves(
    new_user: NewUser, jobs: MemoryJobs, mailbox: list[EmailMessage]
) -> None:
    """A membership is extended between the check and the message, by so little that it is due again."""
    ends_at = datetime.now(UTC) + timedelta(days=3)
    user_id = await new_user()
    async with get_session_context() as session:
        session.add(Membership(user_id=user_id, starts_at=ends_at, ends_at=ends_at))
    assert await tasks.check_expiring_memberships({}) == 1
    async with get_session_context() as session:
        await session.execute(update(Membership).values(ends_at=ends_at + timedelta(days=1)))
    assert await tasks.check_expiring_memberships({}) == 1
    assert len(await run_all(jobs)) == 2
    assert len(mailbox) == 1


def test_the_schedules_have_their_times() -> None:
    """Memberships are looked at once a day, orders every five minutes."""
    daily, often = tasks.SCHEDULES
    assert (daily.name, daily.cron, daily.timezone) == ("expiring-memberships", "0 8 * * *", "UTC")
    assert (often.name, often.interval) == ("stalled-orders", timedelta(minutes=5))


async def test_an_order_is_a_chain(new_user: NewUser, jobs: MemoryJobs) -> None:
    """One job makes the chain, once, also where it is tried again; the order names the chain."""
    order_id = await place(new_user)
    ended = await jobs.run_jobs()
    assert [job.task for job in ended] == ["process_order", "validate_order", "take_order_payment", "confirm_order"]
    order = await read(order_id)
    assert (order.state, order.job_id) == ("confirmed", ended[0].result)
    record = await find_job(str(order.job_id))
    assert record is not None
    assert (record.task, record.status) == ("chain", "success")


async def test_a_chain_is_made_once(new_user: NewUser, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that fails after it has made the chain does not make another when it is tried again."""
    order_id = await place(new_user)
    note = orders.note_job

    async def fail_once(*_args: Any, **_kwargs: Any) -> None:
        monkeypatch.setattr(orders, "note_job", note)
        raise ConnectionError

    monkeypatch.setattr(orders, "note_job", fail_once)
    ended = await run_all(jobs)
    assert [(job.task, job.tries) for job in ended] == [
        ("process_order", 2),
        ("validate_order", 1),
        ("take_order_payment", 1),
        ("confirm_order", 1),
    ]
    assert (await read(order_id)).state == "confirmed"


@pytest.mark.parametrize(
    ("product", "state", "failed"),
    [("signed-print", "refunded", "confirm_order"), ("umbrella", "rejected", "validate_order")],
)
async def test_what_cannot_be_is_not_tried_again(
    new_user: NewUser, jobs: MemoryJobs, product: str, state: str, failed: str
) -> None:
    """The step fails at its first try, and the order is undone."""
    order_id = await place(new_user, product)
    ended = {job.task: job for job in await run_all(jobs)}
    assert (ended[failed].status, ended[failed].tries) == ("failed", 1)
    assert ("compensate_order" in ended) is (state == "refunded")
    assert (await read(order_id)).state == state


async def test_a_step_that_breaks_is_compensated(
    new_user: NewUser, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last try has failed, for whatever reason, the money goes back; the reason is not shown."""

    async def broken(*_args: object) -> None:
        raise RuntimeError("postgresql://user:password@host")

    monkeypatch.setattr(orders, "confirm", broken)
    order_id = await place(new_user)
    ended = {job.task: job for job in await run_all(jobs)}
    assert ended["confirm_order"].tries == 8
    order = await read(order_id)
    assert (order.state, order.problem) == ("refunded", "it failed for a reason of ours: RuntimeError")
    assert order.job_id == ended["compensate_order"].job_id


async def test_a_cancelled_chain_is_noticed(new_user: NewUser, jobs: MemoryJobs) -> None:
    """No hook is called for what was cancelled; the check gives the order up, and has its charge given back."""
    order_id = await place(new_user)
    await jobs.settle()
    manager = JobManager(ArqQueueBackend(jobs.pool))
    await manager.purge_queue()
    async with get_session_context() as session:
        await orders.validate(session, order_id)
    await orders.pay(order_id)
    chain_id = await manager.chain([("confirm_order", (), {"order_id": order_id})])
    await stall(order_id, job_id=chain_id)
    assert await manager.cancel(chain_id)
    await enqueue_task("check_stalled_orders")
    ended = {job.task: job for job in await run_all(jobs)}
    assert ended["check_stalled_orders"].result == 1
    order = await read(order_id)
    assert (order.state, order.problem) == ("refunded", orders.HALF_WAY)


async def test_an_order_that_waits_is_left_alone(new_user: NewUser, jobs: MemoryJobs) -> None:
    """As long as its job is there, it only takes longer."""
    order_id = await place(new_user)
    await jobs.settle()
    await stall(order_id)
    assert await tasks.check_stalled_orders({"redis": jobs.pool}) == 0
    async with get_session_context() as session:
        assert await orders.find_stalled(session, since=orders.STALLED) == []
    await jobs.run_jobs()
    assert (await read(order_id)).state == "confirmed"


async def test_an_order_whose_job_is_in_the_outbox_is_left_alone(
    new_user: NewUser, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be published for a while, such as while Redis was away, still is."""
    with monkeypatch.context() as patch:
        patch.setattr(get_outbox().relay, "nudge", lambda: None)
        order_id = await place(new_user)
        await stall(order_id)
        assert await tasks.check_stalled_orders({"redis": jobs.pool}) == 0
    get_outbox().relay.nudge()
    await jobs.run_jobs()
    assert (await read(order_id)).state == "confirmed"


async def test_an_order_that_moves_on_is_left_alone(
    new_user: NewUser, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read a moment ago may have changed: the job that was noted has ended, and another is at it by now."""
    order_id = await place(new_user)
    await stall(order_id)

    async def move_on(_manager: JobManager, _job_id: str) -> None:
        async with get_session_context() as session:
            await orders.note_job(session, order_id, "a chain")

    monkeypatch.setattr(JobManager, "get_status", move_on)
    assert await tasks.check_stalled_orders({"redis": jobs.pool}) == 0
    assert (await read(order_id)).state == "placed"


async def test_a_refund_that_failed_is_taken_up_again(
    new_user: NewUser, jobs: MemoryJobs, provider_fails: Callable[[float], None]
) -> None:
    """Money that is owed is given back when the provider answers again, however long that takes."""
    order_id = await place(new_user, "signed-print")
    async with get_session_context() as session:
        await orders.validate(session, order_id)
    await orders.pay(order_id)
    provider_fails(1)
    ended = {job.task: job for job in await run_all(jobs)}
    assert (ended["compensate_order"].status, ended["compensate_order"].tries) == ("failed", 12)
    assert (await read(order_id)).state == "refunding"
    provider_fails(0)
    await stall(order_id)
    assert await tasks.check_stalled_orders({"redis": jobs.pool}) == 1
    await jobs.run_jobs()
    assert (await read(order_id)).state == "refunded"
