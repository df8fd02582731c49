"""Schedules in workers: what stands in code, and that each tick leads to one run, whatever becomes of workers."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from arq import cron
from arq.connections import create_pool

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidScheduleError,
    RedisSettings,
    Schedule,
    Schedules,
    TaskPool,
    close_client,
    codec,
    keys,
    parse_redis_url,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.memory import MemoryServer
from {{ cookiecutter.__package }}.infrastructure.jobs.schedules import scheduler
from {{ cookiecutter.__package }}.infrastructure.jobs.schedules.timetable import Ticker
from {{ cookiecutter.__package }}.infrastructure.jobs.testing import Clock
from {{ cookiecutter.__package }}.infrastructure.tasks import WorkerSettings, get_redis_settings

from .schedule_hands import MINUTE, Runs, jobs, move, new_worker, working
from .scripts.test_full_redis import full
from .test_recovery import TESTS, until
from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from processes import Process


async def report(ctx: dict[str, Any]) -> None: ...


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[TaskPool]:
    """Give a pool that takes any task."""
    client = TaskPool.from_settings(parse_redis_url(redis_url))
    yield client
    await close_client(client)


@pytest.fixture
def schedules(pool: TaskPool) -> Schedules:
    return Schedules(pool)


@pytest.fixture
def runs() -> Runs:
    return Runs()


async def test_the_projects_own_schedules_are_listed(schedules: Schedules) -> None:
    """Once a worker has started, with the next tick of each."""
    own = {name: getattr(WorkerSettings, name) for name in ("cron_jobs", "schedules")}
    async with working(*WorkerSettings.functions, **own, timezone=UTC):
        listed = {record.id: record for record in await schedules.list()}
    assert listed.keys() == {"cron:cleanup_expired_sessions", *(each.name for each in WorkerSettings.schedules)}
    nightly = listed["cron:cleanup_expired_sessions"].next_run
    assert nightly
    assert (nightly.hour, nightly.minute) == (3, 0)
    assert all(record.next_run for record in listed.values())


@pytest.mark.usefixtures("redis_url")
async def test_each_tick_runs_once_on_several_workers(runs: Runs) -> None:
    """Four workers that wait for the same second run it once; no tick is left out."""
    every = [Schedule("tick", "every", interval=1)]

    async def tick(ctx: dict[str, Any]) -> None:
        await runs.tick(ctx)

    tick.__qualname__ = "tick"
    async with (
        working(tick, schedules=every),
        working(tick, schedules=every),
        working(tick, schedules=every),
        working(tick, schedules=every),
    ):
        await runs.until(4)
    ticks = sorted(runs.ticks)
    assert ticks == [ticks[0] + 1000 * number for number in range(len(ticks))]


async def test_a_worker_hears_of_a_new_schedule(runs: Runs, pool: TaskPool, schedules: Schedules) -> None:
    """It does not wait until it would look again by itself."""

    async def tick(ctx: dict[str, Any]) -> None:
        await runs.tick(ctx)

    tick.__qualname__ = "report"
    async with working(tick):
        async with asyncio.timeout(4):  # less than it waits for itself
            await until(lambda: subscribed(pool))
            await schedules.add(Schedule("report", interval=1))
            await runs.until(1)


async def subscribed(pool: TaskPool) -> bool:
    [(_, number)] = await pool.pubsub_numsub(keys.SCHEDULES)
    return bool(number)


async def test_what_stands_in_code_is_there_when_a_worker_has_started(schedules: Schedules) -> None:
    """What is unchanged keeps its tick and its pause; what the code has no longer goes; what is of run time stays."""
    await schedules.add(Schedule("report", "own", interval=60))
    code = [Schedule(report, name, interval=60) for name in ("a", "b", "c")]
    daily = [cron(report, hour=3, minute=0), cron(report, hour=4, unique=False)]
    async with working(report, schedules=code, cron_jobs=daily):
        pass
    found = {record.name: record for record in await schedules.list()}
    assert found.keys() == {"own", "a", "b", "c", "cron:report"}
    assert {record.name for record in found.values() if record.from_code} == {"a", "b", "c", "cron:report"}
    assert found["cron:report"].schedule == "cron(hour=3, minute=0)"
    assert found["cron:report"].queue == "default"
    await schedules.pause("a")
    with pytest.raises(InvalidScheduleError, match="'a': it stands in WorkerSettings"):
        await schedules.remove("a")
    with pytest.raises(InvalidScheduleError, match="'a': it stands in WorkerSettings"):
        await schedules.add(Schedule("report", "a", interval=5))
    async with working(report, schedules=[code[0], Schedule(report, "b", interval=61)]):
        pass
    after = {record.name: record for record in await schedules.list()}
    assert after.keys() == {"own", "a", "b"}
    assert after["own"] == found["own"]
    assert after["a"].paused
    assert after["b"].next_run != found["b"].next_run
    async with working(report):  # it says nothing of schedules
        pass
    assert len(await schedules.list()) == 3


async def test_what_stands_in_code_comes_back_when_redis_was_emptied(
    schedules: Schedules, pool: TaskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker has to be started for that; what other code has removed stays away."""
    monkeypatch.setattr(scheduler, "LOOK", 0.05)
    code = [Schedule(report, name, interval=60) for name in ("a", "b")]
    async with working(report, schedules=code):
        await pool.flushall()
        await until(lambda: listed(schedules))
        async with working(report, schedules=code[:1]) as worker:
            for _ in range(3):
                await worker.scheduler.look()
            assert [record.name for record in await schedules.list()] == ["a"]


async def test_a_worker_that_sees_an_emptied_redis_writes_at_once(schedules: Schedules, pool: TaskPool) -> None:
    """A tick that comes soon after is not lost for want of a second look."""
    async with working(report, schedules=[Schedule(report, "a", interval=60)]) as worker:
        await pool.flushall()
        await worker.scheduler.look()
        assert [record.name for record in await schedules.list()] == ["a"]


async def test_a_worker_that_starts_makes_up_for_missed_ticks(pool: TaskPool, schedules: Schedules) -> None:
    """In burst mode too: what is due is enqueued before it looks for jobs."""
    await schedules.add(Schedule("report", "x", interval=3600))
    tick = await move(pool, "x", late=90 * MINUTE)
    ticks: list[int] = []

    async def late(ctx: dict[str, Any]) -> None:
        ticks.append(ctx["score"])

    late.__qualname__ = "report"
    worker = new_worker(late, burst=True)
    await worker.async_run()
    await worker.close()
    assert ticks == [tick + 60 * MINUTE]


async def test_a_full_redis_lets_workers_start_and_ticks_come_later(
    runs: Runs, pool: TaskPool, schedules: Schedules, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said why schedules wait, and the worker does what it can meanwhile."""
    monkeypatch.setattr(scheduler, "LOOK", 0.05)

    async def tick(ctx: dict[str, Any]) -> None:
        await runs.tick(ctx)

    tick.__qualname__ = "report"
    await pool.enqueue("report", job_id="waits")
    async with full(pool), working(tick, schedules=[Schedule(tick, "x", interval=3600)]):
        await runs.until(1)
        await until(lambda: "schedules wait, Redis refuses" in caplog.text)
    assert await schedules.list() == []
    async with working(tick, schedules=[Schedule(tick, "x", interval=3600)]):
        await until(lambda: listed(schedules))


async def listed(schedules: Schedules) -> bool:
    return bool(await schedules.list())


async def test_a_worker_with_arqs_client_enqueues_ticks_too(runs: Runs, pool: TaskPool, schedules: Schedules) -> None:
    """They are stored as the worker's codec says, and read so."""

    async def tick(ctx: dict[str, Any]) -> None:
        await runs.tick(ctx)

    tick.__qualname__ = "report"
    await schedules.add(Schedule("report", "x", interval=3600, kwargs={}))
    await move(pool, "x", late=5)
    async with working(tick, redis_pool=await create_pool(get_redis_settings())):
        await runs.until(1)


# arq's cron()


async def test_a_tick_of_arqs_cron_is_arqs_job(pool: TaskPool) -> None:
    """Same id, same queue: plain arq workers may have the same cron jobs; one that nobody was there for is left out."""
    job = cron(report, name="nightly", hour=3, minute=0, microsecond=0)
    async with working(cron_jobs=[job]):
        pass
    tick = await move(pool, "nightly", late=20_000)
    await Ticker(pool).run_due()
    assert await jobs(pool) == [f"nightly:{tick}"]
    arq_pool = await create_pool(get_redis_settings(), job_serializer=codec.serialize)
    tick = await move(pool, "nightly", late=10_000)
    await arq_pool.enqueue_job("nightly", _job_id=f"nightly:{tick}")
    await arq_pool.aclose()
    await Ticker(pool).run_due()
    assert len(await jobs(pool)) == 2
    await move(pool, "nightly", late=2 * MINUTE)
    await Ticker(pool).run_due()
    assert len(await jobs(pool)) == 2


async def test_cron_jobs_of_one_id_stand_for_each_other(pool: TaskPool) -> None:
    """As in arq: there is one job of an id at a time."""
    cron_jobs = [cron(report, hour=hour, job_id="single", microsecond=0) for hour in (3, 4)]
    async with working(cron_jobs=cron_jobs):
        pass
    for name in ("cron:report", "cron:report#2"):
        await move(pool, name, late=1)
        await Ticker(pool).run_due()
    assert await jobs(pool) == ["single"]


@pytest.mark.usefixtures("redis_url")
async def test_what_is_each_workers_own_is_enqueued_by_each(runs: Runs) -> None:
    """What runs at the start of each, once; and what is not unique, at each tick."""

    async def begin(ctx: dict[str, Any]) -> None:
        await runs.tick(ctx)

    ticks = Runs()

    async def tick(ctx: dict[str, Any]) -> None:
        await ticks.tick(ctx)

    second = set(range(60))
    cron_jobs = [
        cron(begin, name="begin", hour=3, run_at_startup=True),
        cron(tick, name="tick", second=second, unique=False),
    ]
    async with working(cron_jobs=cron_jobs), working(cron_jobs=cron_jobs):
        await ticks.until(4)
    assert len(runs.ticks) == 2
    assert max(ticks.ticks.count(each) for each in ticks.ticks) == 2


# Processes


class Lines:
    """The ticks for which the processes' tasks ran."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def ticks(self, schedule: str) -> list[int]:
        """Give those of one schedule, in their order."""
        lines = [line.split() for line in self._path.read_text().splitlines()]
        return sorted(int(tick) for name, tick in lines if name == schedule)

    async def until(self, number: int) -> None:
        """Wait until so many more have run of both schedules."""
        wanted = {name: len(self.ticks(name)) + number for name in ("interval", "cron")}
        await until(lambda: all(len(self.ticks(name)) >= count for name, count in wanted.items()))

    def assert_each_once(self) -> None:
        """Each second has its run, and only one."""
        for name in ("interval", "cron"):
            ticks = self.ticks(name)
            assert ticks == [ticks[0] + 1000 * number for number in range(len(ticks))], name


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lines:
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    return Lines(tmp_path / "runs")


def process(**environment: str) -> AbstractAsyncContextManager[Process]:
    return command("arq", "integration.jobs.tickers.SETTINGS", PYTHONPATH=TESTS, **environment)


@pytest.mark.usefixtures("pool")
async def test_clocks_that_are_hours_apart_make_no_difference(lines: Lines) -> None:
    """Each tick runs once, when Redis's clock says so; arq's `cron()` is no exception."""
    async with process(SKEW="-3"), process(SKEW="5"), process():
        await lines.until(5)
    lines.assert_each_once()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_tick_is_run_once_though_its_worker_is_killed(moment: str, lines: Lines, pool: TaskPool) -> None:
    """Before it has enqueued the jobs, or before it knows that it has."""
    async with process(STOP=moment) as first:
        await first.until("stands still")
        first.process.kill()
        await first.process.wait()
    known = {record.name: record for record in await Schedules(pool).list()}
    async with process():
        await lines.until(3)
    lines.assert_each_once()
    if moment == "after":
        assert any(record.last_job_id for record in known.values())


# In memory


async def test_ticks_come_in_memory_when_the_clock_is_moved(runs: Runs) -> None:
    """A worker on a Redis inside the process runs them once it is told to look."""
    server, clock = MemoryServer(), Clock()

    async def tick(ctx: dict[str, Any]) -> None:
        await runs.tick(ctx)

    tick.__qualname__ = "report"
    weekly = Schedule(tick, "weekly", cron="0 0 * * SUN")
    with server.installed():
        pool = TaskPool.from_settings(RedisSettings())
        try:
            async with working(tick, redis_settings=RedisSettings(), schedules=[weekly]) as worker:
                own = Schedules(pool)
                made = await own.add(Schedule("report", "hourly", interval=3600))
                for number in (1, 2):
                    clock.advance(timedelta(days=7))
                    worker.scheduler.wake()
                    await runs.until(2 * number)
                [last, again] = await own.list()
                assert (last.name, again.name) == ("hourly", "weekly")
                assert made.next_run
                assert last.next_run == made.next_run + timedelta(days=14)
                await own.pause("hourly")
                await own.resume("hourly")
                assert await own.remove("hourly")
        finally:
            clock.stop()
            await close_client(pool)
