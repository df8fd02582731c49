"""`claim.lua` over several lanes: which comes first, which is left alone, and what is kept free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobPriority, Queues, keys, scripts

from integration.jobs.scripts.calls import LEASE, MAIL, QUEUE, enqueue, now_of, score_of, tokens_of

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand

CRITICAL, HIGH, NORMAL, LOW = LANES = keys.lanes(QUEUE)


def kept(shared: int, mail: int) -> bytes:
    """Say that so many slots are for any queue, and so many more for MAIL, the second of the two."""
    told: list[Any] = [shared, [1, 2], [0, mail]]
    return scripts.packed(told)


async def test_claim_takes_from_the_first_lane_first(pool: TaskPool, me: Hand) -> None:
    """Whenever its jobs were due; each claim says which lane it is from."""
    await enqueue(pool, "normal", "normal2", queue=NORMAL, due=1)
    await enqueue(pool, "high", queue=HIGH, due=2)
    await enqueue(pool, "critical", queue=CRITICAL, due=3)
    now, _, jobs = await me.claim(slots=3, queues=LANES)
    assert [(job.job_id, job.queue) for job in jobs] == [("critical", 1), ("high", 2), ("normal", 3)]
    assert await score_of(pool, "critical", CRITICAL) == now + LEASE + 0.5


async def test_claim_gives_some_slots_to_what_was_due_first(pool: TaskPool, me: Hand) -> None:
    """After the urgent ones, in the order in which they were due, whatever their lane."""
    for number in range(10):
        await enqueue(pool, f"high {number}", queue=HIGH, due=100 + number)
    await enqueue(pool, "low", queue=LOW, due=50)
    await enqueue(pool, "normal", queue=NORMAL, due=51)
    await enqueue(pool, "normal2", queue=NORMAL, due=200)
    assert await me.claimed(slots=5, queues=LANES, aged=3) == ["high 0", "high 1", "low", "normal", "high 2"]


async def test_claim_wastes_no_slot_on_age(pool: TaskPool, me: Hand) -> None:
    """What is for the oldest is for the only ones that are due, too."""
    await enqueue(pool, "a", "b", "c", queue=HIGH)
    assert await me.claimed(slots=3, queues=LANES, aged=1) == ["a", "b", "c"]
    await enqueue(pool, "d", queue=HIGH)
    await enqueue(pool, "e", queue=LOW)
    assert await me.claimed(slots=5, queues=LANES, aged=1) == ["d", "e"]


async def test_claim_pages_past_what_others_hold_in_each_lane(pool: TaskPool, me: Hand) -> None:
    """Jobs that a plain arq worker holds hide neither those behind them nor those of other lanes."""
    await enqueue(pool, "held", "a", "b", queue=NORMAL, due=1)
    await enqueue(pool, "held2", "c", queue=HIGH, due=2)
    for job_id in ("held", "held2"):
        await pool.set(keys.in_progress(job_id), b"1")
    assert await me.claimed(slots=2, queues=LANES, aged=1) == ["c", "a"]
    assert await me.claimed(slots=2, queues=LANES) == ["b"]


async def test_claim_takes_nothing_from_a_paused_queue(pool: TaskPool, me: Hand) -> None:
    """Neither is it told when its jobs are due; other queues go on."""
    await enqueue(pool, "a", queue=HIGH)
    await enqueue(pool, "b", queue=MAIL)
    await Queues(pool).pause()
    _, wait, jobs = await me.claim(queues=[HIGH, NORMAL, MAIL])
    assert [job.job_id for job in jobs] == ["b"]
    assert wait > LEASE - 1000  # when the lease of `b` would lapse
    _, wait, jobs = await me.claim(queues=[HIGH, NORMAL])
    assert (wait, jobs) == (-2, [])
    await Queues(pool).resume()
    assert await me.claimed(queues=[HIGH, NORMAL]) == ["a"]


@pytest.mark.parametrize(("shared", "mail", "expected"), [(1, 2, ["a", "m", "n"]), (3, 0, ["a", "b", "c"])])
async def test_claim_keeps_slots_free(pool: TaskPool, me: Hand, shared: int, mail: int, expected: list[str]) -> None:
    """What is kept for a queue goes to no other, and it takes from what is shared once its own is full."""
    await enqueue(pool, "a", "b", "c")
    await enqueue(pool, "m", "n", "o", queue=MAIL)
    assert await me.claimed(slots=3, queues=[QUEUE, MAIL], kept=kept(shared, mail)) == expected


async def test_slots_that_are_kept_free_stay_free(pool: TaskPool, me: Hand) -> None:
    """Nobody waits for what is due in other queues, but a worker that has room for it is told."""
    await enqueue(pool, "a", "b")
    now = await now_of(pool)
    await enqueue(pool, "m", queue=MAIL, due=now + 60_000)
    _, wait, jobs = await me.claim(slots=2, queues=[QUEUE, MAIL], kept=kept(1, 1))
    assert [job.job_id for job in jobs] == ["a"]
    assert 0 < wait <= 60_000
    assert await tokens_of(pool) == [b"1"]
    assert await tokens_of(pool, MAIL) == []


async def test_age_takes_no_slot_that_is_kept_free(pool: TaskPool, me: Hand) -> None:
    """However long a job of another queue has waited."""
    await enqueue(pool, "a", "b", due=1)
    await enqueue(pool, "m", queue=MAIL, due=2)
    assert await me.claimed(slots=2, queues=[QUEUE, MAIL], aged=2, kept=kept(1, 1)) == ["a", "m"]


async def test_one_token_tells_of_all_lanes_of_a_queue(pool: TaskPool, me: Hand) -> None:
    """It is taken with the claim, and left again where more is due in any of them."""
    await enqueue(pool, "a", queue=NORMAL)
    await enqueue(pool, "b", queue=LOW)
    assert await tokens_of(pool) == [b"1"]
    _, wait, jobs = await me.claim(slots=1, queues=LANES)
    assert ([job.job_id for job in jobs], wait) == (["a"], -1)
    assert await tokens_of(pool) == [b"1"]
    await me.claim(queues=LANES)
    assert await tokens_of(pool) == []


async def test_who_is_full_tells_others_of_what_is_due_soon(pool: TaskPool, me: Hand) -> None:
    """It took the token that told of it; what is due later, whoever is idle finds by itself."""
    await enqueue(pool, "a")
    now = await now_of(pool)
    await enqueue(pool, "soon", queue=HIGH, due=now + 4000)
    await enqueue(pool, "later", queue=MAIL, due=now + LEASE)
    _, wait, jobs = await me.claim(slots=1, queues=[*LANES, MAIL])
    assert [job.job_id for job in jobs] == ["a"]
    assert 0 < wait <= 4000
    assert await tokens_of(pool) == [b"1"]
    assert await tokens_of(pool, MAIL) == []
    await me.claim(slots=1, queues=[*LANES, MAIL])
    assert await tokens_of(pool) == []


async def test_claim_takes_any_number_of_lanes(pool: TaskPool, me: Hand) -> None:
    """There may be more queues than Lua can pass on values in one call."""
    await enqueue(pool, "a", queue=MAIL)
    lanes = [lane for number in range(2_500) for lane in keys.lanes(f"{QUEUE}:{number}")]
    assert await me.claimed(queues=[*lanes, MAIL]) == ["a"]


def test_a_lane_is_named_after_its_queue() -> None:
    """Name and priority can be read back; normal jobs stand where arq looks."""
    assert LANES == ("arq:queue@10", "arq:queue@8", "arq:queue", "arq:queue@0")
    assert keys.lanes("arq:queue:emails@0")[2] == keys.queue("emails") == "arq:queue:emails"
    for priority in JobPriority:
        lane = keys.queue("emails", priority)
        assert (keys.queue_name(lane), keys.priority(lane), keys.queue_of(lane)) == (
            "emails",
            priority,
            MAIL.replace("mail", "emails"),
        )
