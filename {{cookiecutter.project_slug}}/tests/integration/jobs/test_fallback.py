"""What becomes of jobs that are enqueued while Redis is away, and once it is back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from {{ cookiecutter.__package }}.infrastructure.database import get_engine
from {{ cookiecutter.__package }}.infrastructure.embedded import free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobError,
    JobStatus,
    QueueUnavailable,
    circuit,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import Unique
from {{ cookiecutter.__package }}.infrastructure.jobs.retention import Retention
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task
from {{ cookiecutter.__package }}.infrastructure.settings import ConfigurationError, get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    JOB_OUTBOX,
    WorkerSettings,
    close_task_pool,
    enqueue_task,
    find_job,
    get_outbox,
    get_task_pool,
    get_task_registry,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext

    from ..conftest import RunJobs

    RunAll = Callable[[], Awaitable[None]]

#: Job and try of each run, in order.
started, ended = asyncio.Event(), asyncio.Event()
ran: list[tuple[str | None, int]] = []


async def works(ctx: TaskContext, word: str = "") -> str:
    ran.append((ctx["job_id"], ctx["job_try"]))
    return word.upper()


async def fails(ctx: TaskContext) -> None:
    ran.append((ctx["job_id"], ctx["job_try"]))
    raise ZeroDivisionError


@task(retry=1)
async def fails_once(ctx: TaskContext) -> None:
    ran.append((ctx["job_id"], ctx["job_try"]))
    raise ZeroDivisionError


@task(timeout=0.01, retry=1)
async def dawdles(ctx: TaskContext) -> None:
    ran.append((ctx["job_id"], ctx["job_try"]))
    await asyncio.Event().wait()


@task(concurrency=1)
async def limited(ctx: TaskContext) -> None:
    ran.append((ctx["job_id"], ctx["job_try"]))


@task(unique=Unique.FINISHED)
async def unique(ctx: TaskContext) -> None:
    ran.append((ctx["job_id"], ctx["job_try"]))


async def hangs(ctx: TaskContext) -> None:
    ran.append((ctx["job_id"], ctx["job_try"]))
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


TASKS: list[Callable[..., Any]] = [works, fails, fails_once, dawdles, limited, unique, hangs]


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the front door know these tasks, and nothing else."""
    monkeypatch.setattr(WorkerSettings, "functions", TASKS)
    monkeypatch.setattr(WorkerSettings, "retry_delay", timedelta(0))
    monkeypatch.setattr(circuit, "PAUSE", 1e9)  # a circuit that has opened closes when the test says so
    get_task_registry.cache_clear()
    ran.clear()
    yield
    get_task_registry.cache_clear()


@pytest.fixture(autouse=True)
async def clean_up(tables: None) -> AsyncIterator[None]:  # noqa: ARG001 - they are there until then
    yield
    await close_task_pool()


class Server:
    """A way to the test's Redis that may be cut: new connections are refused, or answers are held back."""

    def __init__(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._url = redis_url
        self._monkeypatch = monkeypatch

    async def point(self, url: str, **environment: str) -> None:
        """Let the front door use a Redis at this address."""
        await close_task_pool()
        self._monkeypatch.setenv("REDIS_URL", url)
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        get_settings.cache_clear()

    async def away(self, fallback: str = "inline") -> None:
        """Take Redis away: nobody listens at its address."""
        await self.point(f"redis://127.0.0.1:{free_port()}", JOBS_FALLBACK=fallback)

    async def back(self) -> None:
        """Bring it back, and let what waits in the outbox be published."""
        await self.point(self._url)
        await get_outbox().relay.publish()


@pytest.fixture
def redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(redis_url, monkeypatch)


@pytest.fixture
async def run_all(redis: Server, run_jobs: RunJobs) -> RunAll:
    """Give a function that brings Redis back, and runs all jobs."""

    async def run() -> None:
        await redis.back()
        await run_jobs(*TASKS)

    return run


async def waiting() -> list[str]:
    """Give the ids of the jobs that wait in the outbox."""
    async with get_engine().connect() as connection:
        return list((await connection.execute(select(JOB_OUTBOX.c.job_id).order_by(JOB_OUTBOX.c.id))).scalars())


async def queued() -> list[str]:
    return [job_id.decode() for job_id in await (await get_task_pool()).zrange(keys.queue(), 0, -1)]


async def test_inline_runs_a_job_in_place(redis: Server, run_all: RunAll) -> None:
    """When the call returns the job has run; once Redis is back its record is there, and it does not run again."""
    await redis.away()
    job_id = await enqueue_task("works", "hello")
    assert ran == [(job_id, 1)]
    await run_all()
    record = await find_job(str(job_id))
    assert record is not None
    assert (record.status, record.result, record.tries) == (JobStatus.SUCCESS, "HELLO", 1)
    assert ran == [(job_id, 1)]


async def test_inline_leaves_the_rest_of_a_failed_job_to_a_worker(redis: Server, run_all: RunAll) -> None:
    """The first try fails in place; the others follow in a worker, and are counted on from there."""
    await redis.away()
    job_id = await enqueue_task("fails")
    assert ran == [(job_id, 1)]
    assert await waiting() == [job_id]
    await run_all()
    assert ran == [(job_id, 1), (job_id, 2), (job_id, 3)]
    record = await find_job(str(job_id))
    assert record is not None
    assert (record.status, record.error, record.tries) == (JobStatus.FAILED, "ZeroDivisionError", 3)


@pytest.mark.parametrize(("name", "error"), [("fails_once", "ZeroDivisionError"), ("dawdles", "TimeoutError")])
async def test_a_last_try_that_fails_in_place_is_recorded(
    name: str, error: str, redis: Server, run_all: RunAll
) -> None:
    """The task's own policy holds in place as well; what came of it is known once Redis is back."""
    await redis.away()
    job_id = await enqueue_task(name)
    await run_all()
    assert ran == [(job_id, 1)]
    record = await find_job(str(job_id))
    assert record is not None
    assert record.status is JobStatus.FAILED
    assert str(record.error).startswith(error)
    assert await (await get_task_pool()).zscore(keys.DEAD, str(job_id)) is not None


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("works", {"_defer_by": 0.001}),
        ("works", {"_job_id": "my-own"}),
        ("works", {"_idempotency_key": "once"}),
        ("unique", {}),
        ("limited", {}),
    ],
)
async def test_inline_runs_nothing_that_redis_might_forbid(
    name: str, options: dict[str, Any], redis: Server, run_all: RunAll
) -> None:
    """What is not due, may be there already, or has a limit, waits in the outbox, and runs once."""
    await redis.away()
    job_id = await enqueue_task(name, **options)
    assert ran == []
    assert await waiting() == [job_id]
    await run_all()
    assert ran == [(job_id, 1)]


async def test_a_duplicate_is_found_when_it_is_published(redis: Server, run_all: RunAll) -> None:
    """Of calls with one id, made while nobody could know of the other, one leads to a job."""
    await redis.away()
    for _ in range(3):
        assert await enqueue_task("works", _job_id="report") == "report"
    assert len(await waiting()) == 3
    await run_all()
    assert ran == [("report", 1)]


async def test_outbox_keeps_every_job(redis: Server, run_all: RunAll) -> None:
    """Nothing runs in place; once Redis is back there is exactly one job for each call, in their order."""
    await redis.away("outbox")
    job_ids = [await enqueue_task("works", str(number)) for number in range(5)]
    assert ran == []
    assert await waiting() == job_ids
    await redis.back()
    assert await queued() == job_ids
    assert await waiting() == []
    await run_all()
    assert sorted(ran) == [(job_id, 1) for job_id in job_ids]


async def test_raise_tells_the_caller(redis: Server) -> None:
    """With `raise` the call fails, and nothing is left of it."""
    await redis.away("raise")
    with pytest.raises(QueueUnavailable, match="works: not enqueued"):
        await enqueue_task("works")
    assert ran == []
    assert await waiting() == []


@pytest.mark.parametrize("name", ["works", "fails", "fails_once"])
async def test_what_can_be_kept_nowhere_is_an_error(name: str, redis: Server) -> None:
    """Without Redis and without the outbox a call succeeds only if its job has."""
    await redis.away()
    async with get_engine().begin() as connection:
        await connection.run_sync(JOB_OUTBOX.drop)
    if name == "works":
        await enqueue_task("works")
    else:
        with pytest.raises(QueueUnavailable, match="outbox"):
            await enqueue_task(name)
    with pytest.raises(QueueUnavailable, match="outbox"):
        await enqueue_task("works", _defer_by=1)
    assert len(ran) == 1


async def test_a_caller_that_is_cancelled_takes_its_job_along(redis: Server) -> None:
    """A job that runs in place ends with the request that waits for it; it was not acknowledged."""
    await redis.away()
    call = asyncio.create_task(enqueue_task("hangs"))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await ended.wait()
    assert await waiting() == []


@asynccontextmanager
async def proxy(
    redis_url: str | None, answers: asyncio.Event, *, hang_up: bytes | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Give the address of a server that passes everything on, but answers only while it is let, and what it was sent.

    Without a Redis behind it, it never answers. At the word `hang_up` it closes the connection.
    """
    port = int(redis_url.rpartition(":")[2].partition("/")[0]) if redis_url else 0
    received: list[bytes] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def back(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if answers.is_set():
                target.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type] # there is one
        received.append(b"")
        upstream = await asyncio.open_connection("127.0.0.1", port) if port else None
        if upstream:
            tasks.add(asyncio.create_task(back(upstream[0], writer)))
        while (data := await reader.read(65_536)) and not (hang_up and hang_up in data):
            received[-1] += data
            if upstream:
                upstream[1].write(data)
        writer.close()
        if upstream:
            upstream[1].close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", received
    finally:
        server.close()
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_has_waited_in_vain_spares_the_others(redis: Server) -> None:
    """A server that accepts and never answers is tried once; while it is known to be away nobody connects to it."""
    async with proxy(None, asyncio.Event()) as (url, received):
        await redis.point(url, JOBS_FALLBACK="inline")
        job_ids = [await enqueue_task("works") for _ in range(20)]
        assert ran == [(job_id, 1) for job_id in job_ids]
        assert len(received) == 1
        await close_task_pool()


async def test_it_is_noticed_that_redis_is_back(redis_url: str, redis: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the pause is over one call is sent to Redis again, and from then on all."""
    answers = asyncio.Event()
    async with proxy(redis_url, answers) as (url, _):
        await redis.point(url, JOBS_FALLBACK="inline")
        await enqueue_task("works")
        assert len(ran) == 1
        answers.set()
        await enqueue_task("works")
        assert len(ran) == 2  # nobody has asked Redis yet
        monkeypatch.setattr(circuit, "PAUSE", 0)
        job_ids = [await enqueue_task("works") for _ in range(2)]
        await get_outbox().relay.settle()
        assert len(ran) == 2
        assert await queued() == job_ids
        await close_task_pool()


@pytest.mark.parametrize("fallback", ["inline", "outbox"])
async def test_a_job_that_redis_has_without_saying_so_runs_once(
    fallback: str, redis_url: str, redis: Server, run_all: RunAll
) -> None:
    """A call whose answer is lost has stored its job: it is not run in place, and the outbox does not add another."""
    answers = asyncio.Event()
    answers.set()
    async with proxy(redis_url, answers) as (url, received):
        await redis.point(url, JOBS_FALLBACK=fallback)
        await enqueue_task("works", "before")
        answers.clear()
        job_id = await enqueue_task("works", "unheard")
        assert str(job_id).encode() in received[0]
        assert ran == []
        assert await waiting() == [job_id]
        await close_task_pool()
    await run_all()
    assert [run for run in ran if run[0] == job_id] == [(job_id, 1)]
    assert len(ran) == 2
    assert await waiting() == []


async def test_a_connection_that_breaks_may_have_brought_the_job(
    redis_url: str, redis: Server, run_all: RunAll
) -> None:
    """Whether Redis got the job shows only later, so it goes to the outbox, and runs once."""
    answers = asyncio.Event()
    answers.set()
    async with proxy(redis_url, answers, hang_up=b"EVALSHA") as (url, _):
        await redis.point(url, JOBS_FALLBACK="inline")
        job_id = await enqueue_task("works")
        assert ran == []
        assert await waiting() == [job_id]
        await close_task_pool()
    await run_all()
    assert ran == [(job_id, 1)]


async def test_what_nobody_wants_to_know_is_not_recorded(redis: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose result and history are not kept leaves nothing behind."""
    monkeypatch.setattr(WorkerSettings, "keep_result", 0)
    monkeypatch.setattr(WorkerSettings, "retention", Retention(history=0), raising=False)
    await redis.away()
    await enqueue_task("works")
    assert len(ran) == 1
    assert await waiting() == []


async def test_a_record_waits_for_redis(redis: Server) -> None:
    """A relay that finds Redis away leaves what came of a job where it is."""
    await redis.away()
    job_id = await enqueue_task("works")
    await redis.away()
    with pytest.raises(QueueUnavailable, match="works: not recorded"):
        await get_outbox().relay.publish()
    assert await waiting() == [job_id]


async def test_a_record_that_redis_refuses_is_kept(redis: Server) -> None:
    """What came of a job that ran in place waits in the outbox until Redis takes it."""
    pool = await get_task_pool()
    await pool.set(keys.history("success"), "no history")
    await redis.away()
    job_id = str(await enqueue_task("works"))
    with pytest.raises(JobError, match="refused the record"):
        await redis.back()
    assert await waiting() == [job_id]
    pool = await get_task_pool()
    await pool.delete(keys.history("success"))
    await get_outbox().relay.publish()
    assert await waiting() == []
    assert await pool.zcard(keys.history("success")) == 1


async def test_a_bad_fallback_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable and what it may be."""
    monkeypatch.setenv("JOBS_FALLBACK", "hope")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"JOBS_FALLBACK: 'hope' .*'inline', 'outbox' or 'raise'"):
        get_settings()
