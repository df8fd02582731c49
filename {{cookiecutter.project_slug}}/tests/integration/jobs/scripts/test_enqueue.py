"""`enqueue.lua`: jobs are stored, queued, and told to a worker; what is left out changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError

from {{ cookiecutter.__package }}.infrastructure.jobs import JobPriority, keys, scripts
from {{ cookiecutter.__package }}.infrastructure.jobs import messages as messages_module

from integration.jobs.scripts.calls import (
    FAILED,
    MAIL,
    PAYLOAD,
    QUEUE,
    cancel,
    enqueue,
    everything,
    expiry_of,
    listening,
    names,
    now_of,
    score_of,
    tokens_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand

WEEK = 7 * 86_400_000
FREE, LOCK = ("another lock", "period", 5_000), ("lock", "unfinished", 5_000)


async def test_enqueue_stores_queues_and_rings(pool: TaskPool) -> None:
    """A job's payload is stored byte for byte, it is due now by Redis's clock, and one token tells a worker."""
    before = await now_of(pool)
    assert await enqueue(pool, "a", "b") == [1, 1]
    after = await now_of(pool)
    assert await pool.get(keys.job("a")) == PAYLOAD
    assert await pool.pttl(keys.job("a")) == -1
    assert before <= await score_of(pool, "a") <= after
    assert await pool.zrange(QUEUE, 0, -1) == [b"a", b"b"]
    assert await tokens_of(pool) == [b"1"]
    assert await names(pool) == {QUEUE, keys.wake(QUEUE), keys.job("a"), keys.job("b")}


async def test_enqueue_leaves_one_token_however_many_jobs_come(pool: TaskPool) -> None:
    """The wake list does not grow while nobody listens."""
    for job_id in "abc":
        await enqueue(pool, job_id)
    assert await tokens_of(pool) == [b"1"]


async def test_enqueue_touches_no_other_queue(pool: TaskPool) -> None:
    """The job and its token are where it was sent, and nowhere else; the queue is known from then on."""
    await enqueue(pool, "a", queue=MAIL)
    assert await names(pool) == {MAIL, keys.wake(MAIL), keys.job("a")}
    client: Any = pool
    assert await client.smembers(keys.QUEUES) == {MAIL.encode()}


async def test_enqueue_counts_a_delay_by_the_clock_of_redis(pool: TaskPool) -> None:
    """A delay counts from the moment at which Redis has the job; a moment of the caller's is taken as it is."""
    before = await now_of(pool)
    await enqueue(pool, "delayed", delay=5_000)
    after = await now_of(pool)
    assert before + 5_000 <= await score_of(pool, "delayed") <= after + 5_000
    await enqueue(pool, "planned", due=1_234_567_890_123)
    assert await score_of(pool, "planned") == 1_234_567_890_123


async def test_a_client_whose_clock_is_wrong_delays_right(pool: TaskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a client's clock that stands still in 1970, a delay of a minute is a minute."""
    monkeypatch.setattr(messages_module, "timestamp_ms", lambda: 0)
    before = await now_of(pool)
    await pool.enqueue("task", job_id="a", defer_by=60, expires=60)
    after = await now_of(pool)
    assert before + 60_000 < await score_of(pool, "a") <= after + 60_000.25
    assert before + 120_000 <= await expiry_of(pool, keys.job("a")) <= after + 120_000


async def test_enqueue_lets_a_payload_expire_if_asked(pool: TaskPool) -> None:
    """The limit on a job's start is the lifetime of its payload; its score is marked, a copy lasts a week longer."""
    before = await now_of(pool)
    await enqueue(pool, "a", due=1_000, lifetime=90_000)
    after = await now_of(pool)
    assert before + 90_000 <= await expiry_of(pool, keys.job("a")) <= after + 90_000
    assert await score_of(pool, "a") == 1_000.25
    assert await pool.get(keys.expiring("a")) == PAYLOAD
    assert before + 90_000 + WEEK <= await expiry_of(pool, keys.expiring("a")) <= after + 90_000 + WEEK


@pytest.mark.parametrize("key", [keys.job("a"), keys.result("a"), keys.in_progress("a"), keys.expiring("a")])
async def test_enqueue_refuses_an_id_that_is_taken(key: str, pool: TaskPool) -> None:
    """While a job waits, runs, has its result kept, or has expired and no worker has said so, its id is taken."""
    await pool.set(key, b"of the first")
    await pool.zadd(keys.ABORTS, {"a": 1})
    await pool.set(keys.unknown("a"), 1)
    found = await everything(pool)
    assert await enqueue(pool, "a", lifetime=5_000, locks=[("lock", "period", 5_000)], payload=b"of the second") == [0]
    assert await everything(pool) == found


@pytest.mark.parametrize("key", [keys.job("a"), keys.in_progress("a"), keys.expiring("a")])
async def test_enqueue_refuses_the_id_of_a_job_that_was_cancelled_and_is_there_again(key: str, pool: TaskPool) -> None:
    """A mark from an earlier job frees no id under which a job waits or runs."""
    await pool.mset({key: b"of the second", keys.result("a"): b"of the first", keys.cancelled("a"): 1})
    found = await everything(pool)
    assert await enqueue(pool, "a") == [0]
    assert await everything(pool) == found


async def test_enqueue_does_not_ask_whether_an_id_of_its_own_making_is_taken(pool: TaskPool) -> None:
    """Such ids are new: a look would be a waste, and so would be forgetting what nobody knows."""
    await pool.config_resetstat()
    assert await enqueue(pool, "a", chosen=False) == [1]
    stats = await pool.info("commandstats")
    assert not {"cmdstat_exists", "cmdstat_zrem", "cmdstat_del"} & stats.keys()


async def test_enqueue_stores_the_others_of_a_call(pool: TaskPool) -> None:
    """One id that is taken keeps no other job out, and an id twice in one call is one job."""
    await enqueue(pool, "b", payload=b"first")
    assert await enqueue(pool, "a", "b", "c", "c", payload=b"second") == [1, 0, 1, 0]
    assert await pool.get(keys.job("b")) == b"first"
    assert await pool.zcard(QUEUE) == 3


async def test_enqueue_lets_an_id_be_used_again_that_was_cancelled(pool: TaskPool) -> None:
    """The new job has the id for itself: nothing is left that says that it was cancelled."""
    await enqueue(pool, "a")
    assert await cancel(pool, "a") == b"cancelled"
    assert await enqueue(pool, "a", payload=b"again") == [1]
    assert await names(pool) == {QUEUE, keys.wake(QUEUE), keys.job("a"), keys.history("cancelled")}
    assert await enqueue(pool, "a") == [0]


async def test_enqueue_forgets_what_an_earlier_job_of_that_id_has_left(pool: TaskPool, me: Hand) -> None:
    """A new job is not ended by what was asked of an old one, has not its attempts nor progress, and no losses."""
    await pool.zadd(keys.ABORTS, {"a": 1, "b": 1})
    for key in (keys.unknown, keys.lost, keys.tries, keys.progress):
        await pool.set(key("a"), 1)
    await pool.rpush(keys.attempts("a"), FAILED)  # type: ignore[misc] # redis-py says that this may be no coroutine
    await enqueue(pool, "a")
    assert await pool.zrange(keys.ABORTS, 0, -1) == [b"b"]
    assert await names(pool) == {QUEUE, keys.wake(QUEUE), keys.job("a"), keys.ABORTS}
    _, _, [job] = await me.claim()
    assert (job.attempt, job.losses, job.special) == (1, 0, "")


@pytest.mark.parametrize("lifetime", [0, 90_000])
@pytest.mark.parametrize("wrong", ["lock", QUEUE])
async def test_enqueue_that_is_refused_in_the_middle_stores_nothing(wrong: str, lifetime: int, pool: TaskPool) -> None:
    """Where a key is of another kind, no payload is left that would never run, nor a lock that keeps others out."""
    client = pool.pipeline()
    if wrong == "lock":
        client.rpush("lock", "a list")
    else:
        client.set(QUEUE, "a text")
    await client.execute()
    found = await everything(pool)
    jobs = [(job_id, False, 0, lifetime, False, locks) for job_id, locks in (("a", [FREE]), ("b", []), ("c", [LOCK]))]
    for some in (jobs, jobs[2:]):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await scripts.script(pool, "enqueue")(keys=[QUEUE], args=[scripts.packed(some), *[PAYLOAD] * len(some)])
        assert await everything(pool) == found


# A queue that is full


async def enqueue_within(
    pool: TaskPool, limit: int, *job_ids: str, queue: str = QUEUE, lifetime: int = 0, locks: Sequence[Any] = ()
) -> Any:
    """Enqueue where the queue may hold so many jobs; the first one has the locks."""
    jobs = [(job_id, False, 0, lifetime, True, () if number else locks) for number, job_id in enumerate(job_ids)]
    args: list[Any] = [scripts.packed(jobs), *[PAYLOAD] * len(jobs), limit]
    return await scripts.script(pool, "enqueue")(keys=[queue, *keys.all_of(queue)], args=args)


async def test_enqueue_counts_all_that_is_in_the_queue(pool: TaskPool) -> None:
    """Every lane, and what is parked from each; where there is room for all, all are stored, to the last place."""
    for number, name in enumerate(keys.all_of(MAIL)):
        await pool.zadd(name, {f"there {number}": 1})
    await pool.zadd(QUEUE, {"elsewhere": 1})
    found = await everything(pool)
    assert await enqueue_within(pool, 9, "a", "b", queue=MAIL) == 8
    assert await everything(pool) == found
    assert await enqueue_within(pool, 10, "a", "b", queue=MAIL) == [1, 1]
    assert await enqueue_within(pool, 10, "c", queue=MAIL) == 10
    assert await enqueue(pool, "c", queue=MAIL) == [1]


@pytest.mark.parametrize("lifetime", [0, 90_000])
@pytest.mark.parametrize("length", [0, 1, 3])
async def test_enqueue_that_has_no_room_changes_nothing(length: int, lifetime: int, pool: TaskPool) -> None:
    """Where it is noticed after some jobs, of these, their locks, and what an earlier job of that id has left, too."""
    await enqueue(pool, "a")
    await cancel(pool, "a")
    await pool.set(keys.unknown("a"), 1)
    if length:
        await enqueue(pool, *map(str, range(length)))
    found = await everything(pool)
    assert await enqueue_within(pool, 3, *"abcd", lifetime=lifetime, locks=[FREE, LOCK]) == length
    assert await everything(pool) == found


async def test_enqueue_answers_for_jobs_that_need_no_room(pool: TaskPool) -> None:
    """An id that is taken, or a job that another stands for, is left out as ever, also where the queue is full."""
    await enqueue(pool, "a", locks=[LOCK])
    assert await enqueue_within(pool, 1, "a") == [0]
    assert await enqueue_within(pool, 1, "b", locks=[LOCK]) == [[1, b"a"]]
    assert await enqueue_within(pool, 2, "a", "b") == [0, 1]
    assert await enqueue_within(pool, 2, "a", "b", "c") == 2


async def test_enqueue_without_a_limit_counts_nothing(pool: TaskPool) -> None:
    """Who has set none pays nothing for it."""
    await pool.config_resetstat()
    await enqueue(pool, "a", chosen=False)
    calls = {name.removeprefix("cmdstat_") for name in await pool.info("commandstats")}
    assert calls - {"config|resetstat"} == {"evalsha", "time", "set", "zadd", "sadd", "publish", "llen", "lpush"}


async def test_enqueue_tells_of_a_new_lane(pool: TaskPool) -> None:
    """Once, on the channel of the queues, so that those who serve all learn of it."""
    urgent = keys.queue("mail", JobPriority.CRITICAL)
    async with listening(pool, keys.QUEUES) as listener:
        await enqueue(pool, "a", "b", queue=urgent)
        await enqueue(pool, "c", queue=urgent)
        await enqueue(pool, "d", queue=MAIL)
        assert await listener.told() == [urgent.encode(), MAIL.encode()]
