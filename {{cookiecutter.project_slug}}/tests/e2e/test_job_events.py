"""Streams of events, over HTTP from an API that is a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys, owned_by
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    WorkerSettings,
    enqueue_task,
    get_job_manager,
)
from {{ cookiecutter.__package }}.main import create_app

from e2e.streams import stream
from processes import PATIENCE, command, free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from signing_in import SignIn

SETTINGS = f"{WorkerSettings.__module__}.WorkerSettings"
APP = f"{create_app.__module__}:app"
CLI = "{{ cookiecutter.project_slug }}"

pytestmark = pytest.mark.usefixtures("redis_url")


class Caller:
    """A user of the API, and the jobs that are theirs."""

    def __init__(self, headers: Mapping[str, str], user_id: int) -> None:
        self.headers = headers
        self.owner = str(user_id)

    async def enqueue(self, **options: Any) -> str:
        with owned_by(self.owner):
            job_id = await enqueue_task("example_task", "hello", **options)
        assert job_id is not None
        return job_id


@pytest.fixture
async def caller(api: httpx.AsyncClient, sign_in: SignIn) -> Caller:
    """Give a user who is signed in."""
    return await caller_of(api, sign_in)


async def caller_of(api: httpx.AsyncClient, sign_in: SignIn) -> Caller:
    headers = await sign_in()
    return Caller(headers, (await api.get("/api/v1/users/me", headers=headers)).json()["id"])


async def listeners(pool: TaskPool) -> int:
    """Count those who listen for what jobs come to."""
    [(_, count)] = await pool.pubsub_numsub(keys.EVENTS)
    return int(count)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.02)


async def test_a_stream_tells_what_becomes_of_a_job(api: httpx.AsyncClient, caller: Caller) -> None:
    """Each state comes as it is looked up otherwise, the last one as the end, and nothing after it."""
    job_id = await caller.enqueue()
    path = f"/api/v1/jobs/{job_id}"
    async with stream(api, job_id, caller.headers) as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        first = await events.next()
        assert first is not None
        assert (first.name, first.data) == ("job", (await api.get(path, headers=caller.headers)).json())
        async with command("arq", SETTINGS):
            end = await events.until("success")
            assert await events.rest() == []
    assert (end.name, end.data) == ("end", (await api.get(path, headers=caller.headers)).json())
    assert [remark.partition(":")[0] for remark in events.remarks] == ["retry"]
    assert end.id != first.id


async def test_a_stream_is_taken_up_where_it_broke_off(api: httpx.AsyncClient, caller: Caller) -> None:
    """What has been told is not told again; and a client that has seen the end is told to stop."""
    job_id = await caller.enqueue()
    async with stream(api, job_id, caller.headers) as events:
        first = await events.next()
    assert first is not None
    async with stream(api, job_id, caller.headers, first.id) as events:
        assert await (await get_job_manager()).cancel(job_id)
        [end] = await events.rest()
    assert (end.name, end.data["status"]) == ("end", "cancelled")
    async with stream(api, job_id, caller.headers, first.id) as events:
        assert await events.rest() == [end]
    async with stream(api, job_id, caller.headers, end.id) as events:
        assert (events.response.status_code, await events.response.aread()) == (204, b"")


@pytest.fixture
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let streams break off soon; comes before the API."""
    monkeypatch.setenv("STREAM_SECONDS", "0.2")


@pytest.mark.usefixtures("short_streams")
async def test_a_stream_breaks_off_for_the_client_to_come_again(api: httpx.AsyncClient, caller: Caller) -> None:
    """It lasts no longer than the setting says, and ends without an event that says so."""
    async with stream(api, await caller.enqueue(), caller.headers) as events:
        assert [event.name for event in await events.rest()] == ["job"]


async def test_all_streams_share_one_subscription(api: httpx.AsyncClient, caller: Caller, pool: TaskPool) -> None:
    """A process listens once for all of them, with no connection to the database held, and only while there are any."""
    job_ids = [await caller.enqueue() for _ in range(5)]
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(stream(api, job_id, caller.headers)) for job_id in job_ids * 10]
        for events in streams:
            await events.until("pending")
        assert await listeners(pool) == 1
        assert (await api.get("/api/v1/users/me", headers=caller.headers)).status_code == 200
        for job_id in job_ids:
            await pool.cancel(job_id)
        for events in streams:
            await events.until("cancelled")
    await until(lambda: _nobody_listens(pool))


async def _nobody_listens(pool: TaskPool) -> bool:
    return await listeners(pool) == 0


async def test_a_client_that_leaves_is_let_go(api: httpx.AsyncClient, caller: Caller, pool: TaskPool) -> None:
    """Nothing goes on for a client that has gone, though there is nothing to be told to it."""
    async with stream(api, await caller.enqueue(), caller.headers) as events:
        await events.until("pending")
        assert await listeners(pool) == 1
    await until(lambda: _nobody_listens(pool))


@pytest.mark.parametrize("program", [[CLI, "api"], ["uvicorn", APP]], ids=["api", "uvicorn"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("migrated")
async def test_open_streams_do_not_keep_the_server_from_stopping(
    program: list[str], number: signal.Signals, sign_in: SignIn
) -> None:
    """When it is told to stop, its streams break off in good order, and it ends."""
    port = free_port()
    async with command(*program, "--port", str(port)) as server:
        await server.until("Uvicorn running on")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as api:
            caller = await caller_of(api, sign_in)
            job_id = await caller.enqueue()
            async with stream(api, job_id, caller.headers) as one, stream(api, job_id, caller.headers) as two:
                for events in (one, two):
                    await events.until("pending")
                server.process.send_signal(number)
                assert (await one.rest(), await two.rest()) == ([], [])
        await server.end()
    assert "Application shutdown complete" in server.output
    assert "Traceback" not in server.output


async def test_a_stream_outlives_a_redis_that_is_away(api: httpx.AsyncClient, caller: Caller, pool: TaskPool) -> None:
    """It says so once, how the job is when Redis is back, and what becomes of the job then."""
    job_id = await caller.enqueue()
    async with stream(api, job_id, caller.headers) as events:
        first = await events.until("pending")
        await pool.client_kill_filter(_type="pubsub")
        process = (await pool.info("server"))["process_id"]
        os.kill(process, signal.SIGSTOP)
        try:
            away = await events.next()
        finally:
            os.kill(process, signal.SIGCONT)
        assert away is not None
        assert (away.name, away.id) == ("unavailable", None)
        assert await events.until("pending") == first
        assert await pool.cancel(job_id)
        assert [event.name for event in await events.rest()] == ["end"]


async def test_a_job_that_is_forgotten_is_gone(api: httpx.AsyncClient, caller: Caller, pool: TaskPool) -> None:
    """The stream of a job of which nothing is known any more says so, and ends."""
    job_id = await caller.enqueue()
    async with stream(api, job_id, caller.headers) as events:
        await events.until("pending")
        await pool.flushall()
        [gone] = await events.rest()
    assert gone.name == "gone"
    assert repr(job_id) in gone.data["detail"]


async def test_workflows_are_streamed_too(api: httpx.AsyncClient, caller: Caller) -> None:
    """A chain is one stream, whose progress are its steps."""
    with owned_by(caller.owner):
        manager = await get_job_manager()
        chain = await manager.chain([("example_task", (), {"message": "a"}), ("example_task", (), {"message": "b"})])
    async with stream(api, chain, caller.headers) as events, command("arq", SETTINGS):
        end = await events.until("success")
    assert (end.name, end.data["task"], end.data["progress"]["done"]) == ("end", "chain", 2)


async def test_an_id_may_hold_slashes(api: httpx.AsyncClient, caller: Caller) -> None:
    """Ids of one's own are texts: in an address they are quoted."""
    job_id = await caller.enqueue(_job_id="reports/2026 11/x?y")
    quoted = quote(job_id, safe="")
    async with stream(api, quoted, caller.headers) as events:
        assert (await events.until("pending")).data["job_id"] == job_id
    assert (await api.delete(f"/api/v1/jobs/{quoted}", headers=caller.headers)).json()["status"] == "cancelled"
