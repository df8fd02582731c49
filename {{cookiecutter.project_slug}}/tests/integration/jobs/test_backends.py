"""The same behaviour on both backends: arq's jobs on a real Redis with a worker, and in memory."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    ArqQueueBackend,
    InvalidJobError,
    JobManager,
    JobNotFoundError,
    JobPriority,
    MemoryQueueBackend,
    TaskPool,
    TaskStatus,
    UnknownTaskError,
    Worker,
    close_client,
    parse_redis_url,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import RateLimit, Unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskContext


class Stage:
    """What tasks and tests tell each other."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.seen: list[Any] = []
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()


stage = Stage()


async def add(_ctx: TaskContext, a: int, b: int = 0) -> int:
    return a + b


async def note(_ctx: TaskContext, what: Any) -> Any:
    stage.seen.append(what)
    return what


async def fail(ctx: TaskContext, why: str = "no luck") -> None:
    stage.seen.append(ctx["job_try"])
    raise ValueError(why)


async def waits(ctx: TaskContext) -> str:
    await ctx.progress(1, 2, "half")
    stage.started.set()
    await stage.go_on.wait()
    return "went on"


async def total(_ctx: TaskContext, results: list[int]) -> int:
    return sum(results)


@task(concurrency=1)
async def alone(_ctx: TaskContext, number: int) -> None:
    stage.seen.append(("begin", number))
    await asyncio.sleep(0)
    stage.seen.append(("end", number))


@task(rate_limit=RateLimit(1, per=3600))
async def seldom(_ctx: TaskContext) -> None:
    stage.seen.append("seldom")


@task(unique=Unique.FINISHED, queue="mail", priority=JobPriority.HIGH)
async def letter(_ctx: TaskContext, to: str) -> str:
    return to


def plain(_ctx: dict[str, Any], text: str) -> str:
    return text.upper()


TASKS = [add, note, fail, waits, total, alone, seldom, letter, plain]
SETTINGS: dict[str, Any] = {"functions": TASKS, "retry_delay": timedelta(0), "max_tries": 3, "log_results": False}


@asynccontextmanager
async def on_redis(url: str, **settings: Any) -> AsyncIterator[JobManager]:
    redis = parse_redis_url(url)
    options: dict[str, Any] = {**SETTINGS, **settings, "queues": "*", "handle_signals": False}
    worker = Worker(**options, redis_settings=redis, allow_no_persistence=True)
    pool = TaskPool.from_settings(redis, registry=worker.registry)
    await pool.flushall()
    work = asyncio.create_task(worker.async_run())
    try:
        async with JobManager(ArqQueueBackend(pool)) as manager:
            yield manager
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await worker.close()
        await close_client(pool)


@asynccontextmanager
async def in_memory(url: str, **settings: Any) -> AsyncIterator[JobManager]:  # noqa: ARG001 - the other needs it
    async with JobManager(MemoryQueueBackend(**(SETTINGS | settings))) as manager:
        yield manager


class Start(Protocol):
    """Start a worker with these settings, and give a manager."""

    async def __call__(self, **settings: Any) -> JobManager: ...


@pytest.fixture(params=[on_redis, in_memory])
async def start(request: pytest.FixtureRequest, redis_server: str) -> AsyncIterator[Start]:
    """Give a function that starts a worker, with these settings, and gives a manager."""
    stage.clear()
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> JobManager:
            manager: JobManager = await stack.enter_async_context(request.param(redis_server, **settings))
            return manager

        yield start


@pytest.fixture
async def manager(start: Start) -> JobManager:
    """Give a manager with a worker of ordinary settings."""
    return await start()


async def ended(manager: JobManager, job_id: str | None) -> JobRecord:
    assert job_id is not None
    return await manager.wait_for(job_id, timeout=30)


# One job


@pytest.mark.parametrize("named", ["add", f"{__name__}.add", add])
async def test_a_job_is_forgotten_about(manager: JobManager, named: Any) -> None:
    """Enqueued by any name of its task, it runs; its record has the result, the times and the tries."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    record = await ended(manager, await manager.enqueue(named, 1, b=2))
    assert (record.status, record.result, record.error, record.tries) == (TaskStatus.SUCCESS, 3, None, 1)
    assert record.enqueue_time is not None
    assert record.start_time is not None
    assert record.finish_time is not None
    assert before < record.enqueue_time <= record.start_time <= record.finish_time


async def test_a_plain_function_runs_in_a_thread(manager: JobManager) -> None:
    """A `def` is a task, too."""
    assert (await ended(manager, await manager.enqueue(plain, "loud"))).result == "LOUD"


async def test_what_is_wrong_is_an_error_at_the_call(manager: JobManager) -> None:
    """A task that is not registered, and arguments that do not fit it, never become a job."""
    with pytest.raises(UnknownTaskError, match="did you mean 'note'"):
        await manager.enqueue("note_")
    with pytest.raises(InvalidJobError, match="add: missing a required argument: 'a'"):
        await manager.enqueue("add", b=2)
    with pytest.raises(InvalidJobError, match="add: missing a required argument: 'a'"):
        await manager.enqueue_delayed(add, delay=60)
    with pytest.raises(InvalidJobError, match="unexpected keyword argument 'c'"):
        await manager.enqueue("add", 1, c=2)
    with pytest.raises(InvalidJobError):
        await manager.enqueue("add", 1, queue="no such name")
    assert await manager.queue_length() == 0


@pytest.mark.parametrize("delay", [0.05, timedelta(milliseconds=50)])
async def test_a_delayed_job_waits_for_its_time(manager: JobManager, delay: float | timedelta) -> None:
    """It is scheduled until then, in the queue and with the priority that were asked for."""
    job_id = await manager.enqueue_delayed(note, "late", delay=3600, queue="later", priority=JobPriority.LOW)
    assert job_id is not None
    record = await manager.get_status(job_id)
    assert record is not None
    assert (record.status, record.queue, record.priority) == (TaskStatus.SCHEDULED, "later", JobPriority.LOW)
    record = await ended(manager, await manager.enqueue_delayed(note, "soon", delay=delay))
    assert record.status is TaskStatus.SUCCESS
    assert record.enqueue_time is not None
    assert record.start_time is not None
    assert record.start_time - record.enqueue_time >= timedelta(milliseconds=49)
    assert stage.seen == ["soon"]


async def test_a_task_has_a_queue_and_a_priority_of_its_own(manager: JobManager) -> None:
    """What the call says wins over what the task says."""
    await manager.pause("mail")
    own = await manager.get_status(str(await manager.enqueue(letter, "ada")))
    called = await manager.get_status(
        str(await manager.enqueue(letter, "alan", queue="late", priority=JobPriority.LOW))
    )
    assert own is not None
    assert called is not None
    assert (own.queue, own.priority) == ("mail", JobPriority.HIGH)
    assert (called.queue, called.priority) == ("late", JobPriority.LOW)


async def test_a_unique_job_is_left_out(manager: JobManager) -> None:
    """Where the same job is there, there is no id."""
    await manager.pause("mail")
    assert await manager.enqueue(letter, "ada") is not None
    assert await manager.enqueue(letter, to="ada") is None
    assert await manager.queue_length("mail") == 1


# Queues


async def test_the_urgent_go_first(start: Start) -> None:
    """Of one queue, the jobs of the highest priority start first, and of one priority in their order."""
    manager = await start(max_jobs=1)
    await manager.pause()
    order = [5, 0, 10, 8, 0, 5, 8, 10]
    job_ids = [
        await manager.enqueue(note, (each, number), priority=JobPriority(each)) for number, each in enumerate(order)
    ]
    assert stage.seen == []
    await manager.resume()
    for job_id in job_ids:
        await ended(manager, job_id)
    assert stage.seen == sorted(
        ((each, number) for number, each in enumerate(order)), key=lambda job: (-job[0], job[1])
    )


async def test_a_paused_queue_starts_nothing(manager: JobManager) -> None:
    """Its jobs wait and are counted, those of others run; resumed, it goes on."""
    await manager.pause("mail")
    waiting = await manager.enqueue(note, "paused", queue="mail")
    await ended(manager, await manager.enqueue(note, "other", queue="reports"))
    assert stage.seen == ["other"]
    assert (await manager.queue_length("mail"), await manager.queue_length("reports")) == (1, 0)
    await manager.resume("mail")
    await ended(manager, waiting)
    assert stage.seen == ["other", "paused"]
    assert await manager.queue_length("mail") == 0


async def test_a_purged_queue_is_empty(manager: JobManager) -> None:
    """All that waits is cancelled and counted, whatever its priority; what is in other queues stays."""
    await manager.pause("mail")
    await manager.pause("reports")
    job_ids = [await manager.enqueue(note, 1, queue="mail", priority=priority) for priority in JobPriority]
    job_ids.append(await manager.enqueue_delayed(note, 1, delay=3600, queue="mail"))
    await manager.enqueue(note, 1, queue="reports")
    assert await manager.purge_queue("mail") == 5
    assert [(await ended(manager, job_id)).status for job_id in job_ids] == [TaskStatus.CANCELLED] * 5
    assert (await manager.queue_length("mail"), await manager.queue_length("reports")) == (0, 1)
    assert await manager.purge_queue("mail") == 0


async def test_limits_hold(manager: JobManager) -> None:
    """Jobs of a task that runs alone never overlap, and those of one with a rate limit wait for their time."""
    job_ids = [await manager.enqueue(alone, number) for number in range(5)]
    for job_id in job_ids:
        await ended(manager, job_id)
    begins, ends = stage.seen[::2], stage.seen[1::2]
    assert [("end", number) for _, number in begins] == ends
    stage.seen.clear()
    first, second = [await manager.enqueue(seldom) for _ in range(2)]
    await ended(manager, first)
    with pytest.raises(TimeoutError):
        await manager.wait_for(str(second), timeout=0.05)
    assert stage.seen == ["seldom"]


# Schedules


async def test_a_schedule_ticks(manager: JobManager) -> None:
    """A task runs again and again, at most once for each tick, until it is unscheduled."""
    schedule = await manager.schedule_interval(waits, timedelta(seconds=1), "often", overlap=True)
    assert schedule.id == "often"
    async with asyncio.timeout(30):
        await stage.started.wait()
    stage.go_on.set()
    [listed] = await manager.list_scheduled()
    assert listed.last_run is not None
    assert (listed.id, listed.name, listed.task, listed.paused) == ("often", "often", "waits", False)
    assert await manager.unschedule("often") is True
    assert await manager.unschedule("often") is False
    assert await manager.list_scheduled() == []


async def test_a_schedule_is_run_by_hand(manager: JobManager) -> None:
    """It says when it runs next, can be paused, and can be run now."""
    before = datetime.now(UTC)
    schedule = await manager.schedule(note, cron="0 9 * * *", name="daily", args=("morning",), timezone="Europe/Berlin")
    [listed] = await manager.list_scheduled()
    assert listed.next_run is not None
    assert before < listed.next_run <= before + timedelta(hours=25)
    assert listed.schedule == "0 9 * * *"
    await manager.pause_schedule(schedule.id)
    assert (await manager.list_scheduled())[0].paused is True
    record = await ended(manager, await manager.run_now(schedule.id))
    assert (record.status, stage.seen) == (TaskStatus.SUCCESS, ["morning"])
    await manager.resume_schedule(schedule.id)
    assert (await manager.list_scheduled())[0].paused is False


# Workflows


async def test_a_chain_hands_on_its_results(manager: JobManager) -> None:
    """Each step starts when the one before has succeeded; the whole has the last one's result."""
    chain = await manager.chain([(add, (1, 2), {}), ("add", (), {"b": 10}), (add, (), {"b": 100})], pass_result=True)
    record = await ended(manager, chain)
    assert (record.task, record.status, record.result) == ("chain", TaskStatus.SUCCESS, 113)
    assert record.progress is not None
    assert (record.progress.done, record.progress.total) == (3, 3)
    workflow = await manager.get_workflow(chain)
    assert workflow is not None
    assert (await ended(manager, workflow.jobs[1].job_id)).result == 13


async def test_a_chain_stops_at_a_failure(manager: JobManager) -> None:
    """What comes after a step that failed for good is cancelled, and the whole says which it was."""
    chain = await manager.chain([(note, ("first",), {}), (fail, (), {}), (note, ("never",), {})])
    record = await ended(manager, chain)
    assert record.status is TaskStatus.FAILED
    assert record.error is not None
    assert "step 2 of 3" in record.error
    assert "ValueError: no luck" in record.error
    assert stage.seen == ["first", 1, 2, 3]


async def test_a_chain_is_cancelled_as_a_whole(manager: JobManager) -> None:
    """What runs is ended if that is wanted, and nothing that waits is started."""
    chain = await manager.chain([(waits, (), {}), (note, ("never",), {})])
    async with asyncio.timeout(30):
        await stage.started.wait()
    assert await manager.cancel(chain, terminate=True) is True
    assert (await ended(manager, chain)).status is TaskStatus.CANCELLED
    assert await manager.cancel(chain, terminate=True) is False
    assert stage.seen == []


async def test_a_group_calls_back_once(manager: JobManager) -> None:
    """The callback gets what the members returned, in their order, when all have ended."""
    group = await manager.group([(add, (number,), {}) for number in range(5)], callback=total)
    record = await ended(manager, group)
    assert (record.task, record.status, record.result) == ("group", TaskStatus.SUCCESS, 10)
    assert (await ended(manager, await manager.group([(add, (number,), {}) for number in (3, 1)]))).result == [3, 1]


# Batches


async def test_a_batch_is_counted(manager: JobManager) -> None:
    """Each item becomes a job; what is refused is named, what is there already is counted."""
    items: list[Any] = [{"to": "ada"}, {"to": "ada"}, {"too": "alan"}, "grace", {"to": object()}, {"to": "grace"}]
    await manager.pause("mail")
    job_ids: list[str] = []
    result = await manager.enqueue_batch(letter, items, batch_size=2, on_enqueued=job_ids.extend)
    assert (result.total, result.enqueued, result.duplicates, result.refused_count) == (6, 2, 1, 3)
    assert [refused.index for refused in result.refused] == [2, 3, 4]
    await manager.resume("mail")
    assert [(await ended(manager, job_id)).result for job_id in job_ids] == ["ada", "grace"]


# Status and control


async def test_a_running_job_tells_how_far_it_is(manager: JobManager) -> None:
    """Its status says so at each point of its life, and nothing is known of an id that nobody gave out."""
    job_id = str(await manager.enqueue(waits))
    async with asyncio.timeout(30):
        await stage.started.wait()
    record = await manager.get_status(job_id)
    assert record is not None
    assert (record.status, record.tries) == (TaskStatus.RUNNING, 1)
    assert record.progress is not None
    assert (record.progress.done, record.progress.total, record.progress.message) == (1, 2, "half")
    stage.go_on.set()
    assert (await ended(manager, job_id)).result == "went on"
    assert await manager.get_status("nobody") is None


async def test_a_failure_is_tried_again_and_told(manager: JobManager) -> None:
    """After as many tries as the settings say, the record has the error."""
    record = await ended(manager, await manager.enqueue(fail, why="rain"))
    assert (record.status, record.error, record.tries) == (TaskStatus.FAILED, "ValueError: rain", 3)
    assert stage.seen == [1, 2, 3]


async def test_waiting_ends(manager: JobManager) -> None:
    """With an error when the job has not ended in time, or when there is none; without a limit, with the job."""
    await manager.pause()
    waiting = str(await manager.enqueue(note, 1))
    with pytest.raises(TimeoutError, match=f"job {waiting} has not ended within 0.05 s"):
        await manager.wait_for(waiting, timeout=0.05)
    with pytest.raises(JobNotFoundError, match="'nobody' is no job or workflow that is known"):
        await manager.wait_for("nobody")
    waiter = asyncio.create_task(manager.wait_for(waiting, timeout=None))
    await manager.resume()
    async with asyncio.timeout(30):
        assert (await waiter).result == 1
    assert (await manager.wait_for(waiting, timeout=0)).result == 1  # it has ended, so there is nothing to wait for


async def test_a_job_that_was_left_out_is_none(manager: JobManager) -> None:
    """The `None` that enqueueing gives then may be asked about like an id."""
    assert await manager.get_status(None) is None
    assert await manager.cancel(None) is False
    assert await (await manager.backend.connect()).job(None) is None
    with pytest.raises(JobNotFoundError, match="None is no job"):
        await manager.wait_for(None)


async def test_a_job_is_cancelled(manager: JobManager) -> None:
    """One that waits at once, one that runs if that is wanted; one that has ended not, nor one that nobody knows."""
    later = str(await manager.enqueue_delayed(note, 1, delay=3600))
    assert await manager.cancel(later) is True
    assert (await ended(manager, later)).status is TaskStatus.CANCELLED
    assert await manager.cancel(later) is False
    running = str(await manager.enqueue(waits))
    async with asyncio.timeout(30):
        await stage.started.wait()
    assert await manager.cancel(running) is False
    assert await manager.cancel(running, terminate=True) is True
    assert (await ended(manager, running)).status is TaskStatus.CANCELLED
    assert await manager.cancel("nobody", terminate=True) is False
    assert stage.seen == []
