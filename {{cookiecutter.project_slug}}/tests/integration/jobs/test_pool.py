"""Enqueueing through the front door, on a real Redis."""

from __future__ import annotations

import asyncio
import pickle
import re
import socket
from datetime import UTC, date, datetime, timedelta
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from arq.connections import RedisSettings

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidJobError,
    InvalidPolicyError,
    JobError,
    JobStatus,
    PayloadTooLargeError,
    QueueUnavailable,
    TaskPool,
    TaskRegistry,
    UnknownTaskError,
    UnserializableError,
    keys,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    close_task_pool,
    enqueue_task,
    example_task,
    get_dispatcher,
    get_task_pool,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext

    from ..conftest import RunJobs

#: Of what a datetime can say, in local time.
BEGINNING, END = datetime(1, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001


async def test_a_job_runs_and_its_result_is_kept(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Enqueue, run, look up: the calls that the docs begin with."""
    job_id = await enqueue_task("example_task", message="Hello!")
    assert job_id is not None
    waiting = await pool.record(job_id)
    assert waiting is not None
    assert (waiting.status, waiting.tries, waiting.kwargs) == (JobStatus.PENDING, 0, {"message": "Hello!"})

    await run_jobs(example_task)

    job = await pool.job(job_id)
    assert job is not None
    info = await job.info()
    assert info is not None
    assert (info.status, info.result, info.error, info.tries) == ("success", "Hello! (try 1)", None, 1)
    assert info.enqueue_time is not None
    assert info.start_time is not None
    assert info.finish_time is not None
    assert info.enqueue_time <= info.start_time <= info.finish_time
    assert info.enqueue_time.tzinfo is UTC


async def test_an_unknown_job_is_none(pool: TaskPool) -> None:
    """An id that nobody gave out leads to nothing."""
    assert await pool.job("no-such-job") is None


async def test_an_id_is_used_once(pool: TaskPool, run_jobs: RunJobs) -> None:
    """With `_job_id`, a second job is not enqueued while the first waits, nor while its result is kept."""
    assert await enqueue_task("example_task", message="first", _job_id="mine") == "mine"
    assert await enqueue_task("example_task", message="second", _job_id="mine") is None
    await run_jobs(example_task)
    assert await enqueue_task("example_task", message="third", _job_id="mine") is None
    info = await pool.record("mine")
    assert info is not None
    assert info.result == "first (try 1)"


@pytest.mark.parametrize("delay", [60, timedelta(minutes=1)])
async def test_defer_by_schedules(delay: float | timedelta, pool: TaskPool) -> None:
    """`_defer_by` takes seconds or a timedelta; the job is scheduled until then."""
    before = datetime.now(UTC)
    job_id = await enqueue_task("example_task", message="later", _defer_by=delay)
    assert job_id is not None
    info = await pool.record(job_id)
    assert info is not None
    assert info.status is JobStatus.SCHEDULED
    due = await pool.zscore(keys.queue(), job_id)
    assert due is not None
    assert 59.99 < due / 1000 - before.timestamp() < 65


async def test_defer_until_schedules(pool: TaskPool) -> None:
    """`_defer_until` takes a moment, to the millisecond."""
    moment = datetime.now(UTC) + timedelta(hours=1)
    job_id = await enqueue_task("example_task", message="later", _defer_until=moment)
    assert job_id is not None
    assert await pool.zscore(keys.queue(), job_id) == round(moment.timestamp() * 1000)


@pytest.mark.parametrize("past", [{"_defer_by": -3600}, {"_defer_until": datetime(2020, 1, 1, tzinfo=UTC)}])
async def test_a_time_that_has_passed_means_now(past: dict[str, Any], pool: TaskPool) -> None:
    """Such a job goes before none that is there."""
    await enqueue_task("example_task", message="first", _job_id="first")
    await enqueue_task("example_task", message="second", _job_id="second", **past)
    assert await pool.zrange(keys.queue(), 0, -1) == [b"first", b"second"]


@pytest.mark.parametrize(
    "options",
    [
        *({"_defer_by": value} for value in ("5", True, nan, inf, 1e20, datetime(2030, 1, 1, tzinfo=UTC))),
        *({"_expires": value} for value in ("5", True, nan, inf, 1e20)),
        *({"_defer_until": value} for value in (5, "2030-01-01", date(2030, 1, 1), BEGINNING, END)),
        *({"_job_id": value} for value in ("", 5, b"id")),
        *({"_idempotency_key": value} for value in ("", 5)),
        *({"_unique": value} for value in (True, "pending", 60)),
    ],
    ids=str,
)
async def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], pool: TaskPool) -> None:
    """The error names the task or the option, and the value; nothing is enqueued."""
    [value] = options.values()
    with pytest.raises(InvalidPolicyError if "_unique" in options else InvalidJobError, match=re.escape(repr(value))):
        await enqueue_task("example_task", message="x", **options)
    assert await pool.dbsize() == 0


async def test_jobs_do_not_expire_unless_asked(pool: TaskPool) -> None:
    """A job waits as long as it takes; `_expires` sets a limit, counted from when it is due."""
    await enqueue_task("example_task", message="patient", _job_id="patient", _defer_by=86_400 * 30)
    await enqueue_task("example_task", message="hasty", _job_id="hasty", _defer_by=60, _expires=30)
    assert await pool.pttl(keys.job("patient")) == -1
    assert 85_000 < await pool.pttl(keys.job("hasty")) <= 90_000


async def test_an_expired_job_fails_and_says_so(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A job that has not started in time is recorded as failed, with what it was."""
    await enqueue_task("example_task", message="too late", _job_id="late", _expires=timedelta(seconds=30))
    await pool.delete(keys.job("late"))  # what Redis does when the time is over
    await run_jobs(example_task)
    info = await pool.record("late")
    assert info is not None
    assert (info.status, info.cause, info.error) == ("failed", "expired", "JobExecutionFailed: job expired")
    assert (info.task, info.kwargs) == ("example_task", {"message": "too late"})


async def test_queues_are_apart(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A job in a queue of its own is run by the workers of that queue only."""
    job_id = await enqueue_task("example_task", message="over there", _queue="mail")
    assert job_id is not None
    await run_jobs(example_task)
    info = await pool.record(job_id)
    assert info is not None
    assert (info.status, info.queue) == (JobStatus.PENDING, "mail")
    await run_jobs(example_task, queue_name=keys.queue("mail"))
    info = await pool.record(job_id)
    assert info is not None
    assert (info.status, info.queue) == (JobStatus.SUCCESS, "mail")


async def test_any_name_may_be_a_parameter(pool: TaskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not begin with `_` goes to the task, be it called as a parameter of the call itself."""

    @task
    async def assign(ctx: TaskContext, task: int, queue: str) -> None: ...

    registry = TaskRegistry([assign])
    monkeypatch.setattr(pool, "registry", registry)
    front_door = "{{ cookiecutter.__package }}.infrastructure.tasks"
    monkeypatch.setattr(f"{front_door}.get_task_registry", lambda: registry)
    for job_id in (await enqueue_task(assign, task=7, queue="mail"), await assign.enqueue(task=7, queue="mail")):
        info = await pool.record(str(job_id))
        assert info is not None
        assert (info.kwargs, info.queue) == ({"task": 7, "queue": "mail"}, "default")


async def test_mistakes_are_errors_at_the_call(pool: TaskPool) -> None:
    """An unknown task, arguments that do not fit or cannot be stored: the error names them, and nothing is enqueued."""
    with pytest.raises(UnknownTaskError, match="did you mean 'example_task'"):
        await enqueue_task("exampel_task", message="x")
    with pytest.raises(InvalidJobError, match="'message'"):
        await enqueue_task("example_task")
    with (
        socket.socket() as value,
        pytest.raises(UnserializableError, match=r"^example_task: argument 'message' is a socket"),
    ):
        await enqueue_task("example_task", message=value)
    with pytest.raises(InvalidJobError, match="not both"):
        await enqueue_task("example_task", message="x", _defer_by=1, _defer_until=datetime.now(UTC))
    assert await pool.dbsize() == 0


async def test_no_redis_is_an_error_within_the_time_limit(unused_tcp_port: int) -> None:
    """Where nobody listens, and where a listener never answers, the caller learns it; nothing hangs."""
    pool = TaskPool.from_settings(RedisSettings(port=unused_tcp_port))
    with pytest.raises(QueueUnavailable, match="example_task"):
        await pool.enqueue("example_task")
    with socket.create_server(("127.0.0.1", unused_tcp_port)), pytest.raises(QueueUnavailable, match="TimeoutError"):
        await pool.enqueue("example_task")
    await pool.aclose()


async def test_a_full_redis_refuses_loudly(pool: TaskPool) -> None:
    """When Redis has no memory left, the caller gets an error that says so, and the jobs before it stay."""
    first = await enqueue_task("example_task", message="before")
    assert first is not None
    used = (await pool.info("memory"))["used_memory"]
    await pool.config_set("maxmemory", used // 2)
    try:
        with pytest.raises(JobError, match=r"Redis refused the job: .*maxmemory"):
            await enqueue_task("example_task", message="after")
    finally:
        await pool.config_set("maxmemory", 0)
    assert await pool.zcard(keys.queue()) == 1


async def test_arq_clients_share_the_queue(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Code written to arq's own `enqueue_job` and `Job` works on the pool unchanged."""
    job = await pool.enqueue_job("example_task", message="from arq", _job_id="arq-1", _defer_by=0.01)
    assert job is not None
    assert await pool.enqueue_job("example_task", message="again", _job_id="arq-1") is None
    await run_jobs(example_task)
    assert await job.result(timeout=5) == "from arq (try 1)"


async def test_a_job_that_is_too_large_is_refused(pool: TaskPool) -> None:
    """The error names the task, both sizes and the setting, and says what to do; nothing is stored."""
    with pytest.raises(
        PayloadTooLargeError, match=r"example_task: .* the limit is 524,288 \(JOBS_MAX_PAYLOAD\).*reference"
    ):
        await enqueue_task("example_task", message="x" * 524_288)
    assert await enqueue_task("example_task", message="x" * 500_000)
    pool.max_payload = 100
    with pytest.raises(PayloadTooLargeError):
        await pool.enqueue_many("example_task", [{"message": "short"}, {"message": "x" * 100}])
    assert await pool.zcard(keys.queue()) == 1


async def test_a_damaged_job_fails_and_says_why(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A payload that nobody can read is no stumbling block: it is a failure with a reason, and the others run."""
    await enqueue_task("example_task", message="damaged", _job_id="damaged")
    await enqueue_task("example_task", message="pickled", _job_id="pickled")
    await enqueue_task("example_task", message="whole", _job_id="whole")
    await pool.set(keys.job("damaged"), b"\xc1")
    await pool.set(keys.job("pickled"), pickle.dumps({"f": "example_task"}))
    assert (await pool.record("damaged")).task == "<unknown>"  # type: ignore[union-attr]
    await run_jobs(example_task)
    for job_id, reason in (("damaged", "not a stored job"), ("pickled", "which is never read"), ("whole", "")):
        info = await pool.record(job_id)
        assert info is not None
        assert info.status is (JobStatus.FAILED if reason else JobStatus.SUCCESS)
        assert reason in (info.error or "")


async def test_cancel(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A job that waits is cancelled; one that has ended, or that nobody knows, is not; a damaged one is, too."""
    for job_id in ("waits", "ends", "damaged"):
        await enqueue_task("example_task", message="x", _job_id=job_id)
    await pool.set(keys.job("damaged"), b"\xc1")
    assert await pool.cancel("waits")
    assert await pool.cancel("damaged")
    worker = await run_jobs(example_task)
    assert worker.jobs_complete == 1
    assert not await pool.cancel("ends")
    assert not await pool.cancel("nobody knows")
    info = await pool.record("waits")
    assert info is not None
    assert (info.status, info.tries, info.start_time, info.error) == ("cancelled", 0, None, "CancelledError")


async def test_an_id_that_was_cancelled_can_be_used_again(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The new job is a job like any other; once it has ended otherwise, its id is taken."""
    for word in ("first", "second"):
        assert await enqueue_task("example_task", message=word, _job_id="mine") == "mine"
        assert await pool.cancel("mine")
        assert (await pool.record("mine")).status is JobStatus.CANCELLED  # type: ignore[union-attr] # it is known
    assert await enqueue_task("example_task", message="third", _job_id="mine") == "mine"
    assert (await pool.record("mine")).status is JobStatus.PENDING  # type: ignore[union-attr]
    await run_jobs(example_task)
    info = await pool.record("mine")
    assert info is not None
    assert (info.status, info.result) == ("success", "third (try 1)")
    assert await enqueue_task("example_task", message="fourth", _job_id="mine") is None


async def test_prepared_jobs_of_several_queues_are_sent_together(pool: TaskPool) -> None:
    """Each goes to its own queue, and the answers stand in their order, whatever is left out."""
    queues = ["default", "mail", "mail", "default", "mail"]
    messages = [
        pool.prepare("task", (number,), job_id=str(number), queue=name, defer_by=60 + number)
        for number, name in enumerate(queues)
    ]
    assert await pool.dbsize() == 0
    assert await pool.enqueue("task", job_id="2", queue="mail")
    assert await pool.send(messages) == ["0", "1", None, "3", "4"]
    assert await pool.zrange(keys.queue(), 0, -1) == [b"0", b"3"]
    assert await pool.zrange(keys.queue("mail"), 0, -1) == [b"2", b"1", b"4"]
    assert await pool.send([]) == []


async def test_a_job_is_tied_to_its_request(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The correlation id of the running request, or one that is given, is known until the result is gone."""
    with structlog.contextvars.bound_contextvars(correlation_id="request"):
        await pool.enqueue("example_task", (), {"message": "x"}, job_id="context")
        await pool.enqueue("example_task", (), {"message": "x"}, job_id="given", correlation_id="another")
        [of_many] = await pool.enqueue_many("example_task", [{"message": "x"}])
        await pool.enqueue_job("example_task", message="x", _job_id="arq")
    await pool.enqueue("example_task", (), {"message": "x"}, job_id="none")
    expected = {"context": "request", "given": "another", of_many: "request", "arq": "request", "none": None}
    for _ in range(2):
        records = {job_id: await pool.record(str(job_id)) for job_id in expected}
        assert {job_id: record and record.correlation_id for job_id, record in records.items()} == expected
        await run_jobs(example_task)


async def test_one_pool_for_the_process(redis_url: str) -> None:  # noqa: ARG001
    """`get_task_pool` gives the same connection until it is closed; closing twice does no harm."""
    first = await get_task_pool()
    assert await get_task_pool() is first
    await close_task_pool()
    await close_task_pool()
    assert await get_task_pool() is not first


async def test_what_belongs_to_an_event_loop_goes_with_it(redis_url: str) -> None:  # noqa: ARG001
    """Who runs one loop after the other, and closes nothing, piles nothing up."""
    for _ in range(3):
        await asyncio.to_thread(asyncio.run, get_task_pool())
    assert sum(loop.is_closed() for loop in get_dispatcher._made) == 1
    await close_task_pool()
    await get_task_pool()
    assert not any(loop.is_closed() for loop in get_dispatcher._made)
