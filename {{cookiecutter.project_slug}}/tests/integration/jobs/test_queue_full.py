"""A queue that holds as many jobs as it may: who is told, what waits elsewhere, and what is taken all the same."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
from arq import cron
from sqlalchemy import insert, select

from {{ cookiecutter.__package }}.infrastructure.database import get_engine, get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    DeadLetters,
    JobError,
    JobPriority,
    QueueFull,
    Queues,
    QueueUnavailable,
    TaskContext,
    TaskPool,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.circuit import Circuit
from {{ cookiecutter.__package }}.infrastructure.jobs.limits import Limit
from {{ cookiecutter.__package }}.infrastructure.jobs.outbox import _row
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import Unique
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    JOB_OUTBOX,
    close_task_pool,
    enqueue_task,
    get_outbox,
    get_task_pool,
)

from .limit_hands import TASK, Hand

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arq.typing import WorkerCoroutine
    from fastapi import FastAPI
    from httpx import AsyncClient

    from ..conftest import RunJobs
    from signing_in import SignIn

LIMIT = 3


@pytest.fixture(autouse=True)
async def limit(redis_url: str, tables: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:  # noqa: ARG001
    """Let a queue hold three jobs, by the setting."""
    monkeypatch.setenv("JOBS_MAX_QUEUE_LENGTH", str(LIMIT))
    get_settings.cache_clear()
    await close_task_pool()
    yield
    await close_task_pool()


@pytest.fixture
async def pool(limit: None) -> TaskPool:  # noqa: ARG001
    """Give the connection to the queue, as the setting makes it."""
    return await get_task_pool()


async def fill(pool: TaskPool, queue: str = "default", number: int = LIMIT) -> None:
    for _ in range(number):
        await pool.enqueue(TASK, queue=queue)


async def length(pool: TaskPool, queue: str = "default") -> int:
    return await Queues(pool).length(queue)


# Who is told


async def test_a_full_queue_is_said(pool: TaskPool) -> None:
    """Whoever enqueues is told which queue it is, and what its limit is; nothing is stored. Other queues take jobs."""
    await fill(pool, "mail")
    kept = await pool.keys()
    with pytest.raises(QueueFull, match=r"queue 'mail' is full: .* 3 jobs \(JOBS_MAX_QUEUE_LENGTH\)") as caught:
        await pool.enqueue(TASK, queue="mail")
    assert isinstance(caught.value, QueueUnavailable)
    with pytest.raises(QueueFull):
        await pool.enqueue_job(TASK, _queue_name=keys.queue("mail"))
    with pytest.raises(QueueFull):
        await enqueue_task("example_task", "hello", _queue="mail")
    assert sorted(await pool.keys()) == sorted(kept)
    assert await pool.enqueue(TASK)


async def test_what_runs_or_is_parked_counts(pool: TaskPool) -> None:
    """Whatever the priority; there is room again when a job has ended."""
    for priority in (JobPriority.LOW, JobPriority.NORMAL, JobPriority.CRITICAL):
        await pool.enqueue(TASK, job_id=priority.name, priority=priority)
    me = Hand(pool, Limit(concurrency=1))
    assert await me.start() == ["CRITICAL"]
    with pytest.raises(QueueFull):
        await pool.enqueue(TASK, priority=JobPriority.HIGH)
    await me.end("CRITICAL")
    assert await pool.enqueue(TASK, priority=JobPriority.HIGH)


async def test_a_call_that_does_not_fit_is_refused_as_a_whole(pool: TaskPool) -> None:
    """Many jobs of one call are stored all or none; the error says for how many there is room."""
    await fill(pool, number=1)
    with pytest.raises(QueueFull) as caught:
        await pool.enqueue_many(TASK, [{}] * LIMIT)
    assert caught.value.room == LIMIT - 1
    assert await length(pool) == 1
    assert len(await pool.enqueue_many(TASK, [{}] * (LIMIT - 1))) == LIMIT - 1


async def test_all_clients_together_enqueue_no_more_than_there_is_room_for(pool: TaskPool) -> None:
    """The length is looked at in the same step that stores the jobs."""
    answers = await asyncio.gather(*[pool.enqueue(TASK) for _ in range(20)], return_exceptions=True)
    assert sum(isinstance(answer, QueueFull) for answer in answers) == 20 - LIMIT
    assert await length(pool) == LIMIT


async def test_what_needs_no_room_is_answered_as_ever(pool: TaskPool) -> None:
    """The same id, the same job, or the same request again is no new job, and no error either."""
    await pool.enqueue(TASK, job_id="mine")
    await pool.enqueue(TASK, kwargs={"to": "ada"}, unique=Unique.PENDING)
    first = await pool.enqueue(TASK, idempotency_key="request")
    assert await pool.enqueue(TASK, job_id="mine") is None
    assert await pool.enqueue(TASK, kwargs={"to": "ada"}, unique=Unique.PENDING) is None
    assert await pool.enqueue(TASK, idempotency_key="request") == first


async def test_without_a_limit_no_queue_is_full(pool: TaskPool) -> None:
    """Zero stands for any number."""
    pool.max_queue_length = 0
    await fill(pool, number=LIMIT + 1)
    assert await length(pool) == LIMIT + 1


@pytest.mark.parametrize("fallback", ["inline", "outbox", "raise"])
async def test_a_full_queue_is_no_redis_that_is_away(fallback: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job neither runs in place nor goes to the outbox, and Redis is asked again for the next one."""
    monkeypatch.setenv("JOBS_FALLBACK", fallback)
    get_settings.cache_clear()
    await close_task_pool()
    pool = await get_task_pool()
    await fill(pool, "mail")
    for _ in range(2):
        with pytest.raises(QueueFull):
            await enqueue_task("example_task", "hello", _queue="mail")
    assert await enqueue_task("example_task", "hello")
    assert await length(pool) == 1
    assert await rows() == []


async def test_the_circuit_stays_closed() -> None:
    """A queue that is full is an answer; it closes a circuit that was open."""
    moment = 0.0
    circuit = Circuit(lambda: moment)
    full = QueueFull("mail", LIMIT, LIMIT)

    def call(error: Exception) -> None:
        with pytest.raises(type(error)), circuit.call():
            raise error

    states = []
    for error, later in ((full, 0.0), (QueueUnavailable("away"), 0.0), (full, 1e9)):
        moment += later
        call(error)
        states.append(circuit.is_open)
    assert states == [False, True, False]


async def test_a_request_is_answered_with_503(app: FastAPI, client: AsyncClient, sign_in: SignIn) -> None:
    """The problem says that the queue is full, and when to try again; jobs can be looked up meanwhile."""

    @app.post("/enqueue")
    async def enqueue() -> str | None:
        return await enqueue_task("example_task", "hello")

    ids = [(await client.post("/enqueue")).json() for _ in range(LIMIT)]
    response = await client.post("/enqueue")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "the queue is full; try again later"
    assert int(response.headers["retry-after"]) > 0
    looked_up = await client.get(f"/api/v1/jobs/{ids[0]}", headers=await sign_in(role="admin"))
    assert looked_up.json()["status"] == "pending"
    ready = (await client.get("/health/ready")).json()
    assert ready["checks"]["queue"] == ready["checks"]["queue"] | {"status": "up", "detail": {"depth": LIMIT}}


# What waits in the outbox


async def rows() -> list[Any]:
    async with get_engine().connect() as connection:
        return list((await connection.execute(select(JOB_OUTBOX).order_by(JOB_OUTBOX.c.id))).all())


async def write(pool: TaskPool, *queues: str) -> list[str]:
    """Write committed rows that nobody has been told of, a job for each of these queues; give their ids."""
    messages = [pool.prepare("example_task", ("hello",), queue=queue) for queue in queues]
    async with get_engine().begin() as connection:
        await connection.execute(insert(JOB_OUTBOX), [_row(message) for message in messages])
    return [message.job_id for message in messages]


async def queued(pool: TaskPool, queue: str) -> list[str]:
    return [job_id.decode() for job_id in await pool.zrange(keys.queue(queue), 0, -1)]


async def test_rows_of_a_full_queue_stay(pool: TaskPool, caplog: pytest.LogCaptureFixture) -> None:
    """In their order, not marked as refused; a commit is not disturbed, and the log says it once. Later they go."""
    await fill(pool, "mail")
    async with get_session_context() as session:
        ids = [await enqueue_task("example_task", "hello", _queue="mail", _session=session) for _ in range(2)]
    relay = get_outbox().relay
    for _ in range(3):
        await relay.nudge()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "jobs stay in the outbox for now: " + str(QueueFull("mail", LIMIT, LIMIT))
    ]
    assert [(row.job_id, row.refused) for row in await rows()] == [(job_id, None) for job_id in ids]
    assert await Queues(pool).purge("mail") == LIMIT
    assert await relay.publish() == 2
    assert await queued(pool, "mail") == ids
    assert await rows() == []


async def test_as_many_rows_go_as_there_is_room_for(pool: TaskPool) -> None:
    """The first ones; nothing is left of what was tried, and each becomes one job."""
    ids = await write(pool, *["mail"] * 5)
    await fill(pool, "mail", 1)
    relay = get_outbox().relay
    with pytest.raises(QueueFull):
        await relay.publish()
    assert (await queued(pool, "mail"))[1:] == ids[:2]
    assert [row.job_id for row in await rows()] == ids[2:]
    assert await pool.keys(keys.delivery("*")) == []
    await Queues(pool).purge("mail")
    assert await relay.publish() == 3
    assert await queued(pool, "mail") == ids[2:]


async def test_other_rows_do_not_wait_for_a_full_queue(pool: TaskPool) -> None:
    """However many rows stand before them, all of other queues are published."""
    await fill(pool, "mail")
    await write(pool, *["mail"] * 1_200)
    others = await write(pool, "reports", "mail", "reports", "default")
    with pytest.raises(QueueFull, match="'mail'"):
        await get_outbox().relay.publish()
    assert await queued(pool, "reports") == [others[0], others[2]]
    assert await queued(pool, "default") == [others[3]]
    assert len(await rows()) == 1_201


async def test_what_was_sent_before_the_queue_was_found_full_is_one_job(pool: TaskPool) -> None:
    """A row of one lane, sent before another lane's found no room, may stay; it is known to have been published."""
    first, second = (
        pool.prepare("example_task", ("hello",), queue="mail", priority=priority)
        for priority in (JobPriority.NORMAL, JobPriority.HIGH)
    )
    async with get_engine().begin() as connection:
        other = pool.prepare("example_task", ("hello",))
        await connection.execute(insert(JOB_OUTBOX), [_row(first), _row(second), _row(other)])
    await fill(pool, "mail", LIMIT - 1)
    relay = get_outbox().relay
    with pytest.raises(QueueFull):
        await relay.publish()
    assert first.job_id in await queued(pool, "mail")
    assert other.job_id in await queued(pool, "default")
    await pool.zremrangebyrank(keys.queue("mail"), 0, -1)  # all have run, and their results are not kept
    await pool.delete(keys.job(first.job_id))
    await relay.publish()
    assert await queued(pool, "mail") == []
    assert await pool.zrange(keys.queue("mail", JobPriority.HIGH), 0, -1) == [second.job_id.encode()]
    assert await rows() == []


async def test_two_full_queues_are_told_apart(pool: TaskPool) -> None:
    """What has room goes, also where several queues have none."""
    await fill(pool, "mail")
    await fill(pool, "reports", 2)
    ids = await write(pool, "mail", "reports", "default", "reports", "mail", "default")
    with pytest.raises(QueueFull):
        await get_outbox().relay.publish()
    assert await queued(pool, "default") == [ids[2], ids[5]]
    assert (await queued(pool, "reports"))[2:] == [ids[1]]
    assert [row.job_id for row in await rows()] == [ids[0], ids[3], ids[4]]


async def test_a_row_that_is_refused_is_still_told_from_those_that_wait(pool: TaskPool) -> None:
    """Redis refuses one row for itself, while the queue of others is full."""
    await fill(pool, "mail")
    ids = await write(pool, "mail", "broken", "default")
    await pool.set(keys.queue("broken"), "a text")
    with pytest.raises(QueueFull):
        await get_outbox().relay.publish()
    assert await queued(pool, "default") == [ids[2]]
    assert {row.job_id: row.refused is None for row in await rows()} == {ids[0]: True, ids[1]: False}


# What is taken all the same


async def test_what_was_promised_is_taken(pool: TaskPool) -> None:
    """A message that is exempt goes into a full queue, beside others of the call that do not."""
    await fill(pool)
    exempt = pool.prepare(TASK)._replace(exempt=True)
    assert await pool.send([exempt]) == [exempt.job_id]
    assert await pool.enqueue_job(TASK, _exempt=True)
    again = pool.prepare(TASK)._replace(exempt=True)
    with pytest.raises(QueueFull):
        await pool.send([again, pool.prepare(TASK)])
    assert again.job_id in await queued(pool, "default")


async def test_a_retry_goes_back_into_a_full_queue(pool: TaskPool) -> None:
    """It has its place there."""
    await fill(pool, number=1)
    me = Hand(pool, None)
    [job_id] = await me.start()
    await fill(pool, number=LIMIT - 1)
    await me.give_back(job_id)
    assert await length(pool) == LIMIT


async def test_a_tick_goes_into_a_full_queue(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A worker whose queue is full enqueues what is scheduled, and goes on."""
    ran: list[str] = []

    async def works(ctx: TaskContext) -> None:
        ran.append(ctx["job_id"])

    await pool.enqueue_many("works", [{}] * LIMIT)
    job = cron(cast("WorkerCoroutine", works), name="tick", run_at_startup=True, unique=False)
    await run_jobs(works, cron_jobs=[job], max_queue_length=LIMIT)
    assert len(ran) == LIMIT + 1


async def test_a_job_may_enqueue_only_what_there_is_room_for(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The limit holds for the client that a task finds in its context, too; the error is one like any other."""
    errors: list[str] = []

    async def spreads(ctx: TaskContext) -> None:
        try:
            for _ in range(LIMIT + 1):
                await ctx["redis"].enqueue_job("spreads", _queue_name=keys.queue("mail"))
        except JobError as error:
            errors.append(str(error))

    await pool.enqueue("spreads")
    await run_jobs(spreads, max_queue_length=LIMIT)
    assert errors == [str(QueueFull("mail", LIMIT, LIMIT))]
    assert await length(pool, "mail") == LIMIT


async def test_dead_letters_are_replayed_into_a_full_queue(pool: TaskPool, run_jobs: RunJobs) -> None:
    """They are in Redis already, so they take no more room there."""

    async def fails(_ctx: TaskContext) -> None:
        raise ValueError

    job_id = await pool.enqueue("fails")
    await run_jobs(fails, max_tries=1)
    await fill(pool)
    assert await DeadLetters(pool).replay(str(job_id))
    assert await length(pool) == LIMIT + 1
