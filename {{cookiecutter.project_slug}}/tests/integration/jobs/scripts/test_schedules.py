"""The scripts of schedules: what each leaves in Redis, and that nothing of a tick is half done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError

from {{ cookiecutter.__package }}.infrastructure.jobs import keys, scripts

from integration.jobs.scripts.calls import (
    KEEP,
    PAYLOAD,
    QUEUE,
    cancel,
    enqueue,
    everything,
    listening,
    names,
    now_of,
    score_of,
)
from integration.jobs.scripts.test_full_redis import full

if TYPE_CHECKING:
    from collections.abc import Sequence

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand, Lock

#: Not UTF-8, as what is stored need not be.
DEFINITION = b"\x00definition\xff"


async def store(
    pool: TaskPool, *ids: str, owner: str = "", revision: str = "r", recurs: str = "daily", tick: int = 1_000
) -> list[int]:
    listed = [(name, revision, recurs, str(tick)) for name in ids]
    stored: list[int] = await scripts.script(pool, "schedule")(
        args=[owner, scripts.packed(listed), *[DEFINITION] * len(ids)]
    )
    return stored


async def run(
    pool: TaskPool,
    *jobs: str,
    schedule: str = "s",
    revision: str = "r",
    tick: int = 1_000,
    upcoming: int = 2_000,
    overlap: bool = True,
    other: str = "",
    locks: Sequence[Lock] = (),
    queue: str = QUEUE,
) -> Any:
    listed = [(job_id, other, tick, queue, locks) for job_id in jobs]
    step = (schedule, revision, str(tick), str(upcoming), overlap, listed)
    [answer] = await scripts.script(pool, "tick")(args=[scripts.packed([step]), *[PAYLOAD] * len(jobs)])
    return answer


async def change(pool: TaskPool, wish: str, *read: Any, schedule: str = "s") -> bytes:
    answer: bytes = await scripts.script(pool, "reschedule")(args=[schedule, wish, *read])
    return answer


async def ran(pool: TaskPool, schedule: str, job_id: str) -> None:
    await scripts.script(pool, "ran")(args=[schedule, job_id])


async def known(pool: TaskPool, schedule: str = "s") -> dict[str, bytes]:
    client: Any = pool  # its types are those of the synchronous client
    return {name.decode(): value for name, value in (await client.hgetall(keys.schedule(schedule))).items()}


async def places(pool: TaskPool) -> dict[str, float]:
    return {name.decode(): score for name, score in await pool.zrange(keys.SCHEDULES, 0, -1, withscores=True)}


async def test_a_schedule_is_stored_and_told(pool: TaskPool) -> None:
    """It is in its place, and whoever waits for a tick hears of it."""
    async with listening(pool, keys.SCHEDULES) as listener:
        assert await store(pool, "s", "t") == [1, 1]
        assert await listener.told() == [b""]
    assert await places(pool) == {"s": 1_000, "t": 1_000}
    assert await known(pool) == {
        "owner": b"",
        "revision": b"r",
        "recurs": b"daily",
        "next": b"1000",
        "definition": DEFINITION,
    }


async def test_what_is_the_same_is_not_written_again(pool: TaskPool) -> None:
    """Every worker says at its start what its code has; nobody is woken for that, and its next tick stays."""
    await store(pool, "s", owner="code")
    found = await everything(pool)
    async with listening(pool, keys.SCHEDULES) as listener, full(pool):
        assert await store(pool, "s", owner="code", tick=5_000) == [1]
        assert await listener.told() == []
    assert await everything(pool) == found


async def test_a_new_definition_keeps_the_tick_where_it_recurs_as_before(pool: TaskPool) -> None:
    """What is known of its runs, and its pause, stay in any case."""
    await store(pool, "s")
    await ran(pool, "s", "job")
    await store(pool, "s", revision="r2", tick=5_000)
    assert await places(pool) == {"s": 1_000}
    await change(pool, "pause")
    await store(pool, "s", revision="r3", recurs="weekly", tick=5_000)
    assert await places(pool) == {"s": float("inf")}
    after = await known(pool)
    assert (after["next"], after["revision"], after["job"], after["paused"]) == (b"5000", b"r3", b"job", b"1")


async def test_what_comes_from_code_goes_with_the_code(pool: TaskPool) -> None:
    """Schedules of other code, and those of run time, are left alone."""
    await store(pool, "own")
    await store(pool, "other", owner="other")
    await store(pool, "stays", "goes", owner="code")
    await store(pool, "stays", owner="code")
    assert (await scripts.script(pool, "ticks")(args=[1, "code"]))[2] == 1
    assert set(await places(pool)) == {"own", "other", "stays"}
    assert not await known(pool, "goes")


async def test_code_wins_a_name(pool: TaskPool) -> None:
    """At run time nobody takes a name from code; code takes it, and what is known of the runs stays."""
    await store(pool, "s", owner="code")
    assert await store(pool, "s", revision="r2") == [0]
    assert (await known(pool))["owner"] == b"code"
    await store(pool, "t")
    await ran(pool, "t", "job")
    await store(pool, "s", "t", owner="code")
    taken = await known(pool, "t")
    assert (taken["owner"], taken["job"]) == (b"code", b"job")


async def test_only_what_is_due_is_told(pool: TaskPool) -> None:
    """The longest due comes first; and it is told how long the next one takes, but not of one that is paused."""
    now = await now_of(pool)
    await store(pool, "late", tick=now - 10)
    await store(pool, "later", tick=now - 20)
    await store(pool, "soon", tick=now + 60_000)
    await store(pool, "paused", tick=now - 10)
    await change(pool, "pause", schedule="paused")
    ticks = scripts.script(pool, "ticks")
    moment, wait, written, due = await ticks(args=[10, "code"])
    assert now <= moment
    assert not written
    assert wait == now + 60_000 - moment
    assert due == [
        [b"later", b"%d" % (now - 20), b"r", DEFINITION],
        [b"late", b"%d" % (now - 10), b"r", DEFINITION],
    ]
    assert [row[0] for row in (await ticks(args=[1, ""]))[3]] == [b"later"]


async def test_nothing_is_told_where_there_is_nothing(pool: TaskPool) -> None:
    """Neither in an empty Redis nor where all are paused."""
    ticks = scripts.script(pool, "ticks")
    assert (await ticks(args=[10, ""]))[1:] == [-1, 0, []]
    await store(pool, "s")
    await change(pool, "pause")
    assert (await ticks(args=[10, ""]))[1:] == [-1, 0, []]


async def test_a_tick_becomes_jobs_and_moves_on_in_one_step(pool: TaskPool, me: Hand) -> None:
    """The jobs are due when the tick was, a worker is woken, and it is known when the schedule ran."""
    await store(pool, "s")
    before = await now_of(pool)
    assert await run(pool, "a", "b") == 2
    assert await places(pool) == {"s": 2_000}
    after = await known(pool)
    assert (after["next"], after["job"]) == (b"2000", b"b")
    assert before <= int(after["last"]) <= await now_of(pool)
    assert await score_of(pool, "a") == 1_000
    assert await names(pool) == {
        *(keys.job("a"), keys.job("b")),
        *(QUEUE, keys.wake(QUEUE), keys.SCHEDULES, keys.schedule("s")),
    }
    assert await pool.get(keys.job("a")) == PAYLOAD
    assert await me.claimed() == ["a", "b"]


@pytest.mark.parametrize(
    "changed", [{"tick": 999}, {"revision": "r0"}, {"schedule": "unknown"}, {"tick": 1_000, "upcoming": 3_000}]
)
async def test_a_schedule_that_has_changed_is_left_alone(changed: dict[str, Any], pool: TaskPool) -> None:
    """Another worker was first, or somebody has changed, removed or paused it: nothing at all is written."""
    await store(pool, "s")
    if "upcoming" in changed:
        await change(pool, "pause")
    found = await everything(pool)
    assert await run(pool, "a", **changed) == -1
    assert await everything(pool) == found


async def test_of_many_workers_one_runs_the_tick(pool: TaskPool) -> None:
    """However many try at once, there is one job."""
    await store(pool, "s")
    answers = await asyncio.gather(*[run(pool, f"job-{number}", other=f"other-{number}") for number in range(50)])
    assert sorted(answers) == [-1] * 49 + [1]
    assert await pool.zcard(QUEUE) == 1


async def test_a_run_is_passed_over_while_the_last_has_not_ended(pool: TaskPool, me: Hand) -> None:
    """Whether it waits or runs; when it has ended, the next tick is run."""
    await store(pool, "s")
    assert await run(pool, "a", overlap=False) == 1
    assert await run(pool, "b", tick=2_000, upcoming=3_000, overlap=False) == -2
    await me.claim()
    assert await run(pool, "b", tick=3_000, upcoming=4_000, overlap=False) == -2
    assert await places(pool) == {"s": 4_000}
    assert (await known(pool))["job"] == b"a"
    await pool.delete(keys.job("a"))
    assert await run(pool, "b", tick=4_000, upcoming=5_000, overlap=False) == 1
    assert await run(pool, "c", tick=5_000, upcoming=6_000) == 1


async def test_a_tick_runs_though_its_id_is_taken(pool: TaskPool) -> None:
    """It gets another one; where there is none, whoever has the id stands for the tick."""
    await store(pool, "s")
    await enqueue(pool, "a")
    assert await run(pool, "a", other="a:other") == 1
    assert (await known(pool))["job"] == b"a:other"
    assert await run(pool, "a", tick=2_000, upcoming=3_000) == 0
    assert await places(pool) == {"s": 3_000}
    assert await pool.zcard(QUEUE) == 2


async def test_nothing_is_left_of_a_job_that_had_the_id_before(pool: TaskPool) -> None:
    """One that was cancelled leaves its id free."""
    await store(pool, "s")
    await enqueue(pool, "a")
    await cancel(pool, "a")
    await pool.zadd(keys.ABORTS, {"a": 1})
    await pool.set(keys.tries("a"), 3)
    assert await run(pool, "a", other="a:other") == 1
    assert not await pool.exists(keys.ABORTS, keys.tries("a"), keys.result("a"), keys.cancelled("a"))


async def test_a_unique_job_stands_for_the_ticks_that_come_while_it_waits(pool: TaskPool) -> None:
    """As for whoever else enqueues it."""
    await store(pool, "s")
    lock = keys.unique("task"), "pending", KEEP
    assert await run(pool, "a", locks=[lock]) == 1
    assert await run(pool, "b", tick=2_000, upcoming=3_000, locks=[lock]) == 0
    assert await pool.get(lock[0]) == b"a"
    assert await pool.zcard(QUEUE) == 1


@pytest.mark.parametrize("wrong", [keys.unique("task"), QUEUE])
async def test_what_redis_refuses_leaves_the_tick_as_it_was(wrong: str, pool: TaskPool) -> None:
    """A key of another kind is in the way: no job, and the tick has still to come."""
    await store(pool, "s")
    client: Any = pool
    await (client.set(wrong, 1) if wrong == QUEUE else client.rpush(wrong, 1))
    found = await everything(pool)
    answer = await run(pool, "a", locks=[(keys.unique("task"), "pending", KEEP)])
    assert isinstance(answer, ResponseError)
    assert await everything(pool) == found


async def test_a_removed_schedule_leaves_nothing(pool: TaskPool) -> None:
    """Unless it comes from code; one that is not there is said not to be."""
    await store(pool, "s")
    assert await change(pool, "remove") == b"done"
    assert await names(pool) == set()
    assert [await change(pool, wish) for wish in ("remove", "pause", "resume")] == [b"unknown"] * 3
    await store(pool, "s", owner="code")
    assert await change(pool, "remove") == b"code"
    assert await places(pool) == {"s": 1_000}


async def test_a_pause_ends_with_the_tick_that_the_caller_has_worked_out(pool: TaskPool) -> None:
    """Unless the schedule is another one since; one that is not paused goes on as it was."""
    await store(pool, "s")
    assert await change(pool, "resume", "r", "9000") == b"done"
    assert await places(pool) == {"s": 1_000}
    async with listening(pool, keys.SCHEDULES) as listener:
        await change(pool, "pause")
        assert await places(pool) == {"s": float("inf")}
        assert await change(pool, "resume", "r0", "9000") == b"changed"
        assert await change(pool, "resume", "r", "9000") == b"done"
        assert await listener.told() == [b"s", b"s"]
    assert await places(pool) == {"s": 9_000}
    assert (await known(pool))["next"] == b"9000"


async def test_a_run_out_of_turn_is_noted_of_what_is_there(pool: TaskPool) -> None:
    """Nothing comes into being by it."""
    await ran(pool, "s", "job")
    assert await names(pool) == set()
    await store(pool, "s")
    await ran(pool, "s", "job")
    assert (await known(pool))["job"] == b"job"


async def test_a_full_redis_refuses_a_tick_before_it_writes_anything(pool: TaskPool) -> None:
    """The tick has still to come, and it comes when there is room."""
    await store(pool, "s")
    found = await everything(pool)
    async with full(pool):
        for jobs in (["a"], []):
            with pytest.raises(ResponseError, match="maxmemory"):
                await run(pool, *jobs)
        with pytest.raises(ResponseError, match="maxmemory"):
            await store(pool, "t", owner="code")
    assert await everything(pool) == found
    assert await run(pool, "a") == 1


async def test_a_full_redis_lets_schedules_be_paused_and_removed(pool: TaskPool) -> None:
    """That is how one makes room."""
    await store(pool, "s", "t")
    async with full(pool):
        assert await change(pool, "pause") == b"done"
        assert await change(pool, "resume", "r", "9000") == b"done"
        assert await change(pool, "remove") == b"done"
    assert await places(pool) == {"t": 1_000}
