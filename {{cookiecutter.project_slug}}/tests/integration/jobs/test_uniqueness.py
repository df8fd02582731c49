"""One job where several were asked for: `unique`, and idempotency keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import InvalidJobError, JobStatus, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.messages import Timing, unique_lock
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import Unique
from {{ cookiecutter.__package }}.infrastructure.jobs.registry import TaskRegistry
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext, TaskPool

    from ..conftest import RunJobs

DAY_MS = 86_400_000


@task(name="greet", unique=Unique.FINISHED)
async def greet(ctx: TaskContext, name: str, word: str = "hello") -> str:  # noqa: ARG001
    return f"{word}, {name}"


@pytest.fixture
def greeter(pool: TaskPool) -> TaskPool:
    """Give the pool of a process that knows the task."""
    pool.registry = TaskRegistry([greet])
    return pool


async def test_a_unique_job_keeps_out_the_same(pool: TaskPool) -> None:
    """With the same arguments a second job is left out; with others, or for another task, it is another job."""
    first = await pool.enqueue("task", (1,), {"to": "Ann"}, unique=Unique.FINISHED)
    assert first is not None
    assert await pool.enqueue("task", (1,), {"to": "Ann"}, unique=Unique.FINISHED) is None
    assert await pool.enqueue("task", (2,), {"to": "Ann"}, unique=Unique.FINISHED)
    assert await pool.enqueue("task", (1,), {"to": "Bob"}, unique=Unique.FINISHED)
    assert await pool.enqueue("other task", (1,), {"to": "Ann"}, unique=Unique.FINISHED)
    assert await pool.zcard(keys.queue()) == 4


async def test_the_task_says_for_how_long_its_jobs_are_unique(greeter: TaskPool, run_jobs: RunJobs) -> None:
    """The policy counts, however the arguments are written, unless the call says otherwise."""
    assert await greeter.enqueue("greet", ("Ann",)) is not None
    assert await greeter.enqueue("greet", (), {"name": "Ann"}) is None
    assert await greeter.enqueue("greet", ("Ann",), {"word": "hello"}) is None
    assert await greeter.enqueue("greet", (), {"word": "goodbye", "name": "Ann"}) is not None
    assert await greeter.enqueue("greet", ("Cid",), unique=timedelta(hours=1)) is not None
    await run_jobs(greet)
    assert await greeter.enqueue("greet", ("Ann",)) is not None
    assert await greeter.enqueue("greet", ("Cid",), unique=timedelta(hours=1)) is None


async def test_many_jobs_at_once_are_unique_among_themselves(greeter: TaskPool) -> None:
    """Of each that comes twice, the second is left out, and the answers stand in the order of the items."""
    job_ids = await greeter.enqueue_many("greet", [{"name": name} for name in ("Ann", "Bob", "Ann", "Cid", "Bob")])
    assert [job_id is None for job_id in job_ids] == [False, False, True, False, True]
    assert await greeter.zrange(keys.queue(), 0, -1) == [job_id.encode() for job_id in job_ids if job_id]


async def test_a_job_may_be_unique_while_it_waits(pool: TaskPool, run_jobs: RunJobs) -> None:
    """From its start on another one may wait: what has changed since is not missed."""
    seen: list[str | None] = []

    async def sync(ctx: TaskContext) -> None:
        if ctx["job_id"] == "first":
            seen.extend([await pool.enqueue("sync", unique=Unique.PENDING, job_id=job_id) for job_id in "ab"])

    assert await pool.enqueue("sync", unique=Unique.PENDING, job_id="first")
    assert await pool.enqueue("sync", unique=Unique.PENDING) is None
    worker = await run_jobs(sync)
    assert seen == ["a", None]
    assert worker.jobs_complete == 2


async def test_a_job_may_be_unique_for_a_period(pool: TaskPool, run_jobs: RunJobs) -> None:
    """It is so however soon the first has ended."""
    assert await pool.enqueue("greet", ("Ann",), unique=timedelta(minutes=10))
    [lock] = await pool.keys(keys.unique("*"))
    assert 590_000 < await pool.pttl(lock) <= 600_000
    await run_jobs(greet)
    assert await pool.enqueue("greet", ("Ann",), unique=timedelta(minutes=10)) is None


@pytest.mark.parametrize("unique", [Unique.PENDING, Unique.FINISHED])
@pytest.mark.parametrize("until", [False, True])
async def test_that_a_job_is_unique_is_known_longer_than_it_waits(
    unique: Unique,
    until: bool,  # noqa: FBT001
    pool: TaskPool,
) -> None:
    """A job that is due in a year still keeps out others then, and a month longer."""
    moment = datetime.now(UTC) + timedelta(days=365)
    when: dict[str, Any] = {"defer_until": moment} if until else {"defer_by": timedelta(days=365)}
    await pool.enqueue("greet", ("Ann",), unique=unique, **when)
    [lock] = await pool.keys(keys.unique("*"))
    assert 394 * DAY_MS < await pool.pttl(lock) <= 395 * DAY_MS


async def test_a_cancelled_job_keeps_nobody_out(pool: TaskPool) -> None:
    """The same job may be enqueued again at once."""
    first = await pool.enqueue("greet", ("Ann",), unique=Unique.FINISHED)
    assert first is not None
    assert await pool.cancel(first)
    assert await pool.enqueue("greet", ("Ann",), unique=Unique.FINISHED)


async def test_the_same_request_twice_is_one_job(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A second call with the same idempotency key gives the id of the first job, also when that has ended."""
    first = await pool.enqueue("greet", ("Ann",), idempotency_key="request 1")
    assert first is not None
    assert await pool.enqueue("greet", ("Ann",), idempotency_key="request 1") == first
    assert await pool.enqueue("greet", ("Ann",), idempotency_key="request 2") not in {first, None}
    worker = await run_jobs(greet)
    assert worker.jobs_complete == 2
    assert await pool.enqueue("greet", ("Ann",), idempotency_key="request 1") == first
    assert not await pool.exists(keys.queue())


@pytest.mark.parametrize(("ttl", "milliseconds"), [(None, DAY_MS), (60, 60_000), (timedelta(hours=1), 3_600_000)])
async def test_an_idempotency_key_is_known_for_a_time(ttl: Any, milliseconds: int, pool: TaskPool) -> None:
    """It is a day, or as long as the caller says; then the same key is another job."""
    options = {} if ttl is None else {"idempotency_ttl": ttl}
    first = await pool.enqueue("greet", ("Ann",), idempotency_key="request", **options)
    key = keys.idempotency("request")
    assert milliseconds - 10_000 < await pool.pttl(key) <= milliseconds
    await pool.delete(key)  # what Redis does when the time is over
    assert await pool.enqueue("greet", ("Ann",), idempotency_key="request") not in {first, None}


async def test_an_idempotency_key_does_not_hide_that_a_job_is_unique(pool: TaskPool) -> None:
    """Where the same job was asked for by another request, this one is left out, and its key stays free."""
    assert await pool.enqueue("greet", ("Ann",), unique=Unique.FINISHED, idempotency_key="request 1")
    assert await pool.enqueue("greet", ("Ann",), unique=Unique.FINISHED, idempotency_key="request 2") is None
    assert not await pool.exists(keys.idempotency("request 2"))
    other = await pool.enqueue("greet", ("Bob",), unique=Unique.FINISHED, idempotency_key="request 2")
    assert other is not None
    assert await pool.enqueue("greet", ("Cid",), unique=Unique.FINISHED, idempotency_key="request 2") == other


@pytest.mark.parametrize("options", [{"idempotency_key": ""}, {"idempotency_key": "request", "idempotency_ttl": 0}])
async def test_an_idempotency_key_that_means_nothing_is_an_error(options: dict[str, Any], pool: TaskPool) -> None:
    """An empty key would make one job of all, and one that is known for no time would do nothing."""
    with pytest.raises(InvalidJobError, match="idempotency key"):
        await pool.enqueue("greet", ("Ann",), **options)
    assert await pool.dbsize() == 0


async def test_the_job_of_a_lost_answer_is_found_by_its_key(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A client that did not hear the answer asks again, and can follow the job that there is."""
    message = pool.prepare("greet", ("Ann",), idempotency_key="request")
    await pool.send([message])
    assert await pool.send([message._replace(job_id="another")]) == [message.job_id]
    await run_jobs(greet)
    record = await pool.record(message.job_id)
    assert record is not None
    assert (record.status, record.result) == (JobStatus.SUCCESS, "hello, Ann")


def test_the_order_of_dicts_and_sets_makes_no_difference() -> None:
    """Jobs are the same if their arguments are equal, also in another process, where sets have another order."""
    timing = Timing(due=False, delay=0, lifetime=0)
    one = {"tags": {"a", "b", "c"}, "options": {"x": [1, {"y"}], "z": (2,)}}
    other = {"options": {"z": [2], "x": [1, {"y"}]}, "tags": frozenset({"c", "b", "a"})}
    first, second, third = (
        unique_lock("task", arguments, Unique.PENDING, timing) for arguments in (one, other, {**one, "tags": {"a"}})
    )
    assert first == second
    assert first != third


async def test_a_task_that_becomes_unique_for_a_period_is_not_kept_out_by_earlier_jobs(pool: TaskPool) -> None:
    """The lock of a job that has ended does not turn into one for a time when a deploy changes the kind."""
    assert await pool.enqueue("task", job_id="a", unique=Unique.FINISHED)
    assert await pool.cancel("a")
    assert await pool.enqueue("task", job_id="b", unique=timedelta(days=1)) == "b"
    assert await pool.enqueue("task", job_id="c", unique=timedelta(days=1)) is None


async def test_an_idempotency_key_comes_before_an_id(pool: TaskPool) -> None:
    """The same request with both again is answered with the first job's id, not refused because the id is taken."""
    for _ in range(2):
        assert await pool.enqueue("task", job_id="a", idempotency_key="k") == "a"
    assert await pool.enqueue("task", job_id="a") is None
