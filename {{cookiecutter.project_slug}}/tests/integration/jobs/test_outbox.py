"""Jobs that wait in the database: for their transaction, for Redis, and for a relay that may be killed."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from arq.utils import timestamp_ms
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker

from {{ cookiecutter.__package }}.infrastructure.database import get_engine, get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobError,
    JobStatus,
    PayloadTooLargeError,
    QueueUnavailable,
    TaskPool,
    UnserializableError,
    close_client,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.circuit import Circuit
from {{ cookiecutter.__package }}.infrastructure.jobs.connections import make_client
from {{ cookiecutter.__package }}.infrastructure.jobs.outbox import _row
from {{ cookiecutter.__package }}.infrastructure.jobs.relay import Relay
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    JOB_OUTBOX,
    WorkerSettings,
    enqueue_task,
    example_task,
    find_job,
    get_outbox,
    get_redis_settings,
)

from processes import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from {{ cookiecutter.__package }}.infrastructure.jobs.messages import Message

    from ..conftest import RunJobs

TESTS = str(Path(__file__).parents[2])
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def database(redis_url: str, each_database: None, tables: None) -> str:  # noqa: ARG001 - in this order
    """Give the URL of a database with empty tables, which the settings point to."""
    return get_settings().database.url


async def rows() -> list[Any]:
    async with get_engine().connect() as connection:
        return list((await connection.execute(select(JOB_OUTBOX).order_by(JOB_OUTBOX.c.id))).all())


async def write(pool: TaskPool, count: int, **options: Any) -> list[str]:
    """Write committed rows that nobody has been told of, and give the ids of their jobs."""
    messages = [pool.prepare("example_task", (str(number),), **options) for number in range(count)]
    async with get_engine().begin() as connection:
        await connection.execute(insert(JOB_OUTBOX), [_row(message) for message in messages])
    return [message.job_id for message in messages]


async def queued(pool: TaskPool) -> list[str]:
    return [job_id.decode() for job_id in await pool.zrange(keys.queue(), 0, -1)]


async def test_a_commit_publishes_in_order(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Until the commit nobody sees the jobs; after it they are in the queue, in the order of the calls, and run."""
    async with get_session_context() as session:
        job_ids = [await enqueue_task(example_task, str(number), _session=session) for number in range(5)]
        await get_outbox().relay.publish()
        assert await queued(pool) == []
    await get_outbox().relay.settle()
    assert await queued(pool) == job_ids
    assert await rows() == []
    assert await pool.keys(keys.delivery("*")) == []  # what has told of the rows is gone with them
    await run_jobs(example_task)
    records = [await pool.record(str(job_id)) for job_id in job_ids]
    assert [record and record.result for record in records] == [f"{number} (try 1)" for number in range(5)]


async def test_a_rollback_publishes_nothing(pool: TaskPool) -> None:
    """With the transaction go its jobs; those of a savepoint go with the savepoint."""

    async def fail_halfway() -> None:
        async with get_session_context() as session:
            await enqueue_task(example_task, "never", _session=session)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_halfway()
    async with get_session_context() as session:
        kept = await enqueue_task(example_task, "kept", _session=session)
        savepoint = await session.begin_nested()
        await enqueue_task(example_task, "never", _session=session)
        await savepoint.rollback()
    await get_outbox().relay.settle()
    assert await queued(pool) == [kept]


async def test_each_transaction_of_a_session_is_published(pool: TaskPool) -> None:
    """A session that goes on after its commit, or after a savepoint's, is served each time."""
    async with async_sessionmaker(get_engine())() as session:
        async with session.begin_nested():
            first = await enqueue_task(example_task, "first", _session=session)
        await session.commit()
        await get_outbox().relay.settle()
        assert await queued(pool) == [first]
        second = await enqueue_task(example_task, "second", _session=session)
        await session.commit()
        await get_outbox().relay.settle()
        assert await queued(pool) == [first, second]


async def test_what_is_wrong_is_an_error_at_the_call() -> None:
    """What cannot be stored is refused at once, and the transaction goes on without it."""
    async with get_session_context() as session:
        with pytest.raises(UnserializableError, match="'message'"):
            await enqueue_task(example_task, message=object(), _session=session)
        with pytest.raises(PayloadTooLargeError):
            await enqueue_task(example_task, message="x" * 600_000, _session=session)
    assert await rows() == []


async def test_a_job_in_the_outbox_can_be_looked_up(pool: TaskPool) -> None:
    """Its id is known from the commit on, wherever the job is."""
    [now] = await write(pool, 1)
    [later] = await write(pool, 1, defer_by=60)
    for _ in range(2):
        found = [await find_job(job_id) for job_id in (now, later, "nobody")]
        assert [record and record.status for record in found] == [JobStatus.PENDING, JobStatus.SCHEDULED, None]
        assert found[0] is not None
        assert (found[0].task, found[0].args, found[0].queue) == ("example_task", ("0",), "default")
        await get_outbox().relay.publish()


async def test_a_database_without_tables_has_no_outbox(pool: TaskPool) -> None:
    """A job can be looked up before the project was migrated; other errors of the database are told."""
    async with get_engine().begin() as connection:
        await connection.run_sync(JOB_OUTBOX.drop)
    assert await find_job("nobody") is None
    job_id = await pool.enqueue("example_task", ("x",))
    assert await find_job(str(job_id)) == await pool.record(str(job_id))
    async with get_engine().begin() as connection:
        await connection.execute(text("CREATE TABLE job_outbox (something_else INTEGER)"))
    with pytest.raises(DBAPIError, match="job_id"):
        await find_job("nobody")
    async with get_engine().begin() as connection:
        await connection.run_sync(JOB_OUTBOX.drop)


async def test_what_a_call_says_is_kept(pool: TaskPool) -> None:
    """Queue, due time, limit on the start, and idempotency key are those of the call, not of the publishing."""
    async with get_session_context() as session:
        options: dict[str, Any] = {"_queue": "slow", "_defer_by": 60, "_expires": 10, "_idempotency_key": "k"}
        first = await enqueue_task(example_task, "1", **options, _session=session)
        second = await enqueue_task(example_task, "2", **options, _session=session)
        called = timestamp_ms()
    await get_outbox().relay.settle()
    [(job_id, due)] = await pool.zrange(keys.queue("slow"), 0, -1, withscores=True)
    assert job_id.decode() == first
    assert called - 5_000 < due - 60_000 <= called + 1
    assert 60_000 < await pool.pttl(keys.job(str(first))) <= 70_000
    assert await pool.record(str(second)) is None


async def test_a_limit_on_the_start_counts_from_the_call(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A job whose limit is over before it could be published is not started any more, and that is known of it."""
    async with get_engine().begin() as connection:
        message = pool.prepare("example_task", ("too late",), expires=10)
        await connection.execute(insert(JOB_OUTBOX), _row(message) | {"expires": timestamp_ms() - 1})
    await get_outbox().relay.publish()
    async with asyncio.timeout(60):
        while await pool.exists(keys.job(message.job_id)):  # noqa: ASYNC110 - Redis drops it in a millisecond
            await asyncio.sleep(0.001)
    worker = await run_jobs(example_task)
    assert (worker.jobs_complete, worker.jobs_failed) == (0, 1)


async def test_an_id_of_ones_own_is_enqueued_once(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Of two rows with one id the second is dropped while the first one's job is known; the other rows go on."""
    async with get_session_context() as session:
        for _ in range(2):
            await enqueue_task(example_task, "same", _job_id="report", _session=session)
        other = await enqueue_task(example_task, "other", _session=session)
    await get_outbox().relay.settle()
    assert sorted(await queued(pool)) == sorted(["report", str(other)])
    worker = await run_jobs(example_task)
    assert worker.jobs_complete == 2


class SpyingPool(TaskPool):
    """A pool that remembers which jobs it has sent, in which order; its first call waits to be let go."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sent: list[str] = []
        self.called, self.go = asyncio.Event(), asyncio.Event()

    async def send(self, messages: Sequence[Message], **options: Any) -> list[str | None]:
        if not self.called.is_set():
            self.called.set()
            await self.go.wait()
        answers = await super().send(messages, **options)
        self.sent += [message.job_id for message in messages]
        return answers


async def test_relays_at_once_double_nothing_and_keep_the_order(database: str, pool: TaskPool) -> None:
    """While one publishes, the others leave the rows behind its own alone; rows leave in their order, each once."""
    job_ids = await write(pool, 1100)
    spy = make_client(get_redis_settings(), SpyingPool)
    relays = [Relay(JOB_OUTBOX, engine=get_engine, pool=spy, circuit=Circuit()) for _ in range(3)]
    tasks = {asyncio.create_task(relay.publish()): relay for relay in relays}
    await spy.called.wait()
    again: list[asyncio.Task[int]] = []
    if database.startswith("postgresql"):
        publishing = set(tasks)
        while len(publishing) > 1:  # whichever came first
            idle, publishing = await asyncio.wait(publishing, return_when=asyncio.FIRST_COMPLETED)
            again += [asyncio.create_task(tasks[task].publish()) for task in idle]
    spy.go.set()
    await asyncio.gather(*tasks, *again)
    assert await rows() == []
    assert spy.sent == job_ids
    assert sorted(await queued(pool)) == job_ids
    await close_client(spy)


async def test_a_worker_publishes_what_others_have_left(database: str, redis_url: str, pool: TaskPool) -> None:
    """Rows of a process that has died before it could publish them are found by any worker."""
    settings = f"{WorkerSettings.__module__}.WorkerSettings"
    async with command("arq", settings, DATABASE_URL=database, REDIS_URL=redis_url) as worker:
        await worker.until("Starting worker")
        [job_id] = await write(pool, 1)
        async with asyncio.timeout(60), pool.events.of(job_id) as end:
            while (await find_job(job_id) or pytest.fail("it is lost")).status is not JobStatus.SUCCESS:
                await end.wait()
            while await rows():  # the job may have ended before the row is gone
                await end.wait()


@pytest.mark.parametrize("point", ["taken, not sent", "sent, not committed", "committed"])
async def test_a_relay_that_is_killed_neither_loses_nor_doubles(
    point: str, database: str, redis_url: str, pool: TaskPool, run_jobs: RunJobs
) -> None:
    """Wherever the process is killed, each job runs once, also where nothing is left that tells of its first run."""
    job_ids = await write(pool, 3)
    environment = {"PYTHONPATH": TESTS, "DATABASE_URL": database, "REDIS_URL": redis_url}
    async with command("python", "-m", "integration.jobs.relayers", point, **environment) as process:
        assert await process.end() == -signal.SIGKILL, process.output
    assert len(await rows()) == (0 if point == "committed" else 3)
    assert await queued(pool) == ([] if point == "taken, not sent" else job_ids)

    runs: Counter[str] = Counter()

    async def example_task(ctx: dict[str, Any], _message: str) -> None:
        runs[ctx["job_id"]] += 1

    await run_jobs(example_task, keep_result=0)
    while await rows():
        await get_outbox().relay.publish()
    await run_jobs(example_task, keep_result=0)
    assert runs == dict.fromkeys(job_ids, 1)
    assert bool(await pool.keys(keys.delivery("*"))) == (point == "committed")


async def test_a_row_that_redis_refuses_lets_others_pass(pool: TaskPool, caplog: pytest.LogCaptureFixture) -> None:
    """It is set aside with the reason, and said; what stands behind it is published."""
    await pool.hset(keys.idempotency("odd"), "no", "id")  # type: ignore[misc] # a hash where a text is expected
    [before] = await write(pool, 1)
    [refused] = await write(pool, 1, idempotency_key="odd")
    [behind] = await write(pool, 1)
    await get_outbox().relay.publish()
    assert sorted(await queued(pool)) == sorted([before, behind])
    [row] = await rows()
    assert (row.job_id, "WRONGTYPE" in row.refused) == (refused, True)
    assert f"job {refused}" in caplog.text
    [later] = await write(pool, 1)
    await get_outbox().relay.publish()
    assert later in await queued(pool)


class FailingPool(TaskPool):
    """A pool whose connection is gone after the first call for a single job."""

    async def send(self, messages: Sequence[Message], **options: Any) -> list[str | None]:
        if len(messages) == 1:
            raise QueueUnavailable("gone")
        return await super().send(messages, **options)


async def test_redis_may_go_while_rows_are_tried_one_by_one(pool: TaskPool) -> None:
    """No row is blamed for it: all stay, and go out when Redis is back."""
    await pool.set(keys.queue("odd"), "no queue")
    job_ids = await write(pool, 2, queue="odd")
    failing = make_client(get_redis_settings(), FailingPool)
    with pytest.raises(QueueUnavailable):
        await Relay(JOB_OUTBOX, engine=get_engine, pool=failing, circuit=Circuit()).publish()
    await close_client(failing)
    assert [(row.job_id, row.refused) for row in await rows()] == [(job_id, None) for job_id in job_ids]


async def test_a_relay_that_is_cancelled_ends_what_it_has_begun(pool: TaskPool) -> None:
    """It goes on looking until it is cancelled; rows that it has taken by then are published."""
    relay = get_outbox().relay
    work = asyncio.create_task(relay.run())
    async with asyncio.timeout(60):
        for number in range(2):
            await write(pool, 1)
            while len(await queued(pool)) <= number:  # noqa: ASYNC110 - another task puts it there
                await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await relay.settle()
    assert await rows() == []


async def test_a_queue_that_takes_nothing_loses_nothing(pool: TaskPool) -> None:
    """What Redis has refused to queue is not taken for published, however often that is tried."""
    await pool.set(keys.queue("odd"), "no queue")
    job_ids = await write(pool, 2, queue="odd")
    for _ in range(3):
        with pytest.raises(JobError, match="WRONGTYPE"):
            await get_outbox().relay.publish()
    await pool.delete(keys.queue("odd"))
    await get_outbox().relay.publish()
    assert [job_id.decode() for job_id in await pool.zrange(keys.queue("odd"), 0, -1)] == job_ids


async def test_a_redis_that_refuses_everything_is_waited_for(pool: TaskPool, caplog: pytest.LogCaptureFixture) -> None:
    """With a full Redis the rows stay as they are, which is said once; when there is room they are published."""
    job_ids = await write(pool, 2)
    await pool.config_set("maxmemory", "1")
    try:
        for _ in range(3):
            relaying = get_outbox().relay.nudge()
            assert get_outbox().relay.nudge() is relaying
            await relaying
    finally:
        await pool.config_set("maxmemory", "0")
    assert caplog.text.count("stay in the outbox") == 1
    assert [row.refused for row in await rows()] == [None, None]
    await get_outbox().relay.publish()
    assert await queued(pool) == job_ids


async def test_a_database_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """A relay without its table says so once, and goes on looking."""
    async with get_engine().begin() as connection:
        await connection.run_sync(JOB_OUTBOX.drop)
    for _ in range(3):
        await get_outbox().relay.nudge()
    assert caplog.text.count("stay in the outbox") == 1
