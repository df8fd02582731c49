"""The backend in memory: which tasks it knows, and how its worker begins and ends."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from arq import cron

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidJobError,
    JobManager,
    JobStatus,
    MemoryQueueBackend,
    MissingPackageError,
    PayloadTooLargeError,
    Schedule,
    UnknownTaskError,
    Worker,
    backends,
    close_client,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.backends import set_worker_settings
from {{ cookiecutter.__package }}.infrastructure.jobs.memory import MemoryServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext


async def double(_ctx: TaskContext, number: int) -> int:
    return number * 2


@task(concurrency=1, retry=1)
async def fail(_ctx: TaskContext) -> None:
    raise ValueError("no luck")


async def ask(ctx: TaskContext) -> Any:
    return ctx.get("answer")


async def start_another(ctx: TaskContext) -> Any:
    return await ctx["redis"].enqueue("double", (21,))


class Settings:
    """Like those of a front door, whose start-up would need a server."""

    functions = [double, ask]  # noqa: RUF012
    cron_jobs = [cron(fail, hour=3)]  # noqa: RUF012
    max_payload = 500

    async def on_startup(self: Any) -> None:
        raise AssertionError("start-up belongs to a process")

    on_shutdown = on_startup
    services = [on_startup]  # noqa: RUF012


@pytest.fixture(autouse=True)
def no_front_door() -> Iterator[None]:
    """Begin as a process that has not imported it."""
    before = set_worker_settings(None)
    yield
    set_worker_settings(before)


async def test_any_function_is_a_task() -> None:
    """Without a front door a function becomes a task when it is first enqueued, policy and all; a name does not."""
    async with JobManager(MemoryQueueBackend()) as manager:
        assert (await manager.wait_for(str(await manager.enqueue(double, 4)))).result == 8
        failed = await manager.wait_for(str(await manager.enqueue(fail)))
        assert (failed.status, failed.error, failed.tries) == (JobStatus.FAILED, "ValueError: no luck", 1)
        assert (await manager.wait_for(str(await manager.enqueue("double", 5)))).result == 10
        assert (await manager.enqueue_batch(ask, [{}])).enqueued == 1
        with pytest.raises(UnknownTaskError):
            await manager.enqueue("start_another")
        with pytest.raises(InvalidJobError, match="double: missing a required argument"):
            await manager.enqueue(double)


async def test_two_tasks_have_two_names() -> None:
    """Another function of the same name is refused, and the first one stays."""

    def other(_ctx: TaskContext) -> None:
        """Do nothing."""

    other.__qualname__ = "double"
    async with JobManager(MemoryQueueBackend()) as manager:
        await manager.enqueue(double, 1)
        with pytest.raises(InvalidJobError, match="two tasks are named 'double'"):
            await manager.enqueue(other)
        assert (await manager.wait_for(str(await manager.enqueue("double", 4)))).result == 8


async def test_the_front_doors_tasks_are_known() -> None:
    """Once it has been imported they need not be given; other functions are taken besides."""
    assert set_worker_settings(Settings) is None
    async with JobManager(MemoryQueueBackend(ctx={"answer": 42})) as manager:
        assert (await manager.wait_for(str(await manager.enqueue("ask")))).result == 42
        started = await manager.wait_for(str(await manager.enqueue(start_another)))
        assert (await manager.wait_for(started.result)).result == 42
    assert set_worker_settings(None) is Settings


@pytest.mark.parametrize("backend", [MemoryQueueBackend(Settings), MemoryQueueBackend(functions=[double])])
async def test_given_tasks_are_all_there_are(backend: MemoryQueueBackend) -> None:
    """As in production, a task that was not listed is an error."""
    set_worker_settings(object)
    async with JobManager(backend) as manager:
        assert (await manager.wait_for(str(await manager.enqueue("double", 4)))).result == 8
        with pytest.raises(UnknownTaskError):
            await manager.enqueue(start_another)


async def test_settings_hold() -> None:
    """Those of the class, and those that are given win; start-up, shutdown and services are left out."""
    backend = MemoryQueueBackend(Settings, max_tries=1, retry_delay=timedelta(hours=1))
    async with JobManager(backend) as manager:
        with pytest.raises(PayloadTooLargeError):
            await manager.enqueue(double, "x" * 500)
        failed = await manager.wait_for(str(await manager.enqueue("double", None)))
        assert failed.status is JobStatus.FAILED


async def test_schedules_in_code_tick() -> None:
    """The worker is a real one: what its settings schedule, it enqueues."""
    ticked = asyncio.Event()

    async def tick(_ctx: TaskContext) -> None:
        ticked.set()

    backend = MemoryQueueBackend(functions=[tick], schedules=[Schedule(tick, "often", interval=1)])
    async with JobManager(backend) as manager, asyncio.timeout(30):
        await backend.connect()
        await ticked.wait()
        assert [schedule.name for schedule in await manager.list_scheduled()] == ["often"]


async def test_a_closed_backend_opens_again() -> None:
    """What ran is put back when it is closed, and what waits is kept: the next call goes on with both."""
    started, runs = asyncio.Event(), []

    async def hang_once(ctx: TaskContext) -> int:
        runs.append(ctx["job_try"])
        started.set()
        if len(runs) == 1:
            await asyncio.Event().wait()
        return len(runs)

    backend = MemoryQueueBackend()
    async with JobManager(backend) as manager:
        job_id = str(await manager.enqueue(hang_once))
        await started.wait()
        later = str(await manager.enqueue_delayed(double, 4, delay=0.01))
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert others == set()
    await backend.close()
    async with backend:
        assert (await JobManager(backend).wait_for(job_id)).result == 2
        assert (await JobManager(backend).wait_for(later)).result == 8


def test_each_event_loop_gets_a_worker() -> None:
    """One backend serves one loop after the other, also where nobody has closed it; nothing is left of any."""
    manager = JobManager(MemoryQueueBackend())

    async def use() -> Any:
        return (await manager.wait_for(str(await manager.enqueue(double, 4)))).result

    async def use_and_close() -> Any:
        async with manager:
            return await use()

    assert [asyncio.run(use()) for _ in range(3)] == [8, 8, 8]
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(use_and_close()) == 8
    assert asyncio.all_tasks(loop) == set()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.run(manager.close())  # of a worker that ended with its loop, nothing is left to close
    gc.collect()  # what was forgotten would say so now, and warnings are errors


def test_a_task_that_ends_the_process_does_so(caplog: pytest.LogCaptureFixture) -> None:
    """The backend is closed on the way, and its worker, which was ended as well, does not get in the way."""

    async def leave(_ctx: TaskContext) -> None:
        raise SystemExit(3)

    async def use() -> None:
        async with JobManager(MemoryQueueBackend()) as manager:
            await manager.wait_for(await manager.enqueue(leave))

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(use())
    gc.collect()  # what was forgotten would say so now
    assert "unhandled" not in caplog.text


async def test_a_worker_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who enqueues next is told why nobody runs the jobs."""

    async def broken(_worker: Worker) -> None:
        raise RuntimeError("the worker is broken")

    monkeypatch.setattr(Worker, "async_run", broken)
    manager = JobManager(MemoryQueueBackend())
    await manager.enqueue(double, 1)
    await asyncio.sleep(0)  # the worker's turn
    with pytest.raises(RuntimeError, match="the worker is broken"):
        await manager.enqueue(double, 1)
    await manager.close()


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_who_has_gone_takes_nothing(turns: int) -> None:
    """A blocking call that was given up leaves the token that comes later to others, at whatever point it ended."""
    client: Any = MemoryServer().client()  # its types are those of the synchronous client, too
    connection = await client.connection_pool.get_connection()
    await connection.send_command("BLPOP", "wake", 30)
    for _ in range(turns):
        await asyncio.sleep(0)
    await connection.disconnect()
    await client.lpush("wake", "token")
    assert await client.blpop(["wake"], timeout=1) == (b"wake", b"token")
    async with asyncio.timeout(5):  # the call would have waited longer
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
    await client.connection_pool.release(connection)
    await close_client(client)


@pytest.mark.parametrize("package", ["fakeredis", "lupa"])
def test_without_fakeredis_the_error_says_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project has it for its development only."""

    def find_spec(name: str) -> Any:
        return None if name == package else importlib.util.find_spec(name)

    monkeypatch.setattr(backends, "find_spec", find_spec)
    with pytest.raises(MissingPackageError, match=r"MemoryQueueBackend needs fakeredis\[lua\], which is not installed"):
        MemoryQueueBackend()
