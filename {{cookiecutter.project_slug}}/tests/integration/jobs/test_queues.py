"""Named queues on a real Redis: what is in them, pausing them with real workers, and purging them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from arq.utils import timestamp_ms

from {{ cookiecutter.__package }}.infrastructure.embedded import embedded_redis, free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidJobError,
    JobPriority,
    JobStatus,
    QueueRecord,
    Queues,
    QueueUnavailable,
    TaskPool,
    close_client,
    keys,
    messages,
    parse_redis_url,
)
from {{ cookiecutter.__package }}.infrastructure.jobs import queues as queues_module
from {{ cookiecutter.__package }}.infrastructure.jobs.cancelling import cancel_jobs
from {{ cookiecutter.__package }}.infrastructure.jobs.history import JobHistory
from {{ cookiecutter.__package }}.infrastructure.jobs.limits import Limit
from {{ cookiecutter.__package }}.infrastructure.jobs.queues import PURGED, count_jobs
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.client import Workflows
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.steps import Step

from .limit_hands import MINUTE, QUEUE, TASK, Hand, enqueue, lapse, now_of, outside, parked, turns
from .told_workers import ended, note, working

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext

    from ..conftest import RunJobs

MAIL = keys.queue("mail")
NOTHING = dict.fromkeys(JobPriority, 0)


@pytest.fixture
def queues(pool: TaskPool) -> Queues:
    """Give the queues of the test's Redis."""
    return Queues(pool)


# What is in them


async def some_of_each(pool: TaskPool) -> Hand:
    """Fill `mail` with two jobs that wait, three that are scheduled, two that run and one that is parked."""
    me = Hand(pool, Limit(concurrency=2), queues=(MAIL,))
    await enqueue(pool, "1 runs", "2 runs", "3 parked", queue="mail", priority=JobPriority.HIGH)
    await me.start()
    await enqueue(pool, "retrying", queue="mail")
    await me.claim()
    await me.give_back("retrying", delay=MINUTE)
    await enqueue(pool, "soon", queue="mail", defer_by=10)
    await enqueue(pool, "tomorrow", queue="mail", defer_by=86_400, priority=JobPriority.CRITICAL)
    await enqueue(pool, "due", queue="mail", priority=JobPriority.LOW)
    await enqueue(pool, "due too", queue="mail", expires=60)
    return me


async def test_a_queue_is_described(pool: TaskPool, queues: Queues) -> None:
    """Jobs are counted by what they wait for, over all priorities; those of other queues are not."""
    await some_of_each(pool)
    await enqueue(pool, "elsewhere")
    found = await queues.get("mail")
    low, normal, high, critical = JobPriority
    assert found == QueueRecord(
        "mail",
        waiting=2,
        scheduled=3,
        parked=1,
        running=2,
        age=found.age,
        priorities={low: 1, normal: 3, high: 1, critical: 1},
    )
    assert found.depth == await queues.length("mail") == 6
    assert await queues.length() == 1
    assert await queues.get("empty") == QueueRecord("empty", priorities=NOTHING)
    assert await queues.length("empty") == 0


async def test_a_lost_workers_job_waits(pool: TaskPool, queues: Queues) -> None:
    """It counts as running as long as its lease lasts, and as waiting when that has lapsed."""
    await enqueue(pool, "a", "b")
    await Hand(pool, None).start()
    assert await queues.length() == 0
    await lapse(pool, "a")
    found = await queues.get()
    assert (found.waiting, found.running) == (1, 1)


@pytest.mark.parametrize("where", ["in a lane", "parked"])
async def test_the_age_is_that_of_the_oldest_job_that_is_due(where: str, pool: TaskPool, queues: Queues) -> None:
    """It counts from when the job was due, whatever its priority; what is scheduled has none."""
    await enqueue(pool, "later", defer_by=60)
    assert (await queues.get()).age is None
    moment = await now_of(pool)
    urgent = keys.queue(priority=JobPriority.CRITICAL)
    name = urgent if where == "in a lane" else keys.outside(urgent)
    await pool.zadd(keys.queue(priority=JobPriority.LOW), {"newer": moment - 90_000})
    await pool.zadd(name, {"oldest": moment - 100_000})
    found = await queues.get()
    assert found.age is not None
    assert 100 <= found.age <= 100 + (await now_of(pool) - moment) / 1000


async def test_all_queues_are_listed(pool: TaskPool, queues: Queues) -> None:
    """Those that have ever had a job, or are paused, by name; `default` comes first, and is always there."""
    assert await queues.list() == [QueueRecord("default", priorities=NOTHING)]
    for priority in JobPriority:
        await enqueue(pool, f"mail {priority}", queue="mail", priority=priority)
    await enqueue(pool, "report", queue="a-report")
    await pool.cancel("report")
    await queues.pause("mail")
    await queues.pause("unused")
    listed = await queues.list()
    assert [(each.name, each.depth, each.paused) for each in listed] == [
        ("default", 0, False),
        ("a-report", 0, False),
        ("mail", 4, True),
        ("unused", 0, True),
    ]
    assert listed[2] == replace(await queues.get("mail"), age=listed[2].age)


async def test_each_question_is_one_round_trip(pool: TaskPool, queues: Queues) -> None:
    """However many jobs there are, and in how many queues."""

    async def reads() -> int:
        return int((await pool.info("stats"))["total_reads_processed"])

    for queue in ("mail", "reports", "default"):
        await pool.enqueue_many(TASK, [{}] * 1_500, queue=queue)
        await pool.enqueue_many(TASK, [{}] * 1_500, queue=queue, defer_by=60)
    questions: list[Callable[[], Awaitable[object]]]
    questions = [queues.list, queues.get, queues.length, queues.paused, queues.pause, queues.resume]
    for question in questions:
        await question()  # by now the scripts are loaded
    for question in questions:
        before = await reads()
        await question()
        assert await reads() - before == 2, question  # with the one that asks
    before = await reads()
    assert await count_jobs(pool, [QUEUE, MAIL, keys.queue("reports")]) == 9_000
    assert await reads() - before == 2


async def test_all_jobs_are_counted_together(pool: TaskPool, queues: Queues) -> None:
    """In every queue: those that wait, run, or are parked."""
    assert await queues.total() == 0
    await some_of_each(pool)
    await enqueue(pool, "a", priority=JobPriority.LOW)
    assert await queues.total() == 9


async def test_a_worker_tells_how_many_jobs_its_queues_have(pool: TaskPool, queues: Queues, run_jobs: RunJobs) -> None:
    """In all lanes, and what is parked from them; other queues are not its own."""
    await queues.pause("mail")
    for priority in JobPriority:
        await pool.enqueue("note", queue="mail", priority=priority)
    await pool.zadd(keys.outside(MAIL), {"parked": 1})
    await pool.enqueue("note", queue="reports")
    worker = await run_jobs(note, queues="mail")
    assert (worker.presence.record.queued, worker.jobs_complete) == (5, 0)


@pytest.mark.parametrize("name", ["", "no such@queue", "a b"])
async def test_a_name_that_no_queue_can_have_is_refused(name: str, queues: Queues) -> None:
    """Whatever is to be done with it; the message says what a name may be."""
    for question in (queues.get, queues.length, queues.purge, queues.pause, queues.resume):
        with pytest.raises(InvalidJobError, match="letters, digits"):
            await question(name)


async def test_a_redis_that_is_away_is_said() -> None:
    """Nobody waits for long, and the error is the one that every caller knows."""
    pool = TaskPool.from_settings(parse_redis_url(f"redis://127.0.0.1:{free_port()}"))
    queues = Queues(pool)
    questions: list[Callable[[], Awaitable[object]]]
    questions = [queues.list, queues.get, queues.length, queues.total, queues.purge, queues.pause, queues.resume]
    for question in (*questions, queues.paused):
        with pytest.raises(QueueUnavailable):
            await question()
    await close_client(pool)


# Pausing them


async def test_a_paused_queue_starts_nothing(pool: TaskPool, queues: Queues) -> None:
    """Its running job goes on and ends; other queues go on; what comes is taken, and starts when it is resumed."""
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def runs(_ctx: TaskContext) -> None:
        begun.set()
        await goes_on.wait()

    async with working(note, runs), working(note, runs):
        running = await pool.enqueue("runs", queue="mail")
        await begun.wait()
        await queues.pause("mail")
        waiting = [
            await pool.enqueue("note", queue="mail", priority=priority, job_id=priority.name)
            for priority in JobPriority
        ]
        goes_on.set()
        assert (await ended(pool, running)).status is JobStatus.SUCCESS
        for _ in range(3):
            assert (await ended(pool, await pool.enqueue("note"))).status is JobStatus.SUCCESS
        assert await queues.length("mail") == 4
        assert await queues.paused() == {"mail"}
        await queues.resume("mail")
        for job_id in waiting:
            assert (await ended(pool, job_id)).status is JobStatus.SUCCESS
        assert await queues.paused() == set()


async def test_a_paused_queue_stays_paused_for_new_workers(pool: TaskPool, queues: Queues) -> None:
    """One that starts later knows, too; a deferred job whose time came meanwhile starts when the queue is resumed."""
    await queues.pause("mail")
    first = await pool.enqueue("note", queue="mail", defer_by=0.05)
    async with working(note):
        assert (await ended(pool, await pool.enqueue("note", defer_by=0.1))).status is JobStatus.SUCCESS
        assert await queues.length("mail") == 1
        await queues.resume("mail")
        assert (await ended(pool, first)).status is JobStatus.SUCCESS


async def test_a_paused_queue_stays_paused_when_redis_restarts(tmp_path: Path) -> None:
    """It is kept like the jobs themselves."""
    port = free_port()
    with embedded_redis(tmp_path / "redis", port) as url:
        pool = TaskPool.from_settings(parse_redis_url(url))
        await Queues(pool).pause("mail")
        await close_client(pool)
    with embedded_redis(tmp_path / "redis", port) as url:
        pool = TaskPool.from_settings(parse_redis_url(url))
        assert await Queues(pool).paused() == {"mail"}
        await close_client(pool)


# Purging them


async def cancelled(pool: TaskPool) -> set[str]:
    """Give the ids of the jobs that the history calls cancelled."""
    return {job.job_id for job in (await JobHistory(pool).list("cancelled", limit=1_000)).jobs}


async def test_a_purge_removes_what_waits(pool: TaskPool, queues: Queues) -> None:
    """In all lanes, deferred or parked, each recorded as cancelled and counted; what runs goes on, and can end."""
    me = await some_of_each(pool)
    await enqueue(pool, "elsewhere")
    gone = {"3 parked", "retrying", "soon", "tomorrow", "due", "due too"}
    assert await queues.purge("mail") == 6
    assert await cancelled(pool) == gone
    for job_id in gone:
        record = await pool.record(job_id)
        assert record
        assert (record.status, record.error) == (JobStatus.CANCELLED, f"CancelledError: {PURGED}")
    assert await queues.get("mail") == QueueRecord("mail", running=2, priorities=NOTHING)
    assert await queues.length() == 1
    await me.end("1 runs", "2 runs")
    assert await pool.get(keys.result("1 runs")) == b"result"
    assert await queues.purge("mail") == 0


async def test_an_id_can_be_used_again_after_a_purge(pool: TaskPool, queues: Queues) -> None:
    """A new job of that id is enqueued and runs."""
    await enqueue(pool, "mine")
    assert await queues.purge() == 1
    assert await pool.enqueue("note", job_id="mine") == "mine"
    async with working(note):
        assert (await ended(pool, "mine")).status is JobStatus.SUCCESS


async def test_a_purge_goes_step_by_step(pool: TaskPool, queues: Queues) -> None:
    """Of 500 jobs at most, each of which is told."""
    for priority in (JobPriority.NORMAL, JobPriority.HIGH):
        await pool.enqueue_many(TASK, [{}] * 600, priority=priority)
    told: list[int] = []
    assert await queues.purge(progress=told.append) == 1_200
    assert told == [500, 1_000, 1_200]
    assert await pool.zcard(keys.history("cancelled")) == 1_200
    assert await pool.keys(keys.job("*")) == []


@pytest.mark.parametrize("defer_by", [None, 30, 7_200])
async def test_a_purge_spares_what_is_enqueued_meanwhile(
    defer_by: float | None, pool: TaskPool, queues: Queues
) -> None:
    """However much comes, it ends; what was there is gone, and what came stays, also what is due earlier."""
    await pool.enqueue_many(TASK, [{}] * 1_000, defer_by=3_600)
    await pool.enqueue_many(TASK, [{}] * 1_000)
    came: set[str | None] = set()

    async def enqueue_more() -> None:
        while True:
            came.update(await pool.enqueue_many(TASK, [{}] * 100, defer_by=defer_by))

    coming: list[asyncio.Task[None]] = []

    def begin(_count: int) -> None:
        if not coming:
            coming.append(asyncio.create_task(enqueue_more()))

    async with asyncio.timeout(60):
        assert await queues.purge(progress=begin) == 2_000
    coming[0].cancel()
    await asyncio.gather(*coming, return_exceptions=True)
    assert came
    for job_id in list(came)[:50]:
        record = await pool.record(str(job_id))
        assert record
        assert record.status is not JobStatus.CANCELLED
    assert await queues.length() >= len(came)


async def test_a_purge_spares_what_a_worker_claims_meanwhile(
    pool: TaskPool, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is started after the purge has found it, and before it is cancelled, is neither ended nor counted."""
    for number in range(20):
        await pool.enqueue(TASK, job_id=f"{number:02}")
    me = Hand(pool, None)
    claimed: list[str] = []

    async def claim_first(client: TaskPool, job_ids: Sequence[str], **options: Any) -> list[str]:
        claimed.extend(await me.start(5))
        return await cancel_jobs(client, job_ids, **options)

    monkeypatch.setattr(queues_module, "cancel_jobs", claim_first)
    assert await queues.purge() == 15
    assert claimed == [f"{number:02}" for number in range(5)]
    assert await cancelled(pool) == {f"{number:02}" for number in range(5, 20)}
    await me.end(*claimed)
    assert await pool.get(keys.result("00")) == b"result"


async def test_a_purge_finds_what_gets_its_turn_meanwhile(pool: TaskPool, queues: Queues) -> None:
    """Each job that is cancelled lets a parked one go back to its lane, where the purge finds that, too."""
    limit = Limit(jobs=1, per=3_600_000_000)
    me = Hand(pool, limit)
    await enqueue(pool, *map(str, range(700)))
    assert len(await me.start()) == 1
    await me.start()
    assert (len(await turns(pool)), len(await parked(pool))) == (1, 698)
    assert await queues.purge() == 699
    assert await outside(pool) == {}
    assert await parked(pool) == await turns(pool) == []
    assert await queues.get() == QueueRecord("default", running=1, priorities=NOTHING)


async def test_a_purge_counts_members_that_go_with_others(
    pool: TaskPool, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job that waited in the queue counts, although one ends its whole group; what waited for others does not."""
    monkeypatch.setattr(pool, "registry", None)
    workflows = Workflows(pool)
    elsewhere = [Step(TASK, queue="elsewhere")] * 3
    group = await workflows.group([*[TASK] * 700, *elsewhere], callback=TASK, on_failure="cancel")
    chain = await workflows.chain([TASK] * 3)
    assert await queues.length() == 701
    assert await queues.purge() == 701
    for workflow_id in (group, chain):
        record = await workflows.get(workflow_id)
        assert record is not None
        assert record.cancelled == record.total
    assert len(await cancelled(pool)) == 707
    assert [await queues.length(queue) for queue in ("default", "elsewhere")] == [0, 0]


async def test_a_purge_of_nothing_is_zero(queues: Queues) -> None:
    """Nothing is told of it either."""
    told: list[int] = []
    assert await queues.purge("empty", progress=told.append) == 0
    assert told == []


async def test_a_purge_does_not_trust_a_clients_clock(
    pool: TaskPool, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client whose clock is an hour ahead has enqueued for now is removed all the same."""
    monkeypatch.setattr(messages, "timestamp_ms", lambda: timestamp_ms() + 3_600_000)
    await pool.enqueue(TASK)
    monkeypatch.undo()
    assert await queues.purge() == 1
