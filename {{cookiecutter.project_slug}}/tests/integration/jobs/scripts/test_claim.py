"""`claim.lua`: due jobs go to the worker that asks, under a lease, with what is special about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys, scripts

from integration.jobs.scripts.calls import (
    ARQ,
    LEASE,
    MAIL,
    PAYLOAD,
    QUEUE,
    Claimed,
    Done,
    enqueue,
    everything,
    expiry_of,
    lapse,
    listening,
    names,
    now_of,
    score_of,
    tokens_of,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand


async def test_claim_takes_a_lease(pool: TaskPool, me: Hand) -> None:
    """A claimed job bears token and time, for a lease; its start counts, and its score moves to the lease's end."""
    await enqueue(pool, "a", due=1_000_000)
    before = await now_of(pool)
    now, wait, jobs = await me.claim()
    after = await now_of(pool)
    assert jobs == [Claimed("a", PAYLOAD, 1, 0, 1_000_000, 1, "")]
    assert before <= now <= after
    assert await pool.get(keys.in_progress("a")) == f"me:1:{now}".encode()
    assert before + LEASE <= await expiry_of(pool, keys.in_progress("a")) <= after + LEASE
    assert await score_of(pool, "a") == now + LEASE + 0.5
    assert wait == LEASE + 1  # when the lease would lapse, the job would be due
    assert await pool.get(keys.tries("a")) == b"1"
    assert await pool.get(keys.job("a")) == PAYLOAD
    left = {QUEUE, keys.job("a"), keys.tries("a"), keys.in_progress("a")}
    assert await names(pool) == left


async def test_claim_takes_the_longest_due_first_and_no_more_than_asked(pool: TaskPool, me: Hand) -> None:
    """Jobs leave in the order in which they were due; one that is not due yet stays."""
    later = await now_of(pool) + 3_600_000
    for job_id, due in {"third": 3, "first": 1, "second": 2, "future": later}.items():
        await enqueue(pool, job_id, due=due)
    assert await me.claimed(slots=2) == ["first", "second"]
    assert await me.claimed() == ["third"]
    assert await me.claimed() == []
    assert await score_of(pool, "future") == later


async def test_claim_gives_no_job_to_two(pool: TaskPool, me: Hand, other: Hand) -> None:
    """What one worker holds, another does not get."""
    await enqueue(pool, "a", "b")
    assert await me.claimed(slots=1) == ["a"]
    assert await other.claimed() == ["b"]
    claims = await pool.mget(keys.in_progress("a"), keys.in_progress("b"))
    assert claims == [me.value("a"), other.value("b")]


async def test_claim_takes_more_than_lua_can_pass_on_in_one_call(pool: TaskPool, me: Hand) -> None:
    """A worker with very many free slots fills them all at once."""
    ids = [f"{number:04}" for number in range(5_000)]
    for start in range(0, 5_000, scripts.BATCH):
        await enqueue(pool, *ids[start : start + scripts.BATCH], due=start)
    assert await me.claimed(slots=10_000) == ids
    assert await pool.zcount(QUEUE, "-inf", await now_of(pool)) == 0


@pytest.mark.parametrize("slots", [1, 3, 5_000])
async def test_claim_pages_past_what_plain_arq_workers_hold(slots: int, pool: TaskPool, me: Hand) -> None:
    """Jobs at the head of the queue that arq's own workers run hide none behind them, and stay as they are."""
    held = [f"{number:04}" for number in range(600)]
    await pool.mset(dict.fromkeys([keys.in_progress(job_id) for job_id in held], ARQ))
    await pool.zadd(QUEUE, dict.fromkeys(held, 1))
    await enqueue(pool, "x", "y", "z", due=2)
    assert await me.claimed(slots=slots) == ["x", "y", "z"][:slots]
    assert set(await pool.mget([keys.in_progress(job_id) for job_id in held])) == {ARQ}
    assert await pool.zcount(QUEUE, 1, 1) == 600
    assert not await pool.exists(*[keys.tries(job_id) for job_id in held])


async def test_claim_serves_its_queues_in_order(pool: TaskPool, me: Hand) -> None:
    """A later queue gets the slots that an earlier one leaves, however long its jobs have been due."""
    await enqueue(pool, "old mail", "older mail", queue=MAIL, due=1)
    await enqueue(pool, "a", "b")
    _, wait, jobs = await me.claim(slots=3, queues=[QUEUE, MAIL])
    assert [(job.job_id, job.queue) for job in jobs] == [("a", 1), ("b", 1), ("old mail", 2)]
    assert wait == -1
    assert not await pool.exists(keys.wake(QUEUE))
    assert await tokens_of(pool, MAIL) == [b"1"]
    assert await score_of(pool, "old mail", MAIL) > await score_of(pool, "older mail", MAIL) == 1


async def test_claim_leaves_other_queues_alone(pool: TaskPool, me: Hand) -> None:
    """A worker neither takes jobs of a queue that it does not serve nor the token there."""
    await enqueue(pool, "mail", queue=MAIL)
    found = await everything(pool)
    assert await me.claimed() == []
    assert await everything(pool) == found


# when to ask again


async def test_claim_rings_for_what_it_leaves_behind(pool: TaskPool, me: Hand) -> None:
    """With more due than slots, one token is left for another worker, and the answer says that there may be more."""
    await enqueue(pool, "a", "b", "c")
    await pool.delete(keys.wake(QUEUE))
    _, wait, _ = await me.claim(slots=1)
    assert (wait, await tokens_of(pool)) == (-1, [b"1"])
    _, wait, _ = await me.claim(slots=1)
    assert (wait, await tokens_of(pool)) == (-1, [b"1"])


async def test_claim_rings_for_a_job_that_expires(pool: TaskPool, me: Hand) -> None:
    """So it is where what is left behind bears the mark of those."""
    await enqueue(pool, "a", "b", lifetime=60_000)
    _, wait, _ = await me.claim(slots=1)
    assert (wait, await tokens_of(pool)) == (-1, [b"1"])


@pytest.mark.parametrize("slots", [2, 3])
async def test_claim_takes_the_token_when_nothing_is_left(slots: int, pool: TaskPool, me: Hand) -> None:
    """Nobody is woken for jobs that have been claimed, nor for what is not due soon, whether slots are left or not."""
    due = await now_of(pool) + 30_000
    await enqueue(pool, "later", due=due)
    await enqueue(pool, "a", "b")
    now, wait, _ = await me.claim(slots=slots)
    assert not await pool.exists(keys.wake(QUEUE))
    assert wait == due - now


async def test_claim_does_not_ask_to_be_repeated_for_jobs_that_it_leaves(pool: TaskPool, me: Hand, other: Hand) -> None:
    """With slots left, what others hold and what is spared wakes nobody: who asked again would find the same."""
    await enqueue(pool, "held", "spared")
    await other.claim()
    await lapse(pool, "held", "spared")
    await pool.set(keys.in_progress("held"), ARQ)
    due = await now_of(pool) + LEASE
    await enqueue(pool, "later", due=due)
    now, wait, jobs = await me.claim(spare_lapsed=True)
    assert (wait, jobs, await tokens_of(pool)) == (due - now, [], [])


async def test_claim_says_that_there_is_nothing(pool: TaskPool, me: Hand) -> None:
    """An empty queue has no next due job, and asking leaves nothing behind."""
    _, wait, jobs = await me.claim(queues=[QUEUE, MAIL])
    assert (wait, jobs) == (-2, [])
    assert await pool.dbsize() == 0


async def test_claim_gives_the_time_to_the_next_due_job_of_any_queue(pool: TaskPool, me: Hand) -> None:
    """The earliest of all its queues counts, whichever comes first."""
    soon = await now_of(pool) + 50_000
    for first, second in ((QUEUE, MAIL), (MAIL, QUEUE)):
        await pool.flushall()
        await enqueue(pool, "soon", queue=first, due=soon)
        await enqueue(pool, "late", queue=second, due=soon + 10_000)
        now, wait, _ = await me.claim(queues=[QUEUE, MAIL])
        assert wait == soon - now


# jobs that are not to be run


async def test_claim_tells_of_jobs_that_are_not_to_be_run(pool: TaskPool, me: Hand, other: Hand) -> None:
    """An id in `arq:abort` is marked, also where the lease had lapsed; it stays there until its end is recorded."""
    await enqueue(pool, "a", "b", "c")
    await other.claim(slots=1)
    await lapse(pool, "a")
    await pool.zadd(keys.ABORTS, {"a": 1, "b": 1, "elsewhere": 1})
    _, _, jobs = await me.claim()
    assert {job.job_id: job.special for job in jobs} == {"a": "aborted", "b": "aborted", "c": ""}
    assert set(await pool.zrange(keys.ABORTS, 0, -1)) == {b"a", b"b", b"elsewhere"}
    await me.commit(Done("a"), Done("b", status="cancelled"))
    assert await pool.zrange(keys.ABORTS, 0, -1) == [b"elsewhere"]


async def test_claim_gives_a_job_without_its_payload(pool: TaskPool, me: Hand) -> None:
    """A job whose payload is gone is claimed like any other, so that its end can be recorded."""
    await enqueue(pool, "late", "ok")
    await pool.delete(keys.job("late"))
    _, _, jobs = await me.claim()
    assert {job.job_id: (job.payload, job.special) for job in jobs} == {"late": (None, "expired"), "ok": (PAYLOAD, "")}


async def test_claim_lifts_the_limit_on_the_start(pool: TaskPool, me: Hand) -> None:
    """A job that starts in time expires no more; until when it had to start is told, and the copy goes."""
    await enqueue(pool, "a", lifetime=90_000)
    expiry = await expiry_of(pool, keys.job("a"))
    _, _, [job] = await me.claim()
    assert (job.payload, job.special) == (PAYLOAD, str(expiry))
    assert await pool.pttl(keys.job("a")) == -1
    assert not await pool.exists(keys.expiring("a"))


async def test_claim_says_what_has_expired(pool: TaskPool, me: Hand) -> None:
    """A job that has not started in time comes with its payload, from the copy, which stays until that is recorded."""
    await enqueue(pool, "late", lifetime=90_000, due=1_000)
    await pool.delete(keys.job("late"))  # what Redis does when the time is over
    _, _, jobs = await me.claim()
    assert jobs == [Claimed("late", PAYLOAD, 1, 0, 1_000, 1, "expired")]
    assert not await pool.exists(keys.job("late"))
    assert await pool.exists(keys.expiring("late"))
    assert await me.commit(Done("late", status="failed", dead=True)) == [1]
    assert not await pool.exists(keys.expiring("late"))


async def test_claim_says_so_for_as_long_as_the_job_is_queued(pool: TaskPool, me: Hand) -> None:
    """After more than a week nobody knows what it was, but it is claimed, and others with it."""
    await enqueue(pool, "late", lifetime=90_000, due=1_000)
    await pool.delete(keys.job("late"), keys.expiring("late"))
    await enqueue(pool, "ok")
    _, _, jobs = await me.claim()
    assert [(job.job_id, job.payload, job.special) for job in jobs] == [("late", None, "expired"), ("ok", PAYLOAD, "")]


async def test_claim_tells_of_an_expiring_job_that_it_is_not_to_be_run(pool: TaskPool, me: Hand) -> None:
    """That it was aborted is more than that it expires, or has expired."""
    await enqueue(pool, "expires", "expired", lifetime=90_000)
    await pool.delete(keys.job("expired"))
    await pool.zadd(keys.ABORTS, {"expires": 1, "expired": 1})
    _, _, jobs = await me.claim()
    assert [(job.job_id, job.payload, job.special) for job in jobs] == [
        ("expired", PAYLOAD, "aborted"),
        ("expires", PAYLOAD, "aborted"),
    ]
    assert await pool.pttl(keys.job("expires")) == -1


async def test_claim_leaves_the_lifetime_of_others_alone(pool: TaskPool, me: Hand) -> None:
    """What a plain arq client stores expires as that client wants, unless it is put back."""
    await enqueue(pool, "a")
    await pool.pexpire(keys.job("a"), 90_000)
    _, _, [job] = await me.claim()
    assert job.special == ""
    assert 0 < await pool.pttl(keys.job("a")) <= 90_000


# who listens


async def test_claim_tells_those_who_listen(pool: TaskPool, me: Hand) -> None:
    """The ids of all that start are told together; where nothing starts, nothing is told."""
    await enqueue(pool, "a", "b")
    await enqueue(pool, "c", queue=MAIL)
    async with listening(pool) as listener:
        await me.claim(queues=[QUEUE, MAIL])
        await me.claim()
        assert await listener.told() == [{"running": ["a", "b", "c"]}]


async def test_claim_publishes_nothing_where_nobody_listens(pool: TaskPool, me: Hand) -> None:
    """Without a subscriber no message is made."""
    await enqueue(pool, "a")
    await pool.config_resetstat()
    assert await me.claimed() == ["a"]
    assert "cmdstat_publish" not in await pool.info("commandstats")
