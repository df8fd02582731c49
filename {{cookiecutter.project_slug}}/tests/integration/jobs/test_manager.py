"""The manager of the application: over its Redis, with its fallback, in its routes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import APIRouter

from {{ cookiecutter.__package }}.api.jobs import Jobs, Queue
from {{ cookiecutter.__package }}.infrastructure.embedded import free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    ArqQueueBackend,
    DeadLetters,
    InvalidJobError,
    JobManager,
    JobPriority,
    JobStatus,
    MemoryQueueBackend,
    QueueUnavailable,
    TaskPool,
    UnknownTaskError,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    close_task_pool,
    enqueue,
    enqueue_delayed,
    enqueue_in,
    enqueue_task,
    example_task,
    find_job,
    get_job_manager,
    get_outbox,
    get_queue,
    get_task_pool,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI
    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from ..conftest import RunJobs


@pytest.fixture(autouse=True)
async def outbox(tables: None) -> None:
    """Let jobs wait in the database."""


async def test_managers_stand_on_one_connection(pool: TaskPool) -> None:
    """That of the front door, for a process and its event loop, until that is closed."""
    for _ in range(2):
        assert await (await get_job_manager()).backend.connect() is pool
        assert await (await get_queue()).connect() is pool
    await close_task_pool()
    assert await (await get_job_manager()).backend.connect() is await get_task_pool()
    assert await get_task_pool() is not pool


async def test_it_enqueues_as_the_front_door_does(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The same names, checks and records."""
    manager = await get_job_manager()
    job_id = await manager.enqueue("example_task", message="Hello!", priority=JobPriority.LOW)
    assert job_id is not None
    assert await pool.zrange(keys.queue(priority=JobPriority.LOW), 0, -1) == [job_id.encode()]
    with pytest.raises(UnknownTaskError):
        await manager.enqueue("exmple_task", message="Hello!")
    with pytest.raises(InvalidJobError):
        await manager.enqueue("example_task", mesage="Hello!")
    await run_jobs(example_task, queues="*")
    record = await manager.wait_for(job_id, timeout=10)
    assert record.result == "Hello! (try 1)"
    assert record == await find_job(job_id)


async def test_there_are_calls_without_it(pool: TaskPool) -> None:
    """Those of the front door take queue and priority by name, and the delay in front or by name."""
    urgent = await enqueue(example_task, "now", priority=JobPriority.CRITICAL, queue="mail")
    tasked = await enqueue_task(example_task, message="now", _priority=JobPriority.CRITICAL, _queue="mail")
    by_name = await enqueue_delayed("example_task", message="later", delay=timedelta(hours=1))
    in_front = await enqueue_in(3600, "example_task", message="later")
    assert await pool.zcard(keys.queue("mail", JobPriority.CRITICAL)) == 2
    for job_id, status in (
        (urgent, JobStatus.PENDING),
        (tasked, JobStatus.PENDING),
        (by_name, JobStatus.SCHEDULED),
        (in_front, JobStatus.SCHEDULED),
    ):
        assert job_id is not None
        record = await pool.record(job_id)
        assert record is not None
        assert record.status is status


async def test_a_workflow_is_found_like_a_job(pool: TaskPool) -> None:
    """Whoever looks a job up by its id may look up a chain, too."""
    manager = await get_job_manager()
    chain = await manager.chain([("example_task", ("one",), {}), ("example_task", ("two",), {})])
    record = await find_job(chain)
    assert record is not None
    assert (record.job_id, record.task, record.status) == (chain, "chain", JobStatus.PENDING)
    assert await pool.record(chain) is None
    assert await manager.cancel(chain) is True


async def test_eager_tests_see_it(jobs: MemoryJobs) -> None:
    """Whatever is enqueued through the manager has ended when the call answers, in the eager mode of tests."""
    manager = await get_job_manager()
    with jobs.eager() as ended:
        await manager.enqueue("example_task", message="one")
        await manager.enqueue_batch("example_task", [{"message": "two"}, {"message": "three"}])
        await manager.chain([("example_task", ("four",), {}), ("example_task", ("five",), {})])
        await manager.group([("example_task", ("six",), {}), ("example_task", ("seven",), {})])
    results = [record.result.removesuffix(" (try 1)") for record in ended]
    assert results[:5] == ["one", "two", "three", "four", "five"]
    assert sorted(results[5:]) == ["seven", "six"]
    assert jobs.enqueued_jobs() == []


async def test_eager_tests_see_replays(jobs: MemoryJobs) -> None:
    """A dead letter that is replayed has ended when the call answers, and so have several."""
    letters = DeadLetters(jobs.pool)
    for message in ("one", "two", "three"):
        await enqueue_task("example_task", message=message, seconds="no number")
    first, *_ = await jobs.run_jobs(scheduled=True)
    with jobs.eager(raise_errors=False) as ended:
        await letters.replay(first.job_id, kwargs={"message": "mended"})
        await letters.replay_all(task="example_task")
    assert [record.status.value for record in ended] == ["success", "failed", "failed"]


# Redis is away


@pytest.fixture
async def away(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[pytest.MonkeyPatch]:  # noqa: ARG001 - it comes first
    """Let the settings name a port at which nobody listens."""
    await close_task_pool()
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    get_settings.cache_clear()
    yield monkeypatch
    await close_task_pool()


async def test_the_fallback_is_the_front_doors(away: pytest.MonkeyPatch, redis_url: str) -> None:
    """A job is kept in the outbox, where it is found and waited for; a batch is an error that says what was done."""
    manager = await get_job_manager()
    job_id = await manager.enqueue_delayed("example_task", message="later", delay=60)
    assert job_id is not None
    with pytest.raises(QueueUnavailable) as caught:
        await manager.enqueue_batch("example_task", [{"message": "one"}])
    assert caught.value.batch is not None
    assert caught.value.batch.total == 0
    with pytest.raises(QueueUnavailable):
        await manager.get_status(job_id)
    await close_task_pool()
    away.setenv("REDIS_URL", redis_url)
    get_settings.cache_clear()
    manager = await get_job_manager()
    record = await manager.get_status(job_id)
    assert record is not None
    assert record.status is JobStatus.SCHEDULED
    with pytest.raises(TimeoutError):
        await manager.wait_for(job_id, timeout=0.01)
    assert await get_outbox().relay.publish() == 1
    assert await manager.cancel(job_id) is True


async def test_the_fallback_may_be_an_error(away: pytest.MonkeyPatch) -> None:
    """With JOBS_FALLBACK=raise the caller is told."""
    away.setenv("JOBS_FALLBACK", "raise")
    get_settings.cache_clear()
    with pytest.raises(QueueUnavailable):
        await (await get_job_manager()).enqueue("example_task", message="now")


async def test_without_a_dispatcher_it_is_an_error(away: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """A backend that was told of no fallback has none."""
    async with JobManager(ArqQueueBackend(await get_task_pool())) as manager:
        with pytest.raises(QueueUnavailable):
            await manager.enqueue("example_task", message="now")


# Routes


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """Add routes that ask for the manager and for its backend."""
    router = APIRouter()

    @router.post("/numbers")
    async def post(jobs: Jobs) -> dict[str, Any]:
        return {"job_id": await jobs.enqueue("example_task", message="from a route")}

    @router.get("/queue")
    async def get(queue: Queue) -> str:
        return type(queue).__name__

    app.include_router(router)
    return app


async def test_a_route_asks_for_it(redis_url: str, client: AsyncClient) -> None:  # noqa: ARG001 - the settings point there
    """By the type of its parameter."""
    job_id = (await client.post("/numbers")).json()["job_id"]
    record = await find_job(job_id)
    assert record is not None
    assert record.status is JobStatus.PENDING
    assert (await client.get("/queue")).json() == "ArqQueueBackend"


async def test_a_test_puts_another_in_its_place(app: FastAPI, client: AsyncClient) -> None:
    """With `dependency_overrides` a route's jobs run in memory, and no server is needed."""
    async with JobManager(MemoryQueueBackend()) as manager:
        app.dependency_overrides[get_job_manager] = lambda: manager
        app.dependency_overrides[get_queue] = lambda: manager.backend
        job_id = (await client.post("/numbers")).json()["job_id"]
        assert (await manager.wait_for(job_id)).result == "from a route (try 1)"
        assert (await client.get("/queue")).json() == "MemoryQueueBackend"
