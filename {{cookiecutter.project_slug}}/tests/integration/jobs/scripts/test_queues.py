"""`queues.lua` and `pause.lua`: what is in the lanes, and which queues rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobPriority, keys, scripts
from {{ cookiecutter.__package }}.infrastructure.jobs.lookup import LONGEST_LEASE

from integration.jobs.scripts.calls import (
    LEASE,
    MAIL,
    QUEUE,
    enqueue,
    everything,
    lapse,
    now_of,
    tokens_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand

URGENT = keys.queue("mail", JobPriority.CRITICAL)


async def count(
    pool: TaskPool, lanes: Sequence[str] = (QUEUE,), *, everything: bool = False
) -> tuple[int, set[bytes], dict[str, tuple[int, int, int, int, float | None]]]:
    now, paused, counts, _ = await scripts.script(pool, "queues")(keys=lanes, args=[int(everything), LONGEST_LEASE])
    found = {lane.decode(): (*numbers, float(first) if first else None) for lane, *numbers, first in counts}
    assert len(found) == len(counts)
    return now, set(paused), found


async def pause(pool: TaskPool, queue: str, *, on: bool = True) -> None:
    await scripts.script(pool, "pause")(keys=[queue], args=[int(on)])


async def test_an_empty_lane_has_nothing(pool: TaskPool) -> None:
    """A lane that does not exist is counted like one that is empty, and the time is that of Redis."""
    before = await now_of(pool)
    now, paused, counts = await count(pool)
    assert before <= now <= await now_of(pool)
    assert (paused, counts) == (set(), {QUEUE: (0, 0, 0, 0, None)})


async def test_jobs_are_told_apart(pool: TaskPool, me: Hand) -> None:
    """Due, not due yet, running, parked; one whose lease has lapsed waits; the oldest is the first of the due."""
    now = await now_of(pool)
    await enqueue(pool, "running", "lost", "put back")
    await me.claim()
    await lapse(pool, "lost")
    await me.requeue("put back", delay=90_000)
    await enqueue(pool, "soon", delay=LEASE)
    await enqueue(pool, "tomorrow", delay=86_400_000)
    await enqueue(pool, "expires", due=now - 5_000, lifetime=60_000)
    await enqueue(pool, "due", due=now - 4_000)
    assert (await count(pool))[2] == {QUEUE: (3, 3, 1, 0, now - 5_000 + 0.25)}
    await pool.zadd(keys.outside(QUEUE), {"parked": now - 6_000, "parked too": now})
    assert (await count(pool))[2] == {QUEUE: (3, 3, 1, 2, now - 6_000)}
    await pool.zadd(keys.outside(QUEUE), {"parked": now - 3_000})
    assert (await count(pool))[2] == {QUEUE: (3, 3, 1, 2, now - 5_000 + 0.25)}


@pytest.mark.parametrize("number", [999, 1_000, 1_001, 2_500])
async def test_running_jobs_are_found_among_many(number: int, pool: TaskPool) -> None:
    """Whether they stand on the first page of scores or on a later one; what is beyond the longest lease waits."""
    now = await now_of(pool)
    later = {f"later {each}": now + 120_000 + each for each in range(number)}
    running = {f"running {each}": now + 60_000.5 + 250 * each for each in range(number)}
    await pool.zadd(QUEUE, {"due": now, "tomorrow": now + 2 * LONGEST_LEASE + 0.5} | later | running)
    assert (await count(pool))[2] == {QUEUE: (1, number + 1, number, 0, now)}


async def test_other_lanes_are_counted_if_asked_for(pool: TaskPool) -> None:
    """All that have ever had a job, each once; else those that are named."""
    await enqueue(pool, "a", queue=URGENT)
    await enqueue(pool, "b", queue=MAIL)
    assert set((await count(pool, [QUEUE, MAIL]))[2]) == {QUEUE, MAIL}
    assert set((await count(pool, [QUEUE, MAIL], everything=True))[2]) == {QUEUE, MAIL, URGENT}


async def test_counting_does_not_grow_with_what_is_due(pool: TaskPool) -> None:
    """As many commands for ten thousand jobs as for none."""

    async def commands() -> dict[str, int]:
        await pool.config_resetstat()
        await count(pool)
        stats: dict[str, Any] = await pool.info("commandstats")
        return {name: stat["calls"] for name, stat in stats.items() if name != "cmdstat_config|resetstat"}

    await count(pool)  # which loads it
    await pool.zadd(QUEUE, {"a": 1})
    few = await commands()
    await pool.zadd(QUEUE, {str(number): number for number in range(10_000)})
    assert await commands() == few


async def test_a_queue_is_paused_until_it_is_resumed(pool: TaskPool) -> None:
    """Twice is as good as once; whoever resumes it wakes a worker, and one that was not paused is left alone."""
    await pause(pool, MAIL)
    await pause(pool, MAIL)
    await pause(pool, QUEUE)
    assert (await count(pool))[1] == {MAIL.encode(), QUEUE.encode()}
    assert await tokens_of(pool, MAIL) == []
    await pause(pool, MAIL, on=False)
    assert (await count(pool))[1] == {QUEUE.encode()}
    assert await tokens_of(pool, MAIL) == [b"1"]
    await pool.delete(keys.wake(MAIL))
    found = await everything(pool)
    await pause(pool, MAIL, on=False)
    assert await everything(pool) == found


async def test_a_full_redis_lets_queues_be_paused(pool: TaskPool) -> None:
    """It may be full because of what is started from that queue."""
    await pool.config_set("maxmemory", (await pool.info("memory"))["used_memory"] // 2)
    try:
        await pause(pool, MAIL)
        assert (await count(pool))[1] == {MAIL.encode()}
        await pause(pool, MAIL, on=False)
        assert (await count(pool))[1] == set()
    finally:
        await pool.config_set("maxmemory", 0)
