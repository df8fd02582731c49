"""Limits of a task, step by step on a real Redis: who may start, who is parked, and whose turn it is."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import RedisError

from {{ cookiecutter.__package }}.infrastructure.embedded import free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobPriority,
    JobStatus,
    TaskPool,
    close_client,
    keys,
    parse_redis_url,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.limits import Limit, Limits, may_start
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claim

from .limit_hands import (
    MINUTE,
    MINUTE_US,
    QUEUE,
    TASK,
    TURN,
    Hand,
    assert_rate,
    command,
    elapse,
    enqueue,
    lapse,
    nothing_is_left,
    now_of,
    outside,
    parked,
    places,
    queued,
    score_of,
    starts,
    status_of,
    turns,
)


async def everything(pool: TaskPool) -> dict[bytes, bytes]:
    """Give all that is stored."""
    return {key: await pool.dump(key) for key in await pool.keys()}


# At most N at once


async def test_no_more_than_its_limit_start(pool: TaskPool) -> None:
    """Of five jobs two start; the others leave the queue, are held by nobody, have lost no try, and are pending."""
    await enqueue(pool, *"abcde")
    me = Hand(pool, Limit(concurrency=2))
    assert await me.start() == ["a", "b"]
    assert await queued(pool) == ["a", "b"]
    assert await parked(pool) == ["c", "d", "e"]
    for job_id in "cde":
        assert await status_of(pool, job_id) is JobStatus.PENDING
        assert not await pool.exists(keys.in_progress(job_id))
        assert int(await pool.get(keys.tries(job_id))) == 0
    assert await me.start() == []


async def test_whoever_ends_lets_the_next_one_start(pool: TaskPool) -> None:
    """Each end puts one parked job back into its queue, due at once, the oldest first, and wakes a worker."""
    await enqueue(pool, *"abcde")
    me = Hand(pool, Limit(concurrency=2))
    await me.start()
    for ended, next_one in zip("abc", "cde", strict=True):
        await pool.delete(keys.wake(QUEUE))
        await me.end(ended)
        assert next_one in await queued(pool)
        assert await command(pool, "LLEN", keys.wake(QUEUE)) == 1
        assert await me.start() == [next_one]
        assert next_one.encode() not in await command(pool, "HKEYS", keys.homes(TASK))
    await me.end("d", "e")
    await nothing_is_left(pool)


async def test_as_many_as_end_start(pool: TaskPool) -> None:
    """Jobs that end together let as many start, never more than the limit."""
    await enqueue(pool, *(f"{number:02}" for number in range(30)))
    me = Hand(pool, Limit(concurrency=10))
    order = await me.start()
    for _ in range(2):
        await me.end(*order[-10:])
        started = await me.start()
        assert len(started) == 10
        assert await places(pool) == set(started)
        order += started
    assert order == sorted(order)


async def test_what_waits_is_asked_for_once(pool: TaskPool) -> None:
    """A job that is parked is not claimed again before it may start, however many others do."""
    await enqueue(pool, *(f"{number:03}" for number in range(100)))
    me = Hand(pool, Limit(concurrency=1))
    claimed = 0
    for _ in range(100):
        claims = await me.claim()
        started = [claim.job_id for claim in claims if await me.limits.acquire(claim, TASK)]
        claimed += len(claims)
        await me.end(*started)
    assert claimed == 199  # all once, and those that were parked when their turn came
    assert await queued(pool) == []


async def test_a_newer_job_does_not_overtake(pool: TaskPool) -> None:
    """A job that is enqueued while others are parked waits behind them, also when a place is free at that moment."""
    await enqueue(pool, *"abc")
    me = Hand(pool, Limit(concurrency=1))
    assert await me.start() == ["a"]
    await me.end("a")  # now it is b's turn
    await pool.zrem(QUEUE, "b")  # which nobody takes yet
    await enqueue(pool, "new")
    assert await me.start() == []
    assert await parked(pool) == ["c", "new"]
    await pool.zadd(QUEUE, {"b": 1})
    for job_id in ("b", "c", "new"):
        assert await me.start() == [job_id]
        await me.end(job_id)


async def test_a_newer_job_does_not_take_the_turn_of_the_only_one(pool: TaskPool) -> None:
    """The place is kept for the job whose turn it is until that is claimed."""
    await enqueue(pool, "a", "b")
    me = Hand(pool, Limit(concurrency=1))
    await me.start()
    await me.end("a")
    await pool.zrem(QUEUE, "b")
    await enqueue(pool, "new")
    assert await me.start() == []
    await pool.zadd(QUEUE, {"b": 1})
    assert await me.start() == ["b"]


async def test_a_job_that_is_put_back_gives_its_place_up(pool: TaskPool) -> None:
    """While a job waits for its next try, another one runs; then it takes its turn like any other."""
    await enqueue(pool, "a", "b")
    me = Hand(pool, Limit(concurrency=1))
    await me.start()
    await me.give_back("a", delay=MINUTE)
    assert await me.start() == ["b"]
    await pool.zadd(QUEUE, {"a": 1})
    assert await me.start() == []
    assert await status_of(pool, "a") is JobStatus.RETRYING
    await me.end("b")
    assert await me.start() == ["a"]
    assert me.claims["a"].attempt == 2


async def test_other_tasks_are_not_held_up(pool: TaskPool) -> None:
    """Limits of one task are none of another."""
    await enqueue(pool, "a", "b")
    me = Hand(pool, Limit(concurrency=1))
    await me.start()
    await pool.enqueue("other", job_id="other")
    (other,) = await me.claim()
    limits = Limits(pool, "me", {"other": Limit(concurrency=1)})
    assert await limits.acquire(other, "other")


async def test_parked_jobs_go_back_to_their_own_queues(pool: TaskPool) -> None:
    """One limit holds for all queues, and each job returns to the one from which it came."""
    mail = keys.queue("mail")
    await enqueue(pool, "a", "b")
    await enqueue(pool, "c", "d", queue="mail")
    me = Hand(pool, Limit(concurrency=1), queues=(QUEUE, mail))
    assert await me.start() == ["a"]
    assert await queued(pool, mail) == []
    await me.end("a")
    assert (await queued(pool), await queued(pool, mail)) == (["b"], [])
    assert await me.start() == ["b"]
    await me.end("b")
    assert (await queued(pool), await queued(pool, mail)) == ([], ["c"])
    assert await command(pool, "LLEN", keys.wake(mail)) == 1


async def test_what_is_parked_is_known_by_its_lane(pool: TaskPool) -> None:
    """Beside the line there is a set for each lane, by when the jobs were due; it empties with the line."""
    await enqueue(pool, "a", "b", priority=JobPriority.LOW)
    await enqueue(pool, "c", queue="mail", expires=60)
    await enqueue(pool, "d", "e", queue="mail", priority=JobPriority.HIGH)
    me = Hand(pool, Limit(concurrency=1), queues=(QUEUE, keys.queue("mail")))
    dues = {claim.job_id: claim.due for claim in await me.claim()}
    for job_id in "deacb":
        await me.limits.acquire(me.claims[job_id], TASK)
    assert await outside(pool) == {"a": dues["a"], "b": dues["b"]}
    assert await outside(pool, keys.queue("mail")) == {"c": dues["c"] + 0.25, "e": dues["e"]}
    assert await pool.cancel("e")
    assert await outside(pool, keys.queue("mail")) == {"c": dues["c"] + 0.25}
    await me.end("d")
    assert await pool.zscore(keys.queue("mail"), "c") == dues["c"] + 0.25
    for job_id in "cab":
        assert job_id in await me.start()
        await me.end(job_id)
    await nothing_is_left(pool)


async def test_who_is_urgent_waits_less(pool: TaskPool) -> None:
    """Of those that are parked the urgent ones come first, each priority in its order."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "running")
    await me.start()
    for priority in JobPriority:
        await enqueue(pool, f"{priority.name} 1", f"{priority.name} 2", priority=priority)
    await me.start()
    order = []
    running = "running"
    for _ in range(8):
        await me.end(running)
        [running] = await me.start()
        order.append(running)
    assert order == [f"{priority.name} {number}" for priority in sorted(JobPriority, reverse=True) for number in (1, 2)]


@pytest.mark.parametrize(("ahead", "first"), [(99, "urgent"), (101, "patient")])
async def test_who_waits_for_long_is_urgent(ahead: int, first: str, pool: TaskPool) -> None:
    """A point of priority counts as ten minutes: nobody overtakes a job of low priority after 100 minutes."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "running")
    await me.start()
    now = await now_of(pool)
    due = {"patient": now - ahead * MINUTE, "urgent": now}
    for job_id, priority in (("patient", JobPriority.LOW), ("urgent", JobPriority.CRITICAL)):
        await enqueue(pool, job_id, priority=priority)
        await pool.zadd(keys.queue(priority=priority), {job_id: due[job_id]})
    assert await me.start() == []
    assert await outside(pool) == due
    await me.end("running")
    assert await me.start() == [first]


async def test_a_lost_workers_job_goes_before_urgent_ones(pool: TaskPool) -> None:
    """What was there first is first, whatever the priority of those that are parked."""
    limit = Limit(concurrency=2, jobs=1, per=MINUTE_US)
    await enqueue(pool, "a", priority=JobPriority.LOW)
    await Hand(pool, limit, "dead").start()
    await enqueue(pool, "b", "c", priority=JobPriority.CRITICAL)
    other = Hand(pool, limit)
    assert await other.start() == []
    await pool.zrem(keys.turns(TASK), "b")
    await lapse(pool, "a")
    (claim,) = [claim for claim in await other.claim() if claim.job_id == "a"]
    assert not await other.limits.acquire(claim, TASK)
    assert await score_of(pool, "a", keys.queue(priority=JobPriority.LOW)) % 1 == 0.75
    assert await parked(pool) == ["c"]


async def test_a_namesake_of_an_expired_job_is_parked_once(pool: TaskPool) -> None:
    """Where another job has its id, in another lane, the one that has expired leaves the line."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a", "b")
    assert await me.start() == ["a"]
    await pool.delete(keys.job("b"))
    await enqueue(pool, "b", priority=JobPriority.HIGH)
    assert await me.start() == []
    assert await parked(pool) == ["b"]
    assert await pool.zcard(keys.outside(QUEUE)) == 0
    await me.end("a")
    assert await me.start() == ["b"]
    assert me.claims["b"].queue_key == keys.queue(priority=JobPriority.HIGH)
    await me.end("b")
    await nothing_is_left(pool)


async def test_a_namesake_that_is_taken_over_leaves_the_line(pool: TaskPool) -> None:
    """One that lost its worker goes before all others; what its id stood for among them is gone."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a", "b")
    assert await me.start() == ["a"]
    await pool.delete(keys.job("b"))
    await enqueue(pool, "b", priority=JobPriority.HIGH)
    await Hand(pool, Limit(concurrency=1), "dead").claim()
    await lapse(pool, "b")
    new = Hand(pool, Limit(concurrency=2), "new")
    assert await new.start() == ["b"]
    assert (await parked(pool), await outside(pool)) == ([], {})
    await new.end("b")
    await me.end("a")
    await nothing_is_left(pool)


# At most N within a time


async def test_no_more_than_its_rate_start_together(pool: TaskPool) -> None:
    """Of five jobs three start; the next is due when the first token comes back, to the ms, and others are parked."""
    await enqueue(pool, *"abcde")
    me = Hand(pool, Limit(jobs=3, per=MINUTE_US))
    before = await microseconds_of(pool)
    assert await me.start() == ["a", "b", "c"]
    after = await microseconds_of(pool)
    assert await queued(pool) == ["a", "b", "c", "d"]
    assert await parked(pool) == ["e"]
    times = sorted((await starts(pool)).values())
    assert len(times) == 3
    assert before <= times[0] <= times[-1] <= after
    assert await score_of(pool, "d") == -(-(times[0] + MINUTE_US) // 1000)


async def test_a_token_comes_back_a_period_after_it_was_taken(pool: TaskPool) -> None:
    """Starts that were apart let others start as far apart, whether or not the earlier ones have ended."""
    me = Hand(pool, Limit(jobs=2, per=MINUTE_US))
    for job_id in "ab":
        await enqueue(pool, job_id)
        assert await me.start() == [job_id]
        await elapse(pool, MINUTE // 3)
    await enqueue(pool, *"cde")
    for job_id, ms in (("c", MINUTE // 3), ("d", MINUTE // 3), ("e", MINUTE * 2 // 3)):
        assert await me.start() == []
        await elapse(pool, ms + 1)
        assert await me.start() == [job_id]
    assert await parked(pool) == []


async def test_after_a_quiet_time_no_more_than_its_rate_start_together(pool: TaskPool) -> None:
    """However long nothing started, there are no more tokens than jobs may start within a period."""
    me = Hand(pool, Limit(jobs=2, per=MINUTE_US))
    await enqueue(pool, *"ab")
    assert await me.start() == ["a", "b"]
    await elapse(pool, 100 * MINUTE)
    await enqueue(pool, *"cde")
    assert await me.start() == ["c", "d"]
    assert await me.start() == []


async def test_tokens_that_were_missed_are_used(pool: TaskPool) -> None:
    """When a worker comes late, all that could have started by then start, up to a period's jobs."""
    me = Hand(pool, Limit(jobs=3, per=MINUTE_US))
    await enqueue(pool, *"abcdefgh")
    assert await me.start() == ["a", "b", "c"]
    await elapse(pool, 5 * MINUTE)
    assert await me.start() == ["d"]
    assert await me.start() == ["e", "f"]
    assert await me.start() == []


async def test_the_rate_is_kept_exactly(pool: TaskPool) -> None:
    """No span of `per` has more starts than the limit says, and each is recorded at the time at which it was let go."""
    limit = Limit(jobs=3, per=60_000)
    me = Hand(pool, limit)
    await enqueue(pool, *(f"{number:02}" for number in range(20)))
    recorded: dict[bytes, int] = {}
    started = 0
    while started < 20:
        for claim in await me.claim():
            before = await microseconds_of(pool)
            if await me.limits.acquire(claim, TASK):
                started += 1
                new = {number: at for number, at in (await starts(pool)).items() if number not in recorded}
                assert [before <= at <= await microseconds_of(pool) for at in new.values()] == [True]
                recorded |= new
    assert_rate(list(recorded.values()), limit.jobs, limit.per)


async def test_what_is_let_go_spends_a_token(pool: TaskPool) -> None:
    """A retry takes another one, a start that is handed back has spent its own, and what is parked spends none."""
    me = Hand(pool, Limit(jobs=3, per=MINUTE_US))
    await enqueue(pool, "a")
    for number, counts in enumerate([True, False], start=1):
        assert await me.start() == ["a"]
        assert len(await starts(pool)) == number
        await me.give_back("a", counts=counts)
        assert len(await starts(pool)) == number
    assert await me.start() == ["a"]
    await me.give_back("a", counts=False)
    assert await me.start() == []
    assert len(await starts(pool)) == 3


async def test_starts_are_forgotten_when_they_count_no_more(pool: TaskPool) -> None:
    """A start that is long ago goes with the next look, and all of them go by themselves `per` after the last."""
    me = Hand(pool, Limit(jobs=3, per=MINUTE_US))
    await enqueue(pool, *"ab")
    await me.start()
    await elapse(pool, MINUTE + 1)
    await enqueue(pool, "c")
    assert await me.start() == ["c"]
    ((_, last),) = (await starts(pool)).items()
    assert await command(pool, "PEXPIRETIME", keys.starts(TASK)) == -(-(last + MINUTE_US) // 1000)


async def microseconds_of(pool: TaskPool) -> int:
    seconds, microseconds = await pool.time()
    return int(seconds) * 1_000_000 + int(microseconds)


async def test_both_limits_together(pool: TaskPool) -> None:
    """A job starts when there is a place and a token; what is lacking decides when the next one is due."""
    limit = Limit(concurrency=2, jobs=3, per=MINUTE_US)
    await enqueue(pool, *"abcdef")
    me = Hand(pool, limit)
    assert await me.start() == ["a", "b"]
    assert await queued(pool) == ["a", "b"]
    await me.end("a")
    assert await me.start() == ["c"]  # the last token
    await me.end("b")
    assert await me.start() == []
    assert await score_of(pool, "d") > await now_of(pool)
    await me.end("c")
    assert (await turns(pool), await parked(pool)) == (["d"], ["e", "f"])
    await elapse(pool, MINUTE + 1)
    assert await me.start() == ["d"]
    assert await me.start() == ["e"]
    assert await parked(pool) == ["f"]


# What else may happen to a job


async def test_a_lost_workers_job_keeps_its_place(pool: TaskPool) -> None:
    """A lapsed lease frees no place; whoever takes the job over runs it at once, though others wait."""
    await enqueue(pool, *"abc")
    await Hand(pool, Limit(concurrency=1), "dead").start()
    await lapse(pool, "a")
    assert await places(pool) == {"a"}
    other = Hand(pool, Limit(concurrency=1))
    assert await other.start() == ["a"]
    assert await places(pool) == {"a"}
    await other.end("a")
    assert await other.start() == ["b"]


async def test_a_lost_workers_job_needs_a_token_again(pool: TaskPool) -> None:
    """It is a start like any other; where there is no token the job is first in line, and stays known as a suspect."""
    limit = Limit(concurrency=2, jobs=2, per=MINUTE_US)
    await enqueue(pool, *"abcd")
    await Hand(pool, limit, "dead").start()
    await lapse(pool, "b")
    other = Hand(pool, limit)
    assert await other.start() == []
    assert await places(pool) == {"a"}
    assert (await turns(pool), await parked(pool)) == (["b"], ["c", "d"])
    assert await score_of(pool, "b") % 1 == 0.75
    assert await now_of(pool) < await score_of(pool, "b") <= await now_of(pool) + MINUTE + 2  # rounded up, and the mark
    assert int(await pool.get(keys.tries("b"))) == 1
    await elapse(pool, MINUTE + 1)
    assert await other.start() == ["b"]
    assert await places(pool) == {"a", "b"}


async def test_a_suspect_that_is_put_back_keeps_its_place(pool: TaskPool) -> None:
    """A job that lost its worker, and has to wait for its turn to be set apart, is before all others still."""
    await enqueue(pool, "a", "b")
    me = Hand(pool, Limit(concurrency=1))
    await me.start()
    await lapse(pool, "a")
    await me.claim()
    await me.give_back("a", counts=False, lapsed=True)
    assert await places(pool) == {"a"}
    assert await parked(pool) == ["b"]


async def test_a_worker_that_was_lost_before_it_asked_costs_nothing(pool: TaskPool) -> None:
    """A job that was claimed and not started has no place; it goes before those that are parked."""
    await enqueue(pool, *"abc")
    me = Hand(pool, Limit(concurrency=1))
    await Hand(pool, Limit(concurrency=1), "dead").claim(1)
    assert await me.start() == ["b"]
    await lapse(pool, "a")
    assert await me.start() == []
    assert await parked(pool) == ["a", "c"]
    await me.end("b")
    assert await me.start() == ["a"]


async def test_whose_lease_is_lost_changes_nothing(pool: TaskPool) -> None:
    """A worker that asks too late, when somebody else has the job or nobody, is refused, and all stays as it is."""
    await enqueue(pool, "a")
    late = Hand(pool, Limit(concurrency=1), "late")
    (claim,) = await late.claim()
    await lapse(pool, "a")
    found = await everything(pool)
    assert not await late.limits.acquire(claim, TASK)
    assert await everything(pool) == found
    assert await Hand(pool, Limit(concurrency=1)).start() == ["a"]
    found = await everything(pool)
    assert not await late.limits.acquire(claim, TASK)
    assert await everything(pool) == found


async def parked_under_a_late_worker(pool: TaskPool) -> Hand:
    """Give a worker for which Redis was away, and whose job another has parked meanwhile."""
    limit = Limit(jobs=1, per=MINUTE_US)
    late = Hand(pool, limit, "late")
    await enqueue(pool, "a", "b")
    assert await late.start() == ["a"]
    await lapse(pool, "a")
    assert await Hand(pool, limit).start() == []
    assert await parked(pool) == ["a"]
    late.outage.noticed = True
    return late


async def test_a_late_worker_that_puts_a_parked_job_back_does_not_lose_it(pool: TaskPool) -> None:
    """It is not in its queue, so it stays where it is."""
    late = await parked_under_a_late_worker(pool)
    await late.give_back("a")
    assert not late.claims["a"].lost
    assert await parked(pool) == ["a"]


async def test_a_late_worker_may_end_a_parked_job(pool: TaskPool) -> None:
    """Its result counts, for nobody else runs the job, and the job waits no more."""
    late = await parked_under_a_late_worker(pool)
    await late.end("a")
    assert not late.claims["a"].lost
    assert await parked(pool) == []
    assert await pool.get(keys.result("a")) == b"result"


async def test_a_job_that_somebody_else_has_ended_frees_its_place(pool: TaskPool) -> None:
    """A plain arq worker that ends a job knows of no places; they are found when they are missing."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a")
    await me.start()
    await pool.delete(keys.job("a"), keys.in_progress("a"))
    await pool.zrem(QUEUE, "a")
    await enqueue(pool, "b")
    assert await me.start() == ["b"]
    await enqueue(pool, "c")
    assert await me.start() == []
    await pool.delete(keys.job("b"), keys.in_progress("b"))
    await me.limits.sweep()
    assert await me.start() == ["c"]


async def test_a_parked_job_can_be_cancelled(pool: TaskPool) -> None:
    """It is gone at once, and so is one whose turn has come: then it is the next one's."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, *"abcd")
    await me.start()
    assert await pool.cancel("c")
    assert await status_of(pool, "c") is JobStatus.CANCELLED
    assert await parked(pool) == ["b", "d"]
    await me.end("a")
    assert await turns(pool) == ["b"]
    assert await pool.cancel("b")
    assert await queued(pool) == ["d"]
    assert await me.start() == ["d"]
    await me.end("d")
    await nothing_is_left(pool)


async def test_an_id_that_was_cancelled_can_be_parked_again(pool: TaskPool) -> None:
    """The second job of that id is in the line once, and starts once."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, *"ab")
    await me.start()
    await pool.cancel("b")
    await enqueue(pool, "b")
    assert await me.start() == []
    assert await parked(pool) == ["b"]
    await me.end("a")
    assert await me.start() == ["b"]


async def test_a_parked_job_expires(pool: TaskPool) -> None:
    """The limit on its start holds while it is parked, and the worker that meets it then is told."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a")
    await enqueue(pool, "b", "c", expires=60)
    until = {job_id: await command(pool, "PEXPIRETIME", keys.job(job_id)) for job_id in "bc"}
    week = 604_800_000
    await me.start()
    for job_id in "bc":
        assert await command(pool, "PEXPIRETIME", keys.job(job_id)) == until[job_id]
        assert await command(pool, "PEXPIRETIME", keys.expiring(job_id)) == until[job_id] + week
        assert await pool.get(keys.expiring(job_id)) == await pool.get(keys.job(job_id))
    await pool.delete(keys.job("b"))  # its time is over
    await me.end("a")
    expired, last = await me.claim()
    assert (expired.job_id, expired.special) == ("b", "expired")
    assert await me.limits.acquire(last, TASK)
    assert await pool.pttl(keys.job("c")) == -1


async def test_a_parked_job_of_a_plain_client_expires_as_arq_says(pool: TaskPool) -> None:
    """Where the payload has gone although nobody said that it may, a worker is told all the same."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, *"abc")
    await me.start()
    await pool.delete(keys.job("b"))
    await me.end("a")
    assert [(claim.job_id, claim.payload is None) for claim in await me.claim()] == [("b", True), ("c", False)]
    assert await command(pool, "HKEYS", keys.homes(TASK)) == [b"c"]


async def test_a_parked_job_that_has_ended_is_dropped(pool: TaskPool) -> None:
    """What a worker that was cut off has recorded stays; the job is not run again, nor said to have expired."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, *"abc")
    await me.start()
    await pool.delete(keys.job("b"))
    await pool.set(keys.result("b"), b"result")
    await me.end("a")
    assert await queued(pool) == ["c"]
    assert await me.start() == ["c"]
    assert await pool.get(keys.result("b")) == b"result"


async def test_an_id_that_is_in_use_again_is_left_alone(pool: TaskPool) -> None:
    """Where a parked job has expired, and another of that id runs, whoever lets the first one go leaves that lease."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a", "b")
    await me.start()
    await pool.delete(keys.job("b"))
    await enqueue(pool, "b")
    await Hand(pool, None, "of another release").claim()
    lease_end = await score_of(pool, "b")
    await me.end("a")
    assert await parked(pool) == []
    assert await score_of(pool, "b") == lease_end


async def test_a_deferred_job_waits_for_its_time_first(pool: TaskPool) -> None:
    """It takes its place in line when it is due."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "later", defer_by=3600)
    await enqueue(pool, "a", "b")
    assert await me.start() == ["a"]
    assert await parked(pool) == ["b"]
    assert await status_of(pool, "later") is JobStatus.SCHEDULED


async def test_being_parked_is_told(pool: TaskPool) -> None:
    """Those who follow a job hear that it waits again."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a", "b")
    claims = await me.claim()
    async with pool.pubsub() as pubsub:
        await pubsub.subscribe(keys.EVENTS)
        await pubsub.get_message(timeout=None)
        for claim in claims:
            await me.limits.acquire(claim, TASK)
        message = await pubsub.get_message(timeout=None)
        assert message is not None
        assert json.loads(message["data"]) == {"pending": ["b"]}


# The worker changes its mind while it asks


class SlowLimits(Limits):
    """Limits whose answer is long in coming."""

    asked: asyncio.Event
    answered: asyncio.Event

    def acquire(self, claim: Claim, task: str) -> asyncio.Future[bool]:
        return asyncio.ensure_future(self._acquire_later(claim, task))

    async def _acquire_later(self, claim: Claim, task: str) -> bool:
        self.asked.set()
        await self.answered.wait()
        return await super().acquire(claim, task)


async def cancelled_while_it_asks(pool: TaskPool, claim: Claim, *, aborting: bool) -> bool:
    """Ask as an attempt does, cancel it meanwhile, and give what comes of it."""
    limits = SlowLimits(pool, "me", {TASK: Limit(concurrency=1)})
    limits.asked, limits.answered = asyncio.Event(), asyncio.Event()
    aborting_tasks = {claim.job_id} if aborting else set()
    worker = SimpleNamespace(limits=limits, aborting_tasks=aborting_tasks, pool=pool)
    attempt: Any = SimpleNamespace(worker=worker, claim=claim, name=TASK)
    asking = asyncio.ensure_future(may_start(attempt))
    await limits.asked.wait()
    asking.cancel()
    await asyncio.sleep(0)
    limits.answered.set()
    return await asking


async def test_a_job_that_is_cancelled_while_it_is_parked_is_cancelled(pool: TaskPool) -> None:
    """Whoever cancels a job at the moment at which its worker parks it gets what was wanted."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a", "b")
    await me.start(1)
    (claim,) = await me.claim()
    assert not await cancelled_while_it_asks(pool, claim, aborting=True)
    assert await status_of(pool, "b") is JobStatus.CANCELLED
    assert await parked(pool) == []


async def test_a_worker_that_stops_while_a_job_is_parked_leaves_it_parked(pool: TaskPool) -> None:
    """The job is nobody's, and is there."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a", "b")
    await me.start(1)
    (claim,) = await me.claim()
    assert not await cancelled_while_it_asks(pool, claim, aborting=False)
    assert await status_of(pool, "b") is JobStatus.PENDING
    assert await parked(pool) == ["b"]


async def test_a_job_that_is_cancelled_while_it_gets_a_place_has_it(pool: TaskPool) -> None:
    """Its worker is told, and gives the place back with the job."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a")
    (claim,) = await me.claim()
    with pytest.raises(asyncio.CancelledError):
        await cancelled_while_it_asks(pool, claim, aborting=True)
    assert await places(pool) == {"a"}
    await me.give_back("a", counts=False)
    assert await places(pool) == set()


# What nobody tells


async def test_a_sweep_without_parked_jobs_is_one_command(pool: TaskPool) -> None:
    """And it is so again once all parked jobs have started."""
    me = Hand(pool, Limit(concurrency=1))
    await enqueue(pool, "a", "b")
    await me.start()
    await me.end("a")
    await me.start()
    await me.limits.sweep()
    await pool.config_resetstat()
    await me.limits.sweep()
    stats = await pool.info("commandstats")
    calls = {name: entry["calls"] for name, entry in stats.items()}
    assert {name: count for name, count in calls.items() if name != "cmdstat_config|resetstat"} == {
        "cmdstat_smembers": 1
    }


async def test_a_turn_that_is_not_taken_passes_on(pool: TaskPool) -> None:
    """A job in a queue that nobody serves holds the others up for ten seconds only, and is not lost."""
    reports = keys.queue("reports")
    both = Hand(pool, Limit(concurrency=1), queues=(reports, QUEUE))
    await enqueue(pool, "a", queue="reports")
    await both.start()
    await enqueue(pool, "b", queue="reports")
    await enqueue(pool, "c")
    await both.start()
    await both.end("a")  # now it is b's turn, and its queue has no worker any more
    me = Hand(pool, Limit(concurrency=1))
    await me.limits.sweep()
    assert await me.start() == []
    await pool.zincrby(keys.turns(TASK), -TURN, "b")
    await me.limits.sweep()
    assert await command(pool, "HKEYS", keys.homes(TASK)) == [b"c"]
    assert await me.start() == ["c"]
    assert await queued(pool, reports) == ["b"]
    await me.end("c")
    assert await both.start() == ["b"]


async def test_a_raised_limit_holds_at_once(pool: TaskPool) -> None:
    """A worker of a new release lets more jobs go on, though none ends; so with a faster rate."""
    await enqueue(pool, *"abcde")
    assert await Hand(pool, Limit(concurrency=1), "old").start() == ["a"]
    new = Hand(pool, Limit(concurrency=3))
    await new.limits.sweep()
    assert await new.start() == ["b", "c"]


async def test_a_raised_limit_lets_nobody_overtake(pool: TaskPool) -> None:
    """The first that a worker of a new release asks for does not start before those that were parked by the old one."""
    await enqueue(pool, "a", "b")
    assert await Hand(pool, Limit(concurrency=1), "old").start() == ["a"]
    await enqueue(pool, "c")
    new = Hand(pool, Limit(concurrency=3))
    assert await new.start() == []
    assert await new.start() == ["b", "c"]


async def test_a_faster_rate_brings_the_next_start_forward(pool: TaskPool) -> None:
    """A job that was to start tomorrow by the old limit starts by the new one, and a worker is woken for it."""
    await enqueue(pool, *"ab")
    old = Hand(pool, Limit(jobs=1, per=24 * 60 * MINUTE_US), "old")
    assert await old.start() == ["a"]
    await old.limits.sweep()
    assert await score_of(pool, "b") > await now_of(pool) + MINUTE
    new = Hand(pool, Limit(jobs=3, per=MINUTE_US))
    await pool.delete(keys.wake(QUEUE))
    await new.limits.sweep()
    assert await command(pool, "LLEN", keys.wake(QUEUE)) == 1
    assert await score_of(pool, "b", keys.turns(TASK)) <= await now_of(pool)
    assert await new.start() == ["b"]


async def test_a_raised_rate_holds_for_those_behind(pool: TaskPool) -> None:
    """Starts under the old rate count under the new one, each from its own time."""
    await enqueue(pool, *"abcd")
    assert await Hand(pool, Limit(jobs=1, per=24 * 60 * MINUTE_US), "old").start() == ["a"]
    (first,) = (await starts(pool)).values()
    new = Hand(pool, Limit(jobs=3, per=MINUTE_US))
    await new.limits.sweep()
    assert set(await new.start()) == {"b", "c"}
    assert await new.start() == []
    assert await score_of(pool, "d") == -(-(first + MINUTE_US) // 1000)


async def test_a_lowered_rate_holds_for_new_starts(pool: TaskPool) -> None:
    """The next start is due when fewer are within a period than the new limit says, wherever it was due before."""
    await enqueue(pool, *"abcde")
    old = Hand(pool, Limit(jobs=4, per=MINUTE_US), "old")
    for job_id in "abcd":
        assert await old.start(1) == [job_id]
        await elapse(pool, 1000)
    assert await old.start() == []
    due = sorted(at + MINUTE_US for at in (await starts(pool)).values())
    assert await score_of(pool, "e") == -(-due[0] // 1000)
    await elapse(pool, MINUTE - 4000 + 1)  # now it is due, by the old limit
    new = Hand(pool, Limit(jobs=2, per=MINUTE_US))
    assert await new.start() == []
    due = sorted(at + MINUTE_US for at in (await starts(pool)).values())
    assert len(due) == 3
    assert await score_of(pool, "e") == -(-due[1] // 1000)
    await elapse(pool, 2000)
    assert await new.start() == ["e"]


async def test_a_longer_period_counts_from_the_first_start_under_it(pool: TaskPool) -> None:
    """What is known of earlier starts counts as well, and nothing is forgotten by the old period any more."""
    await enqueue(pool, *"abcd")
    assert await Hand(pool, Limit(jobs=2, per=1_000_000), "old").start(2) == ["a", "b"]
    await elapse(pool, -(10**6))  # however slow this test is, they are within the old period
    new = Hand(pool, Limit(jobs=3, per=MINUTE_US))
    assert await new.start(1) == ["c"]
    last = sorted((await starts(pool)).values())
    assert len(last) == 3
    assert await command(pool, "PEXPIRETIME", keys.starts(TASK)) > await now_of(pool) + MINUTE // 2
    assert await new.start() == []


async def test_a_lowered_limit_holds_for_new_starts(pool: TaskPool) -> None:
    """What runs goes on; nothing starts before fewer run than the new limit says."""
    await enqueue(pool, *"abcde")
    old = Hand(pool, Limit(concurrency=3), "old")
    assert await old.start() == ["a", "b", "c"]
    new = Hand(pool, Limit(concurrency=1))
    await new.limits.sweep()
    await old.end("a", "b")
    assert await new.start() == []
    await old.end("c")
    assert await new.start() == ["d"]


async def test_a_lowered_limit_takes_turns_back(pool: TaskPool) -> None:
    """A job whose turn had come is parked again where the new limit has no place for it, and stays first in line."""
    await enqueue(pool, *"abcd")
    old = Hand(pool, Limit(concurrency=2), "old")
    await old.start()
    await old.end("a")
    new = Hand(pool, Limit(concurrency=1))
    assert await new.start() == []
    assert await parked(pool) == ["c", "d"]
    await old.end("b")
    assert await new.start() == ["c"]


async def test_a_limit_that_was_dropped_frees_everybody(pool: TaskPool) -> None:
    """A worker to which the task has no limit lets all parked jobs go, and nothing of the limit is left."""
    await enqueue(pool, *(f"{number:03}" for number in range(700)))
    old = Hand(pool, Limit(concurrency=1, jobs=2, per=MINUTE_US), "old")
    await old.start()
    await old.start()
    new = Hand(pool, None)
    await new.limits.sweep()
    assert len(await queued(pool)) == 501
    await new.limits.sweep()
    assert len(await new.claim(1000)) == 699
    assert {key.decode() for key in await pool.keys("arq:*send")} == set()
    assert not await pool.exists(keys.PARKED_TASKS)
    await old.end("000")
    assert await pool.get(keys.result("000")) == b"result"


async def test_a_worker_that_does_not_know_the_task_sweeps_by_what_is_stored(pool: TaskPool) -> None:
    """The limit of the last start holds."""
    await enqueue(pool, *"abc")
    me = Hand(pool, Limit(concurrency=1))
    await me.start()
    stranger = Limits(pool, "stranger", {})
    await stranger.sweep()
    assert await parked(pool) == ["b", "c"]
    await command(pool, "SREM", keys.places(TASK), "a")
    await stranger.sweep()
    assert (await queued(pool), await parked(pool)) == (["b", "a"], ["c"])


async def test_without_an_answer_all_who_asked_are_told() -> None:
    """Where Redis is away nobody waits for ever, and whoever asks later asks again."""
    away = TaskPool.from_settings(parse_redis_url(f"redis://127.0.0.1:{free_port()}"))
    limits = Limits(away, "me", {TASK: Limit(concurrency=1)})
    claims = [Claim(job_id, b"", 1, 0, 0, QUEUE, "", 0, "1:0") for job_id in "ab"]
    for _ in range(2):
        answers = await asyncio.gather(*[limits.acquire(claim, TASK) for claim in claims], return_exceptions=True)
        assert [isinstance(answer, (RedisError, OSError)) for answer in answers] == [True, True]
    await close_client(away)


async def test_a_full_redis_lets_limited_jobs_run(pool: TaskPool) -> None:
    """Starting, parking, ending, cancelling and sweeping go on, for only they can make room."""
    me = Hand(pool, Limit(concurrency=1, jobs=5, per=MINUTE_US))
    await enqueue(pool, *"abcde")
    used = (await pool.info("memory"))["used_memory"]
    await pool.config_set("maxmemory", used // 2)
    try:
        assert await me.start() == ["a"]
        assert await parked(pool) == ["b", "c", "d", "e"]
        assert await pool.cancel("b")
        await me.end("a")
        assert await me.start() == ["c"]
        await pool.delete(keys.job("c"))
        await me.limits.sweep()
        assert await me.start() == ["d"]
        await me.give_back("d", delay=MINUTE)
        assert await me.start() == ["e"]
    finally:
        await pool.config_set("maxmemory", 0)
