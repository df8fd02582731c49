"""What tests of a project are given: the queue in memory, a worker, a clock, eager mode, assertions."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
from arq import Retry, cron

from {{ cookiecutter.__package }}.infrastructure.cache import get_cache
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidJobError,
    JobStatus,
    QueueUnavailable,
    RedisSettings,
    TaskPool,
    UnknownTaskError,
    close_client,
    connections,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.connections import clone_client
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import RateLimit
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claimer
from {{ cookiecutter.__package }}.infrastructure.jobs.running.served import ServedQueues
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task
from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs, jobs_fixture
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    WorkerSettings,
    enqueue_task,
    example_task,
    get_task_pool,
)

if TYPE_CHECKING:
    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext

PAGE = Path(__file__).resolve().parents[3] / "docs" / "background-tasks.md"
#: Blocks of the page that hold tests.
BLOCKS = re.findall(r"^```python\n([^`]*\(jobs[,)].*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)

seen: list[Any] = []


class Colour(StrEnum):
    """One kind of argument."""

    RED = "red"


@dataclass
class Address:
    """Another."""

    street: str
    city: str


async def note(ctx: TaskContext, what: Any = None, *more: Any, **others: Any) -> Any:
    seen.append(what)
    return ctx.get("greeting", what) or (more, others)


async def fails(ctx: TaskContext) -> None:
    raise ValueError(f"no luck in try {ctx['job_try']}")


async def asks_again(ctx: TaskContext) -> int:
    if ctx["job_try"] < 3:
        raise Retry(defer=timedelta(hours=8))
    return int(ctx["job_try"])


async def starts_another(ctx: TaskContext, task: str, times: int = 1) -> None:
    for number in range(times):
        await ctx["redis"].enqueue(task, (number,))


async def never_done(ctx: TaskContext) -> None:
    await ctx["redis"].enqueue("never_done")


async def paint(ctx: TaskContext, wall: Address, colour: Colour = Colour.RED, *, coats: int = 1) -> None:
    """Have arguments of all kinds."""


def in_a_thread(ctx: TaskContext) -> str:  # noqa: ARG001
    return "done in a thread"


async def startup(ctx: dict[str, Any]) -> None:  # noqa: ARG001
    seen.append("startup")


@task(concurrency=1)
async def alone(ctx: TaskContext) -> None:
    """Have a limit."""


@task(rate_limit=RateLimit(1, per=timedelta(hours=1)))
async def seldom(ctx: TaskContext) -> None:
    """Have another."""


class Settings:
    """What a project's workers are started with."""

    functions = (note, fails, asks_again, starts_another, never_done, paint, in_a_thread, alone, seldom)
    cron_jobs = (cron(note, second=set(range(60))),)  # type: ignore[arg-type] # arq means any function
    on_startup = startup
    on_shutdown = startup
    max_tries = 3
    retry_delay = timedelta(hours=1)
    keep_result = 60


memory = jobs_fixture(Settings)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


# The queue in memory


@pytest.mark.parametrize("time_", ["first", "second"])
async def test_the_front_door_leads_to_the_memory(time_: str, jobs: MemoryJobs) -> None:
    """Code that enqueues and looks up needs no server and no change; and each test begins with empty queues."""
    assert jobs.enqueued_jobs() == []
    job_id = await enqueue_task(example_task, message=time_)
    [job] = await jobs.run_jobs()
    assert (job.job_id, job.status, job.result) == (job_id, JobStatus.SUCCESS, f"{time_} (try 1)")
    assert await (await get_task_pool()).record(job.job_id) == job
    assert await jobs.run_jobs() == []


async def test_the_cache_is_in_memory_too(jobs: MemoryJobs) -> None:  # noqa: ARG001
    """Every client of the application's Redis is led to the memory, with the options that it has."""
    await get_cache().set("name", "Ada")
    assert await get_cache().get("name") == "Ada"


async def test_a_job_can_be_waited_for(memory: MemoryJobs) -> None:
    """The end of a job is told on a channel, as it is by a real Redis."""
    job_id = await memory.pool.enqueue("note", ("x",))
    assert job_id is not None
    job = await memory.pool.job(job_id)
    assert job is not None
    async with memory.pool.events.of(job_id) as end:
        await memory.run_jobs()
        assert end.event.is_set()
    info = await job.wait(timeout=5)
    assert info is not None
    assert info.status is JobStatus.SUCCESS


async def test_a_thread_reaches_the_same_memory(memory: MemoryJobs) -> None:
    """Leases are renewed from a thread with a loop of its own: its connection leads to the same keys."""
    await memory.pool.set("name", "Ada")

    async def look() -> Any:
        twin = clone_client(memory.pool)
        try:
            return await twin.get("name")
        finally:
            await close_client(twin)

    assert await asyncio.to_thread(asyncio.run, look()) == b"Ada"


async def test_the_real_redis_comes_back() -> None:
    """After the test new clients go where their settings say, and the time is the real one."""
    before = time.time()
    async with MemoryJobs(Settings) as memory:
        memory.clock.advance(3600)
        assert type(memory.pool.connection_pool) is not connections.QuickPool
    assert time.time() < before + 3600
    client = TaskPool.from_settings(RedisSettings())
    assert type(client.connection_pool) is connections.QuickPool
    await close_client(client)


async def test_connections_of_the_application_are_closed() -> None:
    """What the application keeps is closed before and after, so that neither meets the other's Redis."""

    async def close() -> None:
        seen.append("closed")

    async with MemoryJobs(Settings, close=[close]):
        assert seen == ["closed"]
    assert seen == ["closed", "closed"]


async def test_the_outbox_is_settled() -> None:
    """What has been committed to the outbox is on its way before jobs are run, after that, or when a test wants it."""
    outbox = [1, 2, 3]

    async def settle() -> None:
        if outbox:
            await memory.pool.enqueue("note", (outbox.pop(),))

    async with MemoryJobs(Settings, settle=settle) as memory:
        await memory.settle()
        memory.assert_enqueued("note", _count=1)
        assert len(await memory.run_jobs()) == 3


async def test_redis_away(memory: MemoryJobs) -> None:
    """A Redis that is away can be had in memory, too, and comes back with what it held."""
    await memory.pool.enqueue("note", job_id="a")
    with memory.redis_away():
        with pytest.raises(QueueUnavailable):
            await memory.pool.enqueue("note", job_id="b")
        assert await memory.run_jobs() == []
    assert [job.job_id for job in await memory.run_jobs()] == ["a"]


# Running jobs


async def test_jobs_run_until_none_is_due(memory: MemoryJobs) -> None:
    """Jobs that jobs enqueue run as well, each record is given once, in the order of the starts."""
    await memory.pool.enqueue("starts_another", ("note", 25))
    records = await memory.run_jobs()
    assert [record.task for record in records] == ["starts_another"] + 25 * ["note"]
    assert seen == list(range(25))


async def test_all_queues_are_served(memory: MemoryJobs) -> None:
    """A test need not say which queues there are."""
    await memory.pool.enqueue("note", queue="mail")
    await memory.pool.enqueue("note", queue="reports")
    assert {record.queue for record in await memory.run_jobs()} == {"mail", "reports"}


async def test_plain_functions_run(memory: MemoryJobs) -> None:
    """A `def` runs in a thread, as in any worker."""
    await memory.pool.enqueue("in_a_thread")
    [record] = await memory.run_jobs()
    assert record.result == "done in a thread"


async def test_no_start_up_and_no_ticks(memory: MemoryJobs) -> None:
    """Start-up and shutdown belong to a process, and ticks to a time of the day; what start-up gives, a test gives."""
    memory.ctx["greeting"] = "Hello!"
    await memory.pool.enqueue("note", ("x",))
    [record] = await memory.run_jobs()
    assert record.result == "Hello!"
    assert seen == ["x"]


async def test_a_failure_waits_for_its_next_try(memory: MemoryJobs) -> None:
    """Without the clock a job that failed has had one try, and waits as long as the settings say."""
    await memory.pool.enqueue("fails")
    [record] = await memory.run_jobs()
    assert (record.status, record.tries) == (JobStatus.RETRYING, 1)
    [waiting] = memory.enqueued_jobs()
    assert (waiting.status, waiting.tries) == (JobStatus.RETRYING, 1)
    assert await memory.run_jobs() == []


async def test_scheduled_jobs_run_by_the_clock(memory: MemoryJobs) -> None:
    """With `scheduled` every try of every job is made, at once, and the clock says when that would have been."""
    before = time.time()
    await memory.pool.enqueue("asks_again")
    await memory.pool.enqueue("note", ("late",), defer_by=timedelta(days=2))
    again, late = await memory.run_jobs(scheduled=True)
    assert (again.status, again.result, again.tries) == (JobStatus.SUCCESS, 3, 3)
    assert (late.status, late.result) == (JobStatus.SUCCESS, "late")
    assert 0 <= time.time() - before - timedelta(days=2).total_seconds() < 60


async def test_the_last_failure_is_recorded(memory: MemoryJobs) -> None:
    """A job fails for good after as many tries as the settings say."""
    await memory.pool.enqueue("fails")
    [record] = await memory.run_jobs(scheduled=True)
    assert (record.status, record.error, record.tries) == (JobStatus.FAILED, "ValueError: no luck in try 3", 3)


async def test_limits_hold(memory: MemoryJobs) -> None:
    """Jobs that have to wait for others are enqueued, too, and run in their turn."""
    await memory.pool.enqueue_many("alone", [{}, {}, {}])
    assert len(await memory.run_jobs()) == 3
    await memory.pool.enqueue_many("seldom", [{}, {}, {}])
    assert len(await memory.run_jobs()) == 1
    memory.assert_enqueued(seldom, _count=2)
    memory.clock.advance(3600)
    assert len(await memory.run_jobs()) == 1
    assert len(await memory.run_jobs(scheduled=True)) == 1


@pytest.mark.parametrize("scheduled", [True, False])
async def test_a_job_that_enqueues_itself_is_an_error(memory: MemoryJobs, scheduled: bool) -> None:  # noqa: FBT001
    """Where there is no end, the test fails instead of waiting for one."""
    await memory.pool.enqueue("never_done")
    with pytest.raises(AssertionError, match=r"^more than 20 runs of jobs, of these tasks: never_done$"):
        await memory.run_jobs(scheduled=scheduled, at_most=20)
    assert len(await memory.pool.keys(keys.result("*"))) == 21


# The clock


async def test_the_clock_moves_python_and_redis(memory: MemoryJobs) -> None:
    """Both read the same time, before and after it is moved; it adds up, and runs on."""
    start = time.time()
    for hours in (0, 1, 2):
        memory.clock.advance(timedelta(hours=hours))
        expected = start + [0, 1, 3][hours] * 3600
        seconds, microseconds = await memory.pool.time()
        assert expected <= seconds + microseconds / 1_000_000 < expected + 60
        assert expected <= datetime.now(UTC).timestamp() < expected + 60


async def test_the_clock_goes_ahead_only(memory: MemoryJobs) -> None:
    """Redis would give back what has expired."""
    with pytest.raises(ValueError, match=r"cannot go back by 0:00:01"):
        memory.clock.advance(-1)


async def test_deferred_jobs_become_due(memory: MemoryJobs) -> None:
    """A job runs when its time has come, and not before."""
    await memory.pool.enqueue("note", defer_by=3600)
    memory.clock.advance(3590)
    assert await memory.run_jobs() == []
    memory.clock.advance(10)
    assert len(await memory.run_jobs()) == 1


async def test_results_expire(memory: MemoryJobs) -> None:
    """A result is kept as long as the settings say, and its id is free then."""
    await memory.pool.enqueue("note", job_id="a")
    await memory.run_jobs()
    memory.clock.advance(50)
    assert await memory.pool.job("a") is not None
    assert await memory.pool.enqueue("note", job_id="a") is None
    memory.clock.advance(10)
    assert await memory.pool.job("a") is None
    assert await memory.pool.enqueue("note", job_id="a") == "a"


async def test_leases_lapse(memory: MemoryJobs) -> None:
    """A job whose worker is gone runs elsewhere once its lease is over."""
    await memory.pool.enqueue("note", job_id="a")
    dead = Claimer(memory.pool, "dead", lease=15, served=ServedQueues((), first=keys.queue()))
    await dead.claim(1, spare_lapsed=False, began=asyncio.get_running_loop().time())
    assert memory.enqueued_jobs() == []
    assert await memory.run_jobs() == []
    memory.clock.advance(15)
    [record] = await memory.run_jobs()
    assert (record.job_id, record.status) == ("a", JobStatus.SUCCESS)


# Eager mode


async def test_eager_jobs_run_in_place(memory: MemoryJobs) -> None:
    """A job has ended when the call that enqueued it answers; so have the jobs that it enqueued in turn."""
    with memory.eager() as ended:
        job_id = await memory.pool.enqueue("note", ("x",))
        assert seen == ["x"]
        await memory.pool.enqueue("starts_another", ("note",))
        await memory.pool.enqueue_many("note", [{"what": "y"}, {"what": "z"}])
        assert await memory.pool.enqueue_job("note", "arq") is not None
    assert seen == ["x", 0, "y", "z", "arq"]
    assert [(record.task, record.status) for record in ended][:3] == [
        ("note", JobStatus.SUCCESS),
        ("note", JobStatus.SUCCESS),
        ("starts_another", JobStatus.SUCCESS),
    ]
    assert ended[0].job_id == job_id
    await memory.pool.enqueue("note", ("not at once",))
    assert len(seen) == 5


async def test_the_front_door_is_eager(jobs: MemoryJobs) -> None:
    """`enqueue_task` gives a job that runs longer than Redis may take for an answer its time, and raises its error."""
    with jobs.eager() as ended:
        job_id = await enqueue_task(example_task, message="slow", seconds=0.3)
        assert [(record.job_id, record.result) for record in ended] == [(job_id, "slow (try 1)")]
        with pytest.raises(TypeError):
            await enqueue_task(example_task, message="wrong", seconds="0.3")
    assert jobs.enqueued_jobs() == []


async def test_eager_deferred_jobs_wait(memory: MemoryJobs) -> None:
    """What is not due is not run."""
    with memory.eager() as ended:
        await memory.pool.enqueue("note", defer_by=60)
    assert ended == []
    memory.assert_enqueued("note")


async def test_eager_errors_are_raised(memory: MemoryJobs) -> None:
    """What a task raises in its first try comes out of the call, with the traceback that leads into the task."""
    with memory.eager() as ended, pytest.raises(ValueError, match="no luck in try 1") as caught:
        await memory.pool.enqueue("fails")
    assert caught.traceback[-1].name == "fails"
    assert [(record.status, record.tries) for record in ended] == [(JobStatus.FAILED, 1)]


async def test_eager_errors_are_recorded(memory: MemoryJobs) -> None:
    """Or the caller goes on as in production, and the record says what went wrong."""
    with memory.eager(raise_errors=False) as ended:
        job_id = await memory.pool.enqueue("fails")
    assert job_id is not None
    assert await memory.pool.record(job_id) == ended[0]
    assert ended[0].error == "ValueError: no luck in try 1"


# Assertions


async def test_a_task_is_named_in_any_way(jobs: MemoryJobs) -> None:
    """By its name, its import path, or itself."""
    await enqueue_task("example_task", message="Hello!", seconds=0)
    for name in ("example_task", f"{example_task.__module__}.example_task", example_task):
        [job] = jobs.assert_enqueued(name)
        assert jobs.enqueued_jobs(name) == [job]
    assert WorkerSettings.functions[0] is example_task
    assert jobs.enqueued_jobs("send_email") == []


async def test_what_is_enqueued(memory: MemoryJobs) -> None:
    """The jobs that wait are given with all that is known of them, the first due first."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    await memory.pool.enqueue("paint", defer_by=60, job_id="later")
    await memory.pool.enqueue("note", (1,), {"other": 2}, queue="mail", job_id="now")
    now, later = memory.enqueued_jobs()
    assert (now.job_id, now.task, now.args, now.kwargs, now.queue) == ("now", "note", (1,), {"other": 2}, "mail")
    assert (now.status, later.status) == (JobStatus.PENDING, JobStatus.SCHEDULED)
    assert now.enqueue_time is not None
    assert before < now.enqueue_time <= now.due + timedelta(seconds=1)
    assert 59 < (later.due - now.due).total_seconds() <= 60
    assert memory.enqueued_jobs(queue="mail") == [now]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((Address("Fleet Street 1", "London"),), {}),
        ((), {"wall": Address("Fleet Street 1", "London")}),
        ((), {"wall": {"street": "Fleet Street 1", "city": "London"}}),
        ((), {"wall": ANY, "colour": Colour.RED}),
        ((), {"colour": "red", "coats": 1}),
    ],
)
async def test_arguments_match(memory: MemoryJobs, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Given arguments must be equal, by position or by name, defaults included; others may be anything."""
    await memory.pool.enqueue("paint", (Address("Fleet Street 1", "London"),))
    memory.assert_enqueued("paint", *args, **kwargs)
    with pytest.raises(AssertionError):
        memory.assert_not_enqueued("paint", *args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((Address("Fleet Street 2", "London"),), {}), ((), {"coats": 2}), ((), {"colour": ANY, "coats": None})],
)
async def test_arguments_differ(memory: MemoryJobs, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """One argument that is not as it should be is enough."""
    await memory.pool.enqueue("paint", (Address("Fleet Street 1", "London"),))
    memory.assert_not_enqueued("paint", *args, **kwargs)
    with pytest.raises(AssertionError):
        memory.assert_enqueued("paint", *args, **kwargs)


async def test_variable_arguments_match(memory: MemoryJobs) -> None:
    """Those that a task takes as `**kwargs` are matched one by one."""
    await memory.pool.enqueue("note", (1, 2, 3), {"a": 4, "b": 5})
    memory.assert_enqueued("note", b=5)
    memory.assert_enqueued("note", 1, 2, 3)
    memory.assert_not_enqueued("note", b=4)
    memory.assert_not_enqueued("note", c=5)


async def test_counts_and_queues(memory: MemoryJobs) -> None:
    """How many there are, and where, is part of the expectation."""
    await memory.pool.enqueue_many("note", [{"what": 1}, {"what": 2}])
    await memory.pool.enqueue("note", (3,), queue="mail")
    assert len(memory.assert_enqueued("note", _count=3)) == 3
    memory.assert_enqueued("note", _count=2, _queue="default")
    memory.assert_enqueued("note", what=3, _queue="mail")
    memory.assert_enqueued("note", what=4, _count=0)
    memory.assert_not_enqueued("note", what=3, _queue="default")
    with pytest.raises(AssertionError, match=r"^note\(what=1\) is enqueued 1 times, not 2; these are:\n"):
        memory.assert_enqueued("note", what=1, _count=2)


async def test_a_failure_lists_what_is_there(memory: MemoryJobs) -> None:
    """The message shows what is enqueued instead, the nearest first: the same task with the most equal arguments."""
    await memory.pool.enqueue("fails", queue="mail")
    await memory.pool.enqueue("note", kwargs={"what": "x" * 200, "a": 3}, job_id="1")
    await memory.pool.enqueue("note", kwargs={"what": 1, "a": 2}, defer_by=60)
    with pytest.raises(AssertionError) as caught:
        memory.assert_enqueued("note", what=1, a=3, b=4, _queue="default")
    shown = "x" * 78
    assert str(caught.value) == (
        "note(what=1, a=3, b=4) in default is not enqueued; these are:\n"
        f"  note(what='{shown}…, a=3) in default, due now\n"
        "  note(what=1, a=2) in default, due in 60 s\n"
        "  fails() in mail, due now"
    )


async def test_a_failure_lists_so_many(memory: MemoryJobs) -> None:
    """A message stays short, however much is enqueued, and says so when nothing is."""
    with pytest.raises(AssertionError, match=r"^fails\(\) is not enqueued; nothing is\.$"):
        memory.assert_enqueued("fails")
    await memory.pool.enqueue_many("note", [{"what": number} for number in range(12)])
    await memory.pool.enqueue("nobody_knows_it")
    with pytest.raises(AssertionError, match=r"and 3 more$") as caught:
        memory.assert_enqueued("fails")
    assert str(caught.value).count("\n") == 11


async def test_mistakes_are_no_success(memory: MemoryJobs) -> None:
    """An assertion about what cannot be is an error, above all one that nothing is enqueued."""
    with pytest.raises(UnknownTaskError, match="did you mean 'note'"):
        memory.assert_not_enqueued("nite")
    with pytest.raises(InvalidJobError, match="paint: got an unexpected keyword argument 'color'"):
        memory.assert_not_enqueued("paint", color="red")


async def test_ended_jobs_are_not_enqueued(memory: MemoryJobs) -> None:
    """What has run, or was not started in time, does not wait any more."""
    await memory.pool.enqueue("note")
    await memory.run_jobs()
    memory.assert_not_enqueued("note")
    await memory.pool.enqueue("note", expires=10)
    memory.clock.advance(11)
    memory.assert_not_enqueued("note")


# The page


@pytest.mark.parametrize("block", BLOCKS)
async def test_the_tests_of_the_page_pass(block: str, jobs: MemoryJobs, client: AsyncClient) -> None:
    """What the page shows as a test is one that passes."""
    fixtures = {"jobs": jobs, "client": client}
    namespace: dict[str, Any] = {"enqueue_task": enqueue_task}
    exec(compile(block, PAGE, "exec", dont_inherit=True), namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        await test(**{name: fixtures[name] for name in inspect.signature(test).parameters})
