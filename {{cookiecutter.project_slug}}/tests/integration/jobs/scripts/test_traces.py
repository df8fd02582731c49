"""`commit.lua`: what is kept of a job beside its result: history, dead letter, mark of a cancel, attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys

from integration.jobs.scripts.calls import (
    FAILED,
    KEEP,
    RESULT,
    Done,
    attempts_of,
    enqueue,
    expiry_of,
    lapse,
    list_of,
    names,
    now_of,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand

#: An end with all that may be recorded of one.
WHOLE = Done("a", status="failed", line="line", dead=True)


#: An end with all that may be recorded of one.
WHOLE = Done("a", status="failed", line="line", dead=True)


@pytest.mark.parametrize("kept", [-1, 0, KEEP])
async def test_commit_writes_the_history(kept: int, pool: TaskPool, me: Hand) -> None:
    """Each status has its lines, at the time by Redis's clock, whether results are kept or not; no line is none."""
    await enqueue(pool, "a", "b", "c", "d")
    await me.claim()
    before = await now_of(pool)
    ends = [Done("a", line="one"), Done("b", line="two"), Done("c", line="three", status="failed"), Done("d")]
    await me.commit(*[end._replace(keep_result=kept) for end in ends])
    after = await now_of(pool)
    lines = {
        status: await pool.zrange(keys.history(status), 0, -1, withscores=True)
        for status in ("success", "failed", "cancelled")
    }
    assert {status: {line for line, _ in entries} for status, entries in lines.items()} == {
        "success": {b"one", b"two"},
        "failed": {b"three"},
        "cancelled": set(),
    }
    assert all(before <= moment <= after for entries in lines.values() for _, moment in entries)


@pytest.mark.parametrize("kept", [-1, 0, KEEP])
async def test_commit_buries_the_dead(kept: int, pool: TaskPool, me: Hand) -> None:
    """A dead letter is there for ever, by the time of its death, whether its result is kept or not; others are not."""
    await enqueue(pool, "a", "b")
    await me.claim()
    before = await now_of(pool)
    await me.commit(WHOLE._replace(keep_result=kept), Done("b", keep_result=-1, status="failed"))
    after = await now_of(pool)
    assert before <= await pool.zscore(keys.DEAD, "a") <= after
    assert await pool.zcard(keys.DEAD) == 1
    assert await pool.get(keys.dead_letter("a")) == RESULT
    assert await pool.pttl(keys.dead_letter("a")) == -1
    results = {keys.result("a")} if kept >= 0 else set()
    assert await names(pool) == results | {keys.DEAD, keys.dead_letter("a"), keys.history("failed")}


@pytest.mark.parametrize("kept", [0, KEEP])
async def test_commit_marks_the_result_of_a_cancelled_job(kept: int, pool: TaskPool, me: Hand) -> None:
    """Its id can be used again at once, and the mark lasts as long as the result."""
    await enqueue(pool, "a", "b")
    await me.claim()
    await me.commit(Done("a", status="cancelled", keep_result=kept), Done("b", keep_result=kept))
    assert await names(pool) == {keys.result("a"), keys.cancelled("a"), keys.result("b")}
    assert await expiry_of(pool, keys.cancelled("a")) == await expiry_of(pool, keys.result("a"))
    assert await enqueue(pool, "a", "b") == [1, 0]


async def test_commit_of_a_cancelled_job_leaves_no_mark_without_a_result(pool: TaskPool, me: Hand) -> None:
    """Where nothing is kept the id is free anyway."""
    await enqueue(pool, "a")
    await me.claim()
    await me.commit(Done("a", status="cancelled", keep_result=-1))
    assert await names(pool) == set()


# attempts


@pytest.fixture(params=["failed", "handed back", "lost"])
async def started_before(request: pytest.FixtureRequest, pool: TaskPool, me: Hand) -> None:
    """Give a claimed job with a line in its list of attempts."""
    await enqueue(pool, "a")
    await me.claim()
    if request.param == "lost":
        await lapse(pool, "a")
    else:
        await me.requeue("a", counts=request.param == "failed", log=FAILED)
    await me.claim()
    assert len(await attempts_of(pool, "a")) == 1


@pytest.mark.usefixtures("started_before")
async def test_commit_keeps_the_attempts_as_long_as_the_result(pool: TaskPool, me: Hand) -> None:
    """What is known of earlier starts goes when the result goes; the number of losses is needed no more."""
    await me.commit(Done("a"))
    assert await names(pool) == {keys.result("a"), keys.attempts("a")}
    assert len(await attempts_of(pool, "a")) == 1
    assert await expiry_of(pool, keys.attempts("a")) == await expiry_of(pool, keys.result("a"))


@pytest.mark.usefixtures("started_before")
async def test_commit_keeps_the_attempts_for_ever_with_the_result(pool: TaskPool, me: Hand) -> None:
    """So it is with a result that is kept for ever."""
    await me.commit(Done("a", keep_result=0))
    assert await names(pool) == {keys.result("a"), keys.attempts("a")}
    assert await pool.pttl(keys.attempts("a")) == -1


@pytest.mark.usefixtures("started_before")
@pytest.mark.parametrize("kept", [-1, 0, KEEP])
async def test_commit_keeps_the_attempts_of_the_dead(kept: int, pool: TaskPool, me: Hand) -> None:
    """With a dead letter they are kept until that is forgotten, apart from those that go with the result."""
    attempts = await list_of(pool, keys.attempts("a"))
    await me.commit(WHOLE._replace(keep_result=kept))
    assert await list_of(pool, keys.dead_attempts("a")) == attempts
    assert await pool.pttl(keys.dead_attempts("a")) == -1
    assert await list_of(pool, keys.attempts("a")) == ([] if kept < 0 else attempts)
    assert await expiry_of(pool, keys.attempts("a")) == await expiry_of(pool, keys.result("a"))
    assert not await pool.exists(keys.lost("a"), keys.tries("a"))


async def test_commit_of_another_dead_letter_of_that_id_takes_its_place(pool: TaskPool, me: Hand) -> None:
    """The latest is kept, with its own attempts; in between nothing is taken from the earlier one."""
    await pool.set(keys.dead_letter("a"), "of an earlier job")
    client = pool.pipeline()
    client.rpush(keys.dead_attempts("a"), "of an earlier job")
    client.zadd(keys.DEAD, {"a": 1})
    await client.execute()
    await enqueue(pool, "a")
    await me.claim()
    assert await list_of(pool, keys.dead_attempts("a")) == [b"of an earlier job"]
    await me.commit(WHOLE)
    assert await pool.get(keys.dead_letter("a")) == RESULT
    assert await list_of(pool, keys.dead_attempts("a")) == []
    assert await pool.zscore(keys.DEAD, "a") != 1


@pytest.mark.usefixtures("started_before")
async def test_commit_forgets_the_attempts_with_the_rest(pool: TaskPool, me: Hand) -> None:
    """Where nothing is kept, they are gone at once."""
    await me.commit(Done("a", keep_result=-1))
    assert await names(pool) == set()
