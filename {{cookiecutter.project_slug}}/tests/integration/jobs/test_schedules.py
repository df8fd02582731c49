"""Schedules on a real Redis: what is kept of them, and that each tick leads to one run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidJobError,
    JobError,
    JobPriority,
    JobStatus,
    Misfire,
    PayloadTooLargeError,
    QueueUnavailable,
    Schedule,
    ScheduleNotFoundError,
    Schedules,
    TaskPool,
    TaskRegistry,
    Unique,
    UnknownTaskError,
    UnreadableError,
    UnserializableError,
    close_client,
    keys,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.connections import parse_redis_url
from {{ cookiecutter.__package }}.infrastructure.jobs.schedules import timetable
from {{ cookiecutter.__package }}.infrastructure.jobs.schedules.timetable import Ticker

from .schedule_hands import MINUTE, jobs, move
from .scripts.calls import now_of
from .scripts.test_full_redis import full

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def report(ctx: dict[str, Any], day: str = "today", *, long: bool = False) -> None: ...


@task(queue="mail", priority=JobPriority.HIGH, unique=Unique.PENDING)
async def choosy(ctx: dict[str, Any]) -> None: ...


@pytest.fixture
async def tasks(redis_url: str) -> AsyncIterator[TaskPool]:
    """Give a pool that knows the tasks of these tests."""
    pool = TaskPool.from_settings(parse_redis_url(redis_url), registry=TaskRegistry([report, choosy]))
    yield pool
    await close_client(pool)


@pytest.fixture
def schedules(tasks: TaskPool) -> Schedules:
    return Schedules(tasks)


# What is kept


async def test_a_schedule_tells_what_it_is(schedules: Schedules) -> None:
    """What was said of it comes back, with its next run and its id."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    made = await schedules.add(
        Schedule(
            report,
            "daily-report",
            cron="0  9 * * mon-fri",
            timezone="Europe/Berlin",
            args=[moment],  # type: ignore[arg-type] # any sequence will do
            kwargs={"long": True},
            misfire=Misfire.SKIP,
            overlap=False,
            queue="reports",
            priority=JobPriority.LOW,
        )
    )
    assert (made.id, made.name, made.task) == ("daily-report", "daily-report", "report")
    assert (made.schedule, made.timezone) == ("0  9 * * mon-fri".replace("  ", " "), "Europe/Berlin")
    assert (made.args, made.kwargs) == ((moment,), {"long": True})
    assert (made.misfire, made.overlap) == (Misfire.SKIP, False)
    assert (made.queue, made.priority) == ("reports", JobPriority.LOW)
    assert (made.paused, made.from_code, made.last_run, made.last_job_id) == (False, False, None, None)
    assert made.next_run is not None
    assert made.next_run.tzinfo is UTC
    assert made.next_run > datetime.now(UTC)
    assert made == await schedules.get("daily-report")
    assert [made] == await schedules.list()


async def test_an_interval_begins_when_the_schedule_is_made(schedules: Schedules, tasks: TaskPool) -> None:
    """By Redis's clock."""
    before = await now_of(tasks)
    made = await schedules.add(Schedule("report", interval=timedelta(minutes=5)))
    after = await now_of(tasks)
    assert made.schedule == "every 5 minutes"
    assert made.next_run is not None
    assert before + 5 * MINUTE <= made.next_run.timestamp() * 1000 <= after + 5 * MINUTE


async def test_schedules_are_listed_in_the_order_of_their_runs(schedules: Schedules) -> None:
    """Those that are paused come last."""
    for name, interval in (("b", 20), ("a", 30), ("c", 10)):
        await schedules.add(Schedule("report", name, interval=interval))
    await schedules.pause("c")
    assert [record.name for record in await schedules.list()] == ["b", "a", "c"]


async def test_a_schedule_takes_the_place_of_one_of_its_name(schedules: Schedules) -> None:
    """It keeps what is known of the runs and the next tick, unless it is due at other times now."""
    first = await schedules.add(Schedule("report", "x", interval=60))
    await schedules.run_now("x")
    second = await schedules.add(Schedule("report", "x", interval=60, args=("b",)))
    assert (second.next_run, second.args) == (first.next_run, ("b",))
    third = await schedules.add(Schedule("report", "x", interval=30))
    assert third.next_run != first.next_run
    assert third.last_job_id is not None
    assert len(await schedules.list()) == 1


async def test_what_no_worker_could_run_is_refused_at_once(schedules: Schedules, tasks: TaskPool) -> None:
    """And nothing of it is stored."""
    with pytest.raises(UnknownTaskError, match="repot"):
        await schedules.add(Schedule("repot", interval=5))
    with pytest.raises(InvalidJobError, match="month"):
        await schedules.add(Schedule("report", interval=5, kwargs={"month": 1}))
    with pytest.raises(UnserializableError, match="day"):
        await schedules.add(Schedule("report", interval=5, kwargs={"day": object()}))
    tasks.max_payload = 100
    with pytest.raises(PayloadTooLargeError):
        await schedules.add(Schedule("report", interval=5, kwargs={"day": "x" * 100}))
    assert await schedules.list() == []


async def test_a_schedule_that_is_not_there_is_said_not_to_be(schedules: Schedules) -> None:
    """By its id."""
    for call in (schedules.get, schedules.pause, schedules.resume, schedules.run_now):
        with pytest.raises(ScheduleNotFoundError, match="'x'"):
            await call("x")
    assert await schedules.remove("x") is False


async def test_a_redis_that_is_away_is_said_to_be(schedules: Schedules, redis_url: str) -> None:  # noqa: ARG001
    """As everywhere else."""
    away = TaskPool.from_settings(parse_redis_url("redis://127.0.0.1:1"))
    for call in (Schedules(away).list(), Schedules(away).get("x"), Schedules(away).remove("x")):
        with pytest.raises(QueueUnavailable):
            await call
    await close_client(away)


async def test_a_full_redis_is_said_to_be(schedules: Schedules, tasks: TaskPool) -> None:
    """Nothing is stored."""
    await schedules.list()
    async with full(tasks):
        with pytest.raises(JobError, match="maxmemory"):
            await schedules.add(Schedule("report", interval=5))
    assert await schedules.list() == []


# Ticks


async def test_a_tick_leads_to_a_job_that_tells_it(schedules: Schedules, tasks: TaskPool) -> None:
    """Its id has the tick, its score is the tick, and the schedule tells when it ran."""
    await schedules.add(Schedule("report", "x", interval=60, args=("b",), queue="slow"))
    tick = await move(tasks, "x", late=5)
    wait = await Ticker(tasks).run_due()
    [job_id] = await jobs(tasks, keys.queue("slow"))
    moment = datetime.fromtimestamp(tick / 1000, UTC)
    assert job_id == f"x:{moment.isoformat(timespec='milliseconds').removesuffix('+00:00').removesuffix('.000')}Z"
    assert await tasks.zscore(keys.queue("slow"), job_id) == tick
    after = await schedules.get("x")
    assert after.next_run == moment + timedelta(minutes=1)
    assert after.last_job_id == job_id
    assert after.last_run is not None
    assert after.last_run >= moment
    assert wait is not None
    assert 50 < wait <= 60
    record = await tasks.record(job_id)
    assert record is not None
    assert (record.args, record.queue, record.status) == (("b",), "slow", JobStatus.PENDING)


async def test_a_job_goes_where_its_task_says(schedules: Schedules, tasks: TaskPool) -> None:
    """Queue, priority and uniqueness are those of the task, unless the schedule says otherwise."""
    await schedules.add(Schedule(choosy, interval=60))
    for _ in range(2):
        await move(tasks, "choosy", late=5)
        await Ticker(tasks).run_due()
    assert len(await jobs(tasks, keys.queue("mail", JobPriority.HIGH))) == 1


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        (Misfire.SKIP, ([], "5 missed ticks have no run of their own")),
        (Misfire.RUN_ONCE, ([5], "4 missed ticks have no run of their own")),
        (Misfire.RUN_ALL, ([3, 4, 5], "missed ticks are dropped, the oldest beyond 3")),
    ],
)
async def test_missed_ticks_are_dealt_with_as_told(
    misfire: Misfire,
    expected: tuple[list[int], str],
    schedules: Schedules,
    tasks: TaskPool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Five ticks came while nobody was there; the next one is as it would have been."""
    runs, told = expected
    await schedules.add(Schedule("report", "x", interval=3600, misfire=misfire, catch_up=3 if runs[1:] else 100))
    tick = await move(tasks, "x", late=4.5 * 60 * MINUTE)
    with caplog.at_level(logging.INFO):
        await Ticker(tasks).run_due()
    hour = 60 * MINUTE
    assert [await tasks.zscore(keys.queue(), job_id) for job_id in await jobs(tasks)] == [
        tick + (number - 1) * hour for number in runs
    ]
    after = await schedules.get("x")
    assert after.next_run is not None
    assert round(after.next_run.timestamp() * 1000) == tick + 5 * hour
    assert told in caplog.text


async def test_a_run_that_may_not_overlap_is_passed_over(
    schedules: Schedules, tasks: TaskPool, caplog: pytest.LogCaptureFixture
) -> None:
    """While the job of the last run has not ended."""
    await schedules.add(Schedule("report", "x", interval=60, overlap=False))
    await move(tasks, "x", late=5)
    await Ticker(tasks).run_due()
    [first] = await jobs(tasks)
    await move(tasks, "x", late=4)
    with caplog.at_level(logging.INFO):
        await Ticker(tasks).run_due()
    assert "passed over" in caplog.text
    assert await jobs(tasks) == [first]
    await tasks.cancel(first)
    await move(tasks, "x", late=3)
    await Ticker(tasks).run_due()
    assert len(await jobs(tasks)) == 1


async def test_a_paused_schedule_lets_its_ticks_go_by(schedules: Schedules, tasks: TaskPool) -> None:
    """When it goes on, they were not missed, and an interval still counts from where it began."""
    await schedules.add(Schedule("report", "x", interval=3600, misfire=Misfire.RUN_ALL))
    tick = await move(tasks, "x", late=90 * MINUTE)
    await schedules.pause("x")
    paused = await schedules.get("x")
    assert (paused.paused, paused.next_run) == (True, None)
    await Ticker(tasks).run_due()
    await schedules.resume("x")
    resumed = await schedules.get("x")
    assert resumed.next_run == datetime.fromtimestamp(tick / 1000, UTC) + timedelta(hours=2)
    await Ticker(tasks).run_due()
    assert await jobs(tasks) == []


async def test_a_run_out_of_turn_does_not_move_the_next_tick(schedules: Schedules, tasks: TaskPool) -> None:
    """Also of one that is paused; it counts as the last run."""
    made = await schedules.add(Schedule("report", "x", interval=3600, overlap=False))
    job_id = await schedules.run_now("x")
    assert await jobs(tasks) == [job_id]
    after = await schedules.get("x")
    assert (after.next_run, after.last_job_id) == (made.next_run, job_id)
    await move(tasks, "x", late=1)
    await Ticker(tasks).run_due()
    assert await jobs(tasks) == [job_id]
    await schedules.pause("x")
    assert len({job_id, await schedules.run_now("x")}) == 2


async def test_a_unique_job_stands_for_a_run_out_of_turn(schedules: Schedules) -> None:
    """There is no second one, and the schedule keeps its last run."""
    await schedules.add(Schedule(choosy, "x", interval=3600))
    job_id = await schedules.run_now("x")
    assert await schedules.run_now("x") is None
    assert (await schedules.get("x")).last_job_id == job_id


async def test_a_schedule_removed_while_a_worker_computes_is_not_run(
    schedules: Schedules, tasks: TaskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one that is another by then run as it was."""
    for name in ("removed", "replaced"):
        await schedules.add(Schedule("report", name, interval=60))
        await move(tasks, name, late=5)
    ticker = Ticker(tasks)
    run = ticker._run

    async def late(steps: Any) -> Any:
        monkeypatch.setattr(ticker, "_run", run)
        await schedules.remove("removed")
        await schedules.add(Schedule("report", "replaced", interval=60, args=("new",)))
        return await run(steps)

    monkeypatch.setattr(ticker, "_run", late)
    await ticker.run_due()
    [job_id] = await jobs(tasks)
    record = await tasks.record(job_id)
    assert record is not None
    assert record.args == ("new",)


async def test_many_schedules_of_one_moment_are_all_run(
    schedules: Schedules, tasks: TaskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many one look sees, and however many jobs one call may take."""
    monkeypatch.setattr(timetable, "LOOK", 7)
    for number in range(20):
        await schedules.add(Schedule("report", f"x{number}", interval=60, misfire=Misfire.RUN_ALL, catch_up=200))
        await move(tasks, f"x{number}", late=150 * MINUTE)
    await Ticker(tasks).run_due()
    assert len(await jobs(tasks)) == 20 * 151


async def test_one_that_cannot_be_run_keeps_none_of_the_others_waiting(
    schedules: Schedules, tasks: TaskPool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are; it is said once, and they stay until somebody can read them."""
    monkeypatch.setattr(timetable, "LOOK", 1)
    client: Any = tasks
    for name in ("odd", "refused", "good"):
        await schedules.add(Schedule("report", name, interval=60, queue=name))
        await move(tasks, name, late=5)
    definition = await client.hget(keys.schedule("odd"), "definition")
    await client.hset(keys.schedule("odd"), "definition", b"odd")
    await tasks.set(keys.queue("refused"), "no queue")
    ticker = Ticker(tasks)
    for _ in range(2):
        await ticker.run_due()
    assert len(await jobs(tasks, keys.queue("good"))) == 1
    assert caplog.text.count("schedule odd: its tick waits") == 1
    assert caplog.text.count("schedule refused: its tick waits") == 1
    await client.hset(keys.schedule("odd"), "definition", definition)
    await tasks.delete(keys.queue("refused"))
    await ticker.run_due()
    assert len(await jobs(tasks, keys.queue("odd"))) == 1
    assert len(await jobs(tasks, keys.queue("refused"))) == 1


async def test_one_that_cannot_be_read_is_listed_and_can_be_removed(schedules: Schedules, tasks: TaskPool) -> None:
    """And the others are listed as ever."""
    client: Any = tasks
    for name in ("odd", "good"):
        await schedules.add(Schedule("report", name, interval=60))
    await client.hset(keys.schedule("odd"), "definition", b"odd")
    assert {record.id: record.task for record in await schedules.list()} == {"odd": "<unknown>", "good": "report"}
    assert (await schedules.get("odd")).next_run is not None
    await schedules.pause("odd")
    for call in (schedules.run_now, schedules.resume):
        with pytest.raises(UnreadableError, match="schedule 'odd' cannot be read"):
            await call("odd")
    assert await schedules.remove("odd")


async def test_a_tick_is_left_to_a_worker_that_knows_its_task(
    schedules: Schedules, tasks: TaskPool, redis_url: str
) -> None:
    """It knows the queue too, and what is unique; after a while, whoever is there enqueues it."""
    older = TaskPool.from_settings(parse_redis_url(redis_url), registry=TaskRegistry([report]))
    await schedules.add(Schedule(choosy, "x", interval=60))
    await move(tasks, "x", late=5)
    await Ticker(older).run_due()
    assert await schedules.run_now("x")
    assert len(await jobs(tasks, keys.queue("mail", JobPriority.HIGH))) == 1
    await Ticker(tasks).run_due()
    assert await jobs(tasks) == []
    await move(tasks, "x", late=15_000)
    await Ticker(older).run_due()
    assert len(await jobs(tasks)) == 1
    await close_client(older)
