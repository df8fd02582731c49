"""What jobs came to lately: counted once each by real workers, and read at the same price however many there are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from arq.utils import timestamp_ms

from {{ cookiecutter.__package }}.infrastructure.embedded import embedded_redis
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobStatus,
    Percentiles,
    Queues,
    QueueUnavailable,
    Retention,
    Retry,
    Statistics,
    TaskPool,
    TaskStatistics,
    keys,
    parse_redis_url,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.running import attempts, claims, endings
from {{ cookiecutter.__package }}.infrastructure.jobs.running import counters as counters_module
from {{ cookiecutter.__package }}.infrastructure.jobs.running.commits import End
from {{ cookiecutter.__package }}.infrastructure.jobs.running.counters import Counters
from {{ cookiecutter.__package }}.infrastructure.jobs.statistics import DAY, HOUR, MINUTES

from .limit_hands import Hand, command, lapse, now_of
from .test_round_trips import calls, reads
from .told_workers import ended, working

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from {{ cookiecutter.__package }}.infrastructure.jobs import Overview, TaskContext
    from {{ cookiecutter.__package }}.infrastructure.jobs.running.counters import Tally

    from ..conftest import RunJobs

MANY = 100_000
NO_TIMES = Percentiles()


@pytest.fixture
def statistics(pool: TaskPool) -> Statistics:
    """Give the statistics of the test's Redis."""
    return Statistics(pool)


async def nothing(ctx: TaskContext, number: int = 0) -> None:
    """End at once."""


async def fails(ctx: TaskContext) -> None:  # noqa: ARG001
    raise ValueError("no")


async def asks_twice(ctx: TaskContext) -> None:
    if ctx["job_try"] < 3:
        raise Retry(defer=0)


def tally(task: str = "nothing", *, outcome: str = "success", wait: int = 0, run: int = 0) -> Tally:
    return task, outcome, keys.queue(), (wait, run)


async def count(pool: TaskPool, tallies: Iterable[Tally]) -> None:
    """Count these as a worker does that ends right after."""
    counters = Counters(pool)
    counters.add(tallies)
    await counters.close()


def ends(overview: Overview) -> dict[str, tuple[int, int, int, int]]:
    """Give what the jobs of each task came to in the last hour: well, badly, cancelled, tried again."""
    return {task.task: (task.succeeded, task.failed, task.cancelled, task.retried) for task in overview.hour.tasks}


# What is counted


async def test_every_job_is_counted_once(pool: TaskPool, statistics: Statistics, run_jobs: RunJobs) -> None:
    """Jobs count by what they came to in the end, and tries that others came after count apart."""
    await pool.enqueue_many("nothing", [{"number": number} for number in range(30)])
    await pool.enqueue("fails")
    await pool.enqueue("asks_twice", queue="mail")
    await run_jobs(nothing, fails, asks_twice, queues="*")
    found = await statistics.overview()
    assert ends(found) == {"asks_twice": (1, 0, 0, 2), "fails": (0, 1, 0, 2), "nothing": (30, 0, 0, 0)}
    for period in (found.hour, found.day):
        assert (period.succeeded, period.failed, period.cancelled, period.retried) == (31, 1, 0, 4)
        assert period.tasks == found.hour.tasks
        assert period.throughput == 32 / period.seconds
    assert HOUR <= found.hour.seconds < HOUR + MINUTES
    assert DAY <= found.day.seconds < DAY + HOUR


async def test_a_worker_may_count_nothing(pool: TaskPool, statistics: Statistics, run_jobs: RunJobs) -> None:
    """With `Retention(statistics=False)` it leaves no key of them behind."""
    await pool.enqueue("nothing")
    await pool.enqueue("asks_twice")
    await run_jobs(nothing, asks_twice, retention=Retention(statistics=False))
    assert ends(await statistics.overview()) == {}
    assert await pool.keys("arq:statistics:*") == []


async def test_cancelled_jobs_are_counted(pool: TaskPool, statistics: Statistics) -> None:
    """Whoever ends them: a client, where they wait, or their worker; those that never ran have no times."""
    started = asyncio.Event()

    async def lasts(ctx: TaskContext) -> None:  # noqa: ARG001
        started.set()
        await asyncio.Event().wait()

    waits = [await pool.enqueue(task, defer_by=3600) for task in ("nothing", "nothing", "lasts")]
    async with working(nothing, lasts):
        runs = await pool.enqueue("lasts")
        assert runs
        await started.wait()
        for job_id in [*waits, runs]:
            assert job_id
            await pool.cancel(job_id, terminate=True)
        assert (await ended(pool, runs)).status is JobStatus.CANCELLED
    found = await statistics.overview()
    assert ends(found) == {"lasts": (0, 0, 2, 0), "nothing": (0, 0, 2, 0)}
    lasting, never = found.hour.tasks
    assert (never.wait, never.run) == (NO_TIMES, NO_TIMES)
    assert None not in {lasting.wait.p50, lasting.run.p50}


async def test_jobs_that_never_ran_are_counted(pool: TaskPool, statistics: Statistics, run_jobs: RunJobs) -> None:
    """A job that nobody knows, or cannot read, has failed without having waited or run."""
    await pool.enqueue("nobody_knows")
    await pool.enqueue("nothing", job_id="damaged")
    await pool.set(keys.job("damaged"), b"\xc1")
    await run_jobs(nothing)
    assert (await statistics.overview()).hour.tasks == (
        TaskStatistics("<unknown>", failed=1),
        TaskStatistics("nobody_knows", failed=1),
    )


async def test_a_job_that_is_put_back_is_not_counted(pool: TaskPool, statistics: Statistics) -> None:
    """When its worker stops, a job has neither ended nor failed."""
    started = asyncio.Event()

    async def lasts(ctx: TaskContext) -> None:  # noqa: ARG001
        started.set()
        await asyncio.Event().wait()

    await pool.enqueue("lasts")
    async with working(lasts):
        await started.wait()
    assert (await statistics.overview()).hour.tasks == ()


async def test_only_what_is_recorded_is_counted(pool: TaskPool, statistics: Statistics) -> None:
    """A worker that has lost its lease counts nothing, for another one will."""
    me, other = Hand(pool, None), Hand(pool, None, "other")
    for job_id in ("kept", "lost"):
        await pool.enqueue("nothing", job_id=job_id)
    await me.claim()
    await lapse(pool, "lost")
    await other.claim()
    for job_id, claim in me.claims.items():
        me._committer.add(End(claim, JobStatus.SUCCESS, tally=tally(job_id)))
    await me._committer.flush()
    await me._committer.counters.close()
    assert ends(await statistics.overview()) == {"kept": (1, 0, 0, 0)}


async def test_workers_add_up(pool: TaskPool, statistics: Statistics) -> None:
    """What several have counted, of whatever tasks, is one sum; a task may have any name."""
    names = ["nothing", "a:b", "Grüße, \"'\\\n"]
    for name in names:
        await count(pool, [tally(name)] * 2)
        await count(pool, [tally(name), tally(name, outcome="failed")])
    assert ends(await statistics.overview()) == dict.fromkeys(sorted(names), (3, 1, 0, 0))


# Times


async def test_a_job_waits_from_when_it_was_due(pool: TaskPool, statistics: Statistics, run_jobs: RunJobs) -> None:
    """Its time in the queue counts once it is due, not before; and what it takes is counted apart."""

    async def later(ctx: TaskContext) -> None: ...

    for task in ("nothing", "later"):
        await pool.enqueue(task, job_id=task, defer_by=3600)
    hour, now = HOUR * 1000, await now_of(pool)
    await pool.zadd(keys.queue(), {"nothing": now - 10 * hour, "later": now - 5})
    await run_jobs(nothing, later)
    due_lately, due_long = (await statistics.overview()).hour.tasks
    assert due_lately.wait.p50 is not None
    assert due_long.wait.p50 is not None
    assert due_lately.wait.p50 < HOUR
    assert due_long.wait.p50 == pytest.approx(10 * HOUR, rel=0.1)
    assert due_long.run.p50 is not None
    assert due_long.run.p50 < HOUR


@pytest.mark.parametrize("hours", [-2, 2])
async def test_the_clock_of_a_worker_may_be_wrong(
    hours: int, pool: TaskPool, statistics: Statistics, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job waits and runs as long as it does, by the clock of Redis, which says when it was due."""
    for module in (attempts, claims, endings):
        monkeypatch.setattr(module, "timestamp_ms", lambda: timestamp_ms() + hours * HOUR * 1000)
    await pool.enqueue("nothing", job_id="nothing", defer_by=3600)
    await pool.zadd(keys.queue(), {"nothing": await now_of(pool) - 10 * HOUR * 1000})
    await run_jobs(nothing)
    [found] = (await statistics.overview()).hour.tasks
    assert found.wait.p50 == pytest.approx(10 * HOUR, rel=0.1)
    assert found.run.p50 is not None
    assert found.run.p50 < HOUR


async def test_percentiles_are_a_tenth_off_at_most(pool: TaskPool, statistics: Statistics) -> None:
    """Half the jobs waited as long as p50 says, or shorter; the rest likewise."""
    await count(pool, [tally(wait=1000 * second, run=second) for second in range(1, 101)])
    [found] = (await statistics.overview()).hour.tasks
    waits = [found.wait.p50, found.wait.p95, found.wait.p99]
    runs = [found.run.p50, found.run.p95, found.run.p99]
    assert waits == pytest.approx([50, 95, 99], rel=0.1)
    assert runs == pytest.approx([0.050, 0.095, 0.099], rel=0.1)


# When


async def shift(pool: TaskPool, length: int, seconds: int) -> None:
    """Let what was counted have been counted so much earlier."""
    async for key in pool.scan_iter(keys.statistics(f"{length}:*")):
        start = int(key.decode().rpartition(":")[2])
        await pool.rename(key, keys.statistics(f"{length}:{start - seconds}"))


async def test_old_numbers_are_left_out(pool: TaskPool, statistics: Statistics) -> None:
    """What is older than an hour counts for the day only, and what is older than a day not at all."""
    await count(pool, [tally()])
    await shift(pool, MINUTES, HOUR - MINUTES)
    await shift(pool, HOUR, DAY - HOUR)
    found = await statistics.overview()
    assert (found.hour.succeeded, found.day.succeeded) == (1, 1)
    await shift(pool, MINUTES, 2 * MINUTES)
    found = await statistics.overview()
    assert (found.hour.succeeded, found.day.succeeded) == (0, 1)
    await shift(pool, HOUR, 2 * HOUR)
    assert (await statistics.overview()).day.succeeded == 0


async def test_old_numbers_are_forgotten(pool: TaskPool) -> None:
    """The numbers expire when nobody asks for them any more, also where jobs are only cancelled."""
    await count(pool, [tally()])
    job_id = await pool.enqueue("nothing", defer_by=3600)
    assert job_id
    await pool.cancel(job_id)
    for length, period in ((MINUTES, HOUR), (HOUR, DAY)):
        found = [key async for key in pool.scan_iter(keys.statistics(f"{length}:*"))]
        assert found
        for key in found:
            assert period - 60 <= await pool.ttl(key) <= period + length


# Writing


async def test_what_cannot_be_written_waits(pool: TaskPool, statistics: Statistics) -> None:
    """Where Redis refuses, what was counted is kept, and written when it takes it."""
    now = await now_of(pool) // 1000
    blocked = [keys.statistics(f"{MINUTES}:{moment - moment % MINUTES}") for moment in (now, now + MINUTES)]
    for key in blocked:
        await pool.set(key, "no hash")
    counters = Counters(pool)
    counters.add([tally(), tally()])
    await counters.close()
    await pool.delete(*blocked)
    assert (await statistics.overview()).day.succeeded == 0
    counters.add([tally()])
    await counters.close()
    assert (await statistics.overview()).hour.succeeded == 3


async def test_numbers_are_written_while_a_worker_runs(
    pool: TaskPool, statistics: Statistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are there soon after a job has ended, and again after the next."""
    monkeypatch.setattr(counters_module, "INTERVAL", 0.01)
    async with working(nothing):
        for number in (1, 2):
            await pool.enqueue("nothing")
            await until_counted(statistics, number)
    assert (await statistics.overview()).hour.succeeded == 2


async def until_counted(statistics: Statistics, number: int) -> None:
    async with asyncio.timeout(60):
        while True:
            if (await statistics.overview()).hour.succeeded >= number:
                return
            await asyncio.sleep(0.01)


# The rate of a queue


async def test_a_queue_tells_its_rate(pool: TaskPool, run_jobs: RunJobs) -> None:
    """It is the number of jobs that workers ended in a minute, of all priorities, over about five minutes."""
    for priority in (0, 10):
        await pool.enqueue_many("nothing", [{}] * 5, queue="mail", priority=priority)
    await pool.enqueue("fails", queue="other")
    await run_jobs(nothing, fails, queues="*")
    queues = Queues(pool)
    found = {queue.name: queue.rate for queue in await queues.list()}
    assert found == {"default": 0, "mail": pytest.approx(2, rel=0.1), "other": pytest.approx(0.2, rel=0.1)}
    assert (await queues.get("mail")).rate == pytest.approx(2, rel=0.1)
    assert (await queues.get("nowhere")).rate == 0


async def test_a_rate_fades(pool: TaskPool) -> None:
    """What ended in the five minutes before these counts less and less, and then no more."""
    await count(pool, [tally()] * 100)
    await shift(pool, MINUTES, MINUTES)
    [key] = [key async for key in pool.scan_iter(keys.statistics(f"{MINUTES}:*"))]
    end = int(key.decode().rpartition(":")[2]) + MINUTES
    before = await now_of(pool) / 1000
    rate = (await Queues(pool).get()).rate
    after = await now_of(pool) / 1000
    least, most = (max(0, 20 * (1 - (moment - end) / MINUTES)) for moment in (after, before))
    assert least - 0.001 < rate < most + 0.001
    await shift(pool, MINUTES, MINUTES)
    assert (await Queues(pool).get()).rate == 0


async def test_purged_jobs_are_no_throughput(pool: TaskPool, statistics: Statistics) -> None:
    """A queue that was emptied by hand has worked no faster, though its jobs count as cancelled."""
    await pool.enqueue_many("nothing", [{}] * 600)
    assert await Queues(pool).purge() == 600
    assert (await Queues(pool).get()).rate == 0
    assert ends(await statistics.overview()) == {"nothing": (0, 0, 600, 0)}


# What it costs


async def asked(pool: TaskPool, statistics: Statistics) -> tuple[dict[str, int], int, Overview]:
    """Give the commands that one question is, and how often the server reads for it."""
    await statistics.overview()  # by now the script is loaded
    await command(pool, "CONFIG", "RESETSTAT")
    before = await reads(pool)
    found = await statistics.overview()
    after = await reads(pool)
    counted = await calls(pool)
    for own in ("config|resetstat", "info"):
        del counted[own]
    return dict(counted), after - before - 1, found


async def test_an_overview_is_the_same_number_of_commands_however_many_jobs(
    pool: TaskPool, statistics: Statistics, run_jobs: RunJobs
) -> None:
    """With no jobs and with 100,000 that have ended it is one round trip and the same commands."""
    before, trips, found = await asked(pool, statistics)
    assert (trips, found.day.tasks) == (1, ())
    for start in range(0, MANY, 10_000):
        await pool.enqueue_many("nothing", [{"number": number} for number in range(start, start + 10_000)])
    worker = await run_jobs(nothing, max_jobs=500)
    assert worker.jobs_complete == await pool.zcard(keys.history("success")) == MANY
    after, trips, found = await asked(pool, statistics)
    assert (trips, found.hour.succeeded, found.day.succeeded) == (1, MANY, MANY)
    assert after == before == {"evalsha": 1, "time": 1, "hgetall": HOUR // MINUTES + 1 + DAY // HOUR + 1}


async def test_without_redis_it_says_so(tmp_path: Path) -> None:
    """Where nothing answers, that is the error."""
    with embedded_redis(tmp_path) as url:
        gone = url
    client: Any = TaskPool.from_settings(parse_redis_url(gone))
    with pytest.raises(QueueUnavailable):
        await Statistics(client).overview()
