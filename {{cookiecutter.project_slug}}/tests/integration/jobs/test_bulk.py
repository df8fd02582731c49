"""Running many jobs again, cancelling and discarding them, on a real Redis: what is counted is what is done."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.embedded import free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    ArqQueueBackend,
    BulkAction,
    BulkResult,
    DeadLetters,
    FailureCause,
    InvalidQueryError,
    JobHistory,
    JobManager,
    JobStatus,
    QueueUnavailable,
    TaskPool,
    TaskRegistry,
    bulk,
    codec,
    dead_letters,
    keys,
    parse_redis_url,
    scripts,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.cancelling import cancel_jobs
from {{ cookiecutter.__package }}.infrastructure.jobs.outcomes import result_data
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import Unique
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task

from .limit_hands import Hand
from processes import command

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from {{ cookiecutter.__package }}.infrastructure.jobs import HistoryRecord, TaskContext

    from ..conftest import RunJobs
    from processes import Process

TESTS = str(Path(__file__).parents[2])
DIED = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
DIED_MS = round(DIED.timestamp() * 1000)


async def charge(ctx: TaskContext, customer: int) -> int:  # noqa: ARG001
    return customer


async def refund(ctx: TaskContext, customer: int) -> int:  # noqa: ARG001
    return customer


async def collect(ctx: TaskContext, results: list[Any]) -> None: ...


@pytest.fixture
def manager(pool: TaskPool) -> JobManager:
    """Give a manager that knows the tasks."""
    pool.registry = TaskRegistry([charge, refund, collect])
    return JobManager(ArqQueueBackend(pool))


async def kill(pool: TaskPool, customers: Iterable[int], task: str = "charge", **data: Any) -> None:
    """Write a dead letter for each customer as a worker does, a second apart."""
    async with pool.pipeline(transaction=False) as pipe:
        for customer in customers:
            job_id, died = f"{task} {customer}", DIED_MS + 1_000 * customer
            known: dict[str, Any] = {"task": task, "args": (customer,), "kwargs": {}, "queue_key": keys.queue()}
            known |= {"tries": 1, "enqueued": died - 2, "started": died - 1, "finished": died, "success": False}
            known |= {"result": ValueError("no luck"), "cause": FailureCause.EXCEPTION} | data
            pipe.set(keys.dead_letter(job_id), codec.serialize(result_data(job_id=job_id, **known)))
            pipe.zadd(keys.DEAD, {job_id: died})
        await pipe.execute()


async def counted_and_done(manager: JobManager, action: BulkAction, **options: Any) -> BulkResult:
    """Do it, after having counted what would be done: that must be the same."""
    counted = await manager.bulk(action, dry_run=True, **options)
    result = await manager.bulk(action, **options)
    assert counted.dry_run
    assert not result.dry_run
    same = [(each.action, each.matched, each.done, each.refused, each.more) for each in (counted, result)]
    assert same[0] == same[1]
    return result


async def customers_in_queue(pool: TaskPool) -> list[int]:
    """Give the customers of the jobs in the queue, in their order."""
    job_ids = await pool.zrange(keys.queue(), 0, -1)
    return [codec.deserialize(await pool.get(keys.job(job_id.decode())))["a"][0] for job_id in job_ids]


def acting(action: str, redis_url: str) -> AbstractAsyncContextManager[Process]:
    """Do it in a process of its own."""
    return command("python", "-m", "integration.jobs.bulk_actors", action, PYTHONPATH=TESTS, REDIS_URL=redis_url)


async def all_jobs(pool: TaskPool, status: JobStatus) -> list[HistoryRecord]:
    page = await JobHistory(pool).list(status, limit=1000)
    found = [*page.jobs]
    while page.cursor:
        page = await JobHistory(pool).list(status, limit=1000, cursor=page.cursor)
        found += page.jobs
    return found


async def statuses(pool: TaskPool, *job_ids: str | None) -> list[str]:
    records = [await pool.record(str(job_id)) for job_id in job_ids]
    return [record.status.value for record in records if record]


# Dead letters


async def test_dead_letters_are_retried_by_filters(pool: TaskPool, manager: JobManager) -> None:
    """Task, queue, cause and time choose them; a dry run changes nothing and says what will be done."""
    await kill(pool, range(6))
    await kill(pool, [6], task="refund")
    await kill(pool, [7], queue_key=keys.queue("mail"))
    await kill(pool, [8], cause=FailureCause.TIMEOUT)
    since, until = DIED + timedelta(seconds=2), DIED + timedelta(seconds=5)
    counted = await manager.bulk("retry", task="charge", since=since, until=until, dry_run=True)
    assert counted == BulkResult(BulkAction.RETRY, matched=3, done=3, dry_run=True)
    assert await DeadLetters(pool).count() == 9
    await counted_and_done(manager, BulkAction.RETRY, task="charge", since=since, until=until, status="failed")
    assert await customers_in_queue(pool) == [2, 3, 4]
    for filters in ({"task": "refund"}, {"queue": "mail"}, {"cause": "timeout"}):
        assert (await counted_and_done(manager, BulkAction.RETRY, **filters)).done == 1
    assert await DeadLetters(pool).count() == 3


async def test_dead_letters_are_discarded_by_filters(pool: TaskPool, manager: JobManager) -> None:
    """They are gone, and nothing is enqueued."""
    await kill(pool, range(5))
    await kill(pool, [7], task="refund")
    assert (await counted_and_done(manager, BulkAction.DISCARD, task="charge")).done == 5
    assert await DeadLetters(pool).count() == 1
    assert await customers_in_queue(pool) == []


@pytest.mark.parametrize("limit", [1, 99, 100, 101, 249, 250, 251, None])
async def test_no_more_is_done_than_the_limit(limit: int | None, pool: TaskPool, manager: JobManager) -> None:
    """The earliest are dealt with, to the job; it is said whether there are more."""
    await kill(pool, range(250))
    result = await counted_and_done(manager, BulkAction.RETRY, limit=limit)
    done = min(250, limit or 250)
    assert (result.matched, result.done, result.more) == (done, done, done < 250)
    assert sorted(await customers_in_queue(pool)) == list(range(done))
    progress: list[int] = []
    rest = await manager.bulk(BulkAction.DISCARD, progress=progress.append)
    assert rest.done == 250 - done
    assert progress[-1:] == ([250 - done] if done < 250 else [])


async def test_what_cannot_be_replayed_stays_and_is_counted_before(
    pool: TaskPool, manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged letter; a unique job that is there; and the second of two that are the same. The limit passes them."""
    pool.registry = TaskRegistry([task(name="charge", unique=Unique.FINISHED)(charge), refund])
    await kill(pool, range(3))
    await kill(pool, [3, 4], args=(3,))
    await pool.zadd(keys.DEAD, {"damaged": DIED_MS})
    await pool.set(keys.dead_letter("damaged"), b"\xc1")
    await pool.enqueue("charge", (1,))
    counted = await manager.bulk(BulkAction.RETRY, dry_run=True)
    assert (counted.matched, counted.done, counted.refused) == (6, 3, 3)
    with caplog.at_level(logging.WARNING):
        result = await counted_and_done(manager, BulkAction.RETRY, limit=3)
    assert (result.matched, result.done, result.refused, result.more) == (5, 3, 2, True)
    assert "dead letter damaged stays" in caplog.text
    assert "is unique" in caplog.text
    result = await counted_and_done(manager, BulkAction.RETRY)
    assert (result.matched, result.done, result.refused) == (3, 0, 3)
    assert await DeadLetters(pool).count() == 3


async def test_two_retries_at_once_replay_each_once(pool: TaskPool, manager: JobManager, run_jobs: RunJobs) -> None:
    """Of thousands, with all actors in the middle of it; together they count what was done."""
    await kill(pool, range(3_000))
    results = await asyncio.gather(*[manager.bulk(BulkAction.RETRY) for _ in range(4)])
    assert sum(result.done for result in results) == 3_000
    assert sum(result.refused for result in results) == 0
    assert sum(result.matched for result in results) > 3_000  # they met
    assert await DeadLetters(pool).count() == 0
    await run_jobs(charge)
    ended = [await pool.record(line.job_id) for line in await all_jobs(pool, JobStatus.SUCCESS)]
    assert Counter(record.result for record in ended if record) == Counter(range(3_000))


@pytest.mark.parametrize("action", ["retry", "cancel", "discard"])
async def test_a_killed_actor_leaves_the_rest_to_the_next(
    action: str, redis_url: str, pool: TaskPool, manager: JobManager
) -> None:
    """Nothing is lost, and nothing is done twice, wherever in the middle its process was killed."""
    if action == "cancel":
        await manager.enqueue_batch("charge", [{"customer": customer} for customer in range(5_000)])
    else:
        await kill(pool, range(5_000))
    async with acting(action, redis_url) as actor:
        await actor.until("done ")
        actor.process.kill()
        await actor.process.wait()
    left = await pool.zcard(keys.queue() if action == "cancel" else keys.DEAD)
    assert 0 < left < 5_000
    assert (await manager.bulk(action)).done == left
    assert await DeadLetters(pool).count() == 0
    if action == "cancel":
        assert (await JobHistory(pool).counts())[JobStatus.CANCELLED] == 5_000
        assert await pool.zcard(keys.queue()) == 0
    else:
        assert sorted(await customers_in_queue(pool)) == (list(range(5_000)) if action == "retry" else [])


async def test_actors_at_cross_purposes(redis_url: str, pool: TaskPool, manager: JobManager) -> None:
    """One process retries what another one discards: each dead letter becomes a job or is gone, not both."""
    await kill(pool, range(4_000))
    async with acting("retry", redis_url) as other:
        await other.until("done ")
        mine = await manager.bulk(BulkAction.DISCARD)
        assert await other.end() == 0
    retried = await customers_in_queue(pool)
    assert len(retried) == len(set(retried)) == 4_000 - mine.done
    assert await DeadLetters(pool).count() == 0


async def test_what_dies_meanwhile_is_left_alone(
    pool: TaskPool, manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is retried and fails again at once is not retried again and again."""
    await kill(pool, range(250))
    replay = dead_letters.DeadLetters.replay_some

    async def and_die_again(self: DeadLetters, letters: Any) -> Any:
        problems = await replay(self, letters)
        await kill(pool, [0], task="refund", args=(1,), finished=0)
        await pool.zadd(keys.DEAD, {"refund 0": DIED_MS + 10_000_000_000})
        return problems

    monkeypatch.setattr(dead_letters.DeadLetters, "replay_some", and_die_again)
    assert (await manager.bulk(BulkAction.RETRY)).done == 250
    assert await DeadLetters(pool).count() == 1


# Jobs that have not ended


async def test_waiting_jobs_are_cancelled_by_filters(pool: TaskPool, manager: JobManager) -> None:
    """Task, queue, status and the time of enqueueing choose them; each gets a record of its own."""
    now = await manager.enqueue("charge", 1)
    later = await manager.enqueue_delayed("charge", 2, delay=3600)
    other = await manager.enqueue("refund", 3)
    mail = await manager.enqueue("charge", 4, queue="mail")
    begin = datetime.now(UTC)
    assert (await counted_and_done(manager, BulkAction.CANCEL, task="charge", status="scheduled")).done == 1
    assert (await counted_and_done(manager, BulkAction.CANCEL, queue="mail", until=begin + timedelta(1))).done == 1
    assert (await counted_and_done(manager, BulkAction.CANCEL, since=begin + timedelta(1))).matched == 0
    assert await statuses(pool, now, later, other, mail) == ["pending", "cancelled", "pending", "cancelled"]
    assert (await counted_and_done(manager, BulkAction.CANCEL, status=["pending", "retrying"])).done == 2
    assert await statuses(pool, now, other) == ["cancelled", "cancelled"]


@pytest.mark.parametrize("terminate", [False, True])
async def test_running_jobs_are_ended_only_if_that_is_wanted(
    terminate: bool,  # noqa: FBT001
    pool: TaskPool,
    manager: JobManager,
) -> None:
    """They are left out otherwise; those that are asked to end are counted as done."""
    running = await manager.enqueue("charge", 1)
    await Hand(pool, None).start()
    await manager.enqueue("charge", 2)
    result = await counted_and_done(manager, BulkAction.CANCEL, terminate=terminate)
    assert (result.matched, result.done, result.refused) == ((2, 2, 0) if terminate else (1, 1, 0))
    assert (await pool.zscore(keys.ABORTS, str(running)) is not None) is terminate
    if terminate:
        assert (await manager.bulk("cancel", status="running", terminate=True)).done == 1


async def test_a_job_that_begins_meanwhile_stays(
    pool: TaskPool, manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted as refused; one that has ended meanwhile is not."""
    await manager.enqueue("charge", 1)
    gone = await manager.enqueue("charge", 2)
    waits = await manager.enqueue_delayed("charge", 3, delay=60)

    async def late(pool: TaskPool, job_ids: Any, **options: Any) -> Any:
        await pool.cancel(str(gone))
        await Hand(pool, None).start()
        return await cancel_jobs(pool, job_ids, **options)

    monkeypatch.setattr(bulk, "cancel_jobs", late)
    result = await manager.bulk(BulkAction.CANCEL)
    assert (result.matched, result.done, result.refused) == (3, 1, 1)
    assert await statuses(pool, waits) == ["cancelled"]


async def test_thousands_of_jobs_are_cancelled(pool: TaskPool, manager: JobManager) -> None:
    """Over several steps, up to the limit; what is enqueued after the call has begun is left alone."""
    await manager.enqueue_batch("charge", [{"customer": n} for n in range(2_300)], batch_size=500)
    await manager.enqueue_batch("refund", [{"customer": n} for n in range(700)], batch_size=500, defer_by=60)
    result = await counted_and_done(manager, BulkAction.CANCEL, limit=1_900)
    assert (result.done, result.more) == (1_900, True)

    def enqueue_another(_done: int) -> None:
        adding.append(asyncio.ensure_future(manager.enqueue_delayed("charge", -1, delay=86_400)))

    adding: list[asyncio.Future[str | None]] = []
    rest = await manager.bulk(BulkAction.CANCEL, progress=enqueue_another)
    assert rest.done == 1_100
    assert set(await statuses(pool, *await asyncio.gather(*adding))) == {"scheduled"}


async def test_actors_cancel_each_job_once(pool: TaskPool, manager: JobManager) -> None:
    """Two at once share the work; the history has one line for each job."""
    await manager.enqueue_batch("charge", [{"customer": n} for n in range(2_000)], batch_size=500)
    results = await asyncio.gather(*[manager.bulk(BulkAction.CANCEL) for _ in range(3)])
    assert sum(result.done for result in results) == 2_000
    assert (await JobHistory(pool).counts())[JobStatus.CANCELLED] == 2_000
    assert len({line.job_id for line in await all_jobs(pool, JobStatus.CANCELLED)}) == 2_000


@pytest.mark.parametrize(("policy", "left"), [("fail", 6), ("cancel", 0), ("continue", 6)])
async def test_the_jobs_of_groups_are_counted_each(policy: str, left: int, pool: TaskPool, manager: JobManager) -> None:
    """Also where the end of one member ends the others: those that are meant count, the others end with them."""
    members: list[Any] = [("charge", (number,)) for number in range(4)]
    members += [("refund", (number,)) for number in range(2)]
    groups = [await manager.group(members, "collect", on_failure=policy) for _ in range(3)]
    result = await counted_and_done(manager, BulkAction.CANCEL, task="charge")
    assert (result.matched, result.done) == (12, 12)
    assert await pool.zcard(keys.queue()) == left
    assert (await counted_and_done(manager, BulkAction.CANCEL)).done == left
    callbacks = 3 if policy == "continue" else 0  # due once all members have ended
    assert (await counted_and_done(manager, BulkAction.CANCEL)).done == callbacks
    for group in groups:
        record = await manager.get_workflow(group)
        assert record is not None
        assert record.status is JobStatus.CANCELLED


async def test_a_large_group_is_counted_as_one_goes(pool: TaskPool, manager: JobManager) -> None:
    """The first step ends the rest of the group: the later steps find it as they would have without that."""
    await manager.group([("charge", (number,)) for number in range(1_200)], on_failure="cancel")
    result = await counted_and_done(manager, BulkAction.CANCEL)
    assert (result.matched, result.done, result.refused) == (1_200, 1_200, 0)
    assert await pool.zcard(keys.queue()) == 0


async def test_a_running_job_is_counted_once(
    pool: TaskPool, manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it moves to a later place whenever its lease is renewed."""
    await manager.enqueue_batch("charge", [{"customer": number} for number in range(3)])
    await Hand(pool, None).start()

    async def and_renew(pool: TaskPool, job_ids: Any, **options: Any) -> Any:
        for job_id in job_ids:
            await pool.zincrby(keys.queue(), 1_000, job_id)
        return await cancel_jobs(pool, job_ids, **options)

    monkeypatch.setattr(bulk, "cancel_jobs", and_renew)
    monkeypatch.setattr(scripts, "BATCH", 1)
    result = await manager.bulk(BulkAction.CANCEL, terminate=True)
    assert (result.matched, result.done) == (3, 3)


async def test_chains_end_with_their_waiting_step(pool: TaskPool, manager: JobManager) -> None:
    """Steps that wait for it stand in no queue: they are not counted, and are cancelled with it."""
    chain = await manager.chain([("charge", (1,), {}), ("refund", (2,), {})])
    assert (await counted_and_done(manager, BulkAction.CANCEL)).done == 1
    assert await statuses(pool, keys.workflow_job(chain, 0), keys.workflow_job(chain, 1)) == ["cancelled"] * 2


# Mistakes


@pytest.mark.parametrize(
    ("action", "options", "problem"),
    [
        ("stop", {}, "action='stop': give one of retry, cancel, discard"),
        ("retry", {"status": "success"}, "status='success': dead letters have failed"),
        ("discard", {"terminate": True}, "terminate=True: dead letters have ended"),
        ("retry", {"cause": "fate"}, "cause='fate': give one of"),
        ("cancel", {"cause": "timeout"}, "cause='timeout': only dead letters have one"),
        ("cancel", {"status": "failed"}, "status='failed': they have ended"),
        ("cancel", {"status": "running"}, "status='running': terminate=True ends those that run"),
        ("cancel", {"status": "odd"}, "status='odd': give one of"),
        ("cancel", {"since": DIED, "until": DIED - timedelta(1)}, "is later than until="),
        ("retry", {"limit": 0}, "limit=0: give a whole number from 1"),
        ("cancel", {"limit": True}, "limit=True"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    action: str, options: dict[str, Any], problem: str, pool: TaskPool, manager: JobManager
) -> None:
    """Before anything is done, in a dry run too."""
    await kill(pool, range(2))
    job_id = await manager.enqueue("charge", 1)
    for dry_run in (True, False):
        with pytest.raises(InvalidQueryError, match=problem.replace("[", r"\[")):
            await manager.bulk(action, dry_run=dry_run, **options)
    assert await DeadLetters(pool).count() == 2
    assert await statuses(pool, job_id) == ["pending"]


@pytest.mark.parametrize("action", list(BulkAction))
async def test_it_is_an_error_while_redis_is_away(action: BulkAction) -> None:
    """One that the caller knows."""
    pool = TaskPool.from_settings(parse_redis_url(f"redis://127.0.0.1:{free_port()}"))
    async with JobManager(ArqQueueBackend(pool)) as manager:
        with pytest.raises(QueueUnavailable):
            await manager.bulk(action, dry_run=True)
