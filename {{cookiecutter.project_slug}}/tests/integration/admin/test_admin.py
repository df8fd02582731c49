"""The routes for administrators on a real Redis, and on each kind of database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete

from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.infrastructure.audit import Actor, audited, list_entries
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import Worker
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    enqueue_task,
    example_task,
    get_job_manager,
    get_redis_settings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from ..conftest import RunJobs
    from signing_in import SignIn

JOBS, AUDIT = "/api/v1/admin/jobs", "/api/v1/admin/audit"

pytestmark = pytest.mark.usefixtures("each_database", "redis_url")


@pytest.fixture
async def admin(client: AsyncClient, sign_in: SignIn) -> AsyncClient:
    """Give a client that an administrator is signed in with."""
    client.headers.update(await sign_in("root@example.com", role="admin"))
    return client


async def refuse(*_args: object, **_kwargs: object) -> None:
    raise ValueError("no such \x00 user \udcff")


async def fail(run_jobs: RunJobs, *job_ids: str) -> None:
    for job_id in job_ids:
        await enqueue_task("example_task", message="x", _job_id=job_id)
    await run_jobs(named(refuse), max_tries=1)


def named(function: Any) -> Any:
    function.__name__ = function.__qualname__ = "example_task"
    return function


@asynccontextmanager
async def working(*functions: Any) -> AsyncIterator[None]:
    worker = Worker(
        functions, redis_settings=get_redis_settings(), handle_signals=False, allow_no_persistence=True, poll_delay=0.01
    )
    task = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.close()


async def test_a_failed_job_from_looking_to_running_again(admin: AsyncClient, run_jobs: RunJobs) -> None:
    """Found in the list, looked at, run again with other arguments, and all of it written down."""
    await fail(run_jobs, "j1")
    [row] = (await admin.get(JOBS, params={"status": "failed"})).json()["jobs"]
    assert (row["job_id"], row["error"]) == ("j1", "ValueError: no such \x00 user \\udcff")
    job = (await admin.get(f"{JOBS}/j1")).json()
    assert (job["kwargs"], job["dead"], job["cause"]) == ({"message": "x"}, True, "exception")
    [letter] = (await admin.get("/api/v1/admin/dead-letters")).json()["dead_letters"]
    assert letter["job_id"] == "j1"
    answer = await admin.post(f"{JOBS}/j1/retry", json={"kwargs": {"message": "again"}})
    assert answer.status_code == 202, answer.text
    await run_jobs(example_task)
    new = (await admin.get(answer.json()["url"])).json()
    assert (new["status"], new["result"], new["replay_of"]) == ("success", "again (try 1)", "j1")
    [entry] = (await admin.get(AUDIT, params={"target": "j1"})).json()["entries"]
    assert entry["details"] == {"kwargs": {"message": "again"}, "new_job_id": new["job_id"]}


async def test_a_running_job_is_ended_where_it_runs(admin: AsyncClient) -> None:
    """Only if that is asked for; the answer says that it is about to be ended, and then it is cancelled."""
    started = asyncio.Event()

    async def example_task(_ctx: object, message: str) -> None:  # noqa: ARG001
        started.set()
        await asyncio.Event().wait()

    async with working(named(example_task)):
        await enqueue_task("example_task", message="x", _job_id="j1")
        await started.wait()
        refused = await admin.delete(f"{JOBS}/j1")
        assert (refused.status_code, refused.json()["state"]) == (409, "running")
        asked = await admin.delete(f"{JOBS}/j1", params={"terminate": True})
        assert asked.status_code in {200, 202}
        ended = await (await get_job_manager()).wait_for("j1")
    assert ended.status == "cancelled"


async def test_many_at_once(admin: AsyncClient, run_jobs: RunJobs, pool: TaskPool) -> None:
    """What a dry run counts is what is done then."""
    await fail(run_jobs, *(f"j{number}" for number in range(250)))
    for action, left in (("retry", 250), ("cancel", 0)):
        filters: dict[str, Any] = {"task": "example_task"}
        body = {"action": action, "filter": filters}
        counted = (await admin.post(f"{JOBS}/bulk", json=body)).json()
        done = (await admin.post(f"{JOBS}/bulk", json=body | {"dry_run": False})).json()
        assert counted == done | {"dry_run": True}
        assert done["done"] == 250
        assert await pool.zcard("arq:queue") == left


async def test_the_audit_log(admin: AsyncClient) -> None:
    """Each kind of database stores and finds what can be written, and keeps it when the user is gone."""
    me = (await admin.get("/api/v1/users/me")).json()
    odd = {"odd": [float("nan"), "\x00\ud800", "ü", 2**70], "\x00": None}
    with pytest.raises(ValueError, match="broken"):
        async with audited(Actor(me["email"], me["id"]), "job.retry", "\x00\ud800", **odd):
            raise ValueError("broken \x00\udcff")
    for filters in ({}, {"actor": me["email"]}, {"target": "\\x00\\ud800"}, {"since": "2020-01-01T00:00:00Z"}):
        [entry] = (await admin.get(AUDIT, params=filters)).json()["entries"]
        assert (entry["user_id"], entry["target"], entry["error"]) == (me["id"], "\\x00\\ud800", "broken \\x00\\udcff")
        assert entry["details"] == {"odd": ["nan", "\\x00\\ud800", "ü", 2**70], "\\x00": None}
    for filters in ({"actor": "x"}, {"until": "2020-01-01T00:00:00Z"}, {"cursor": str(entry["id"])}):
        assert (await admin.get(AUDIT, params=filters)).json()["entries"] == []
    async with get_session_context() as session:
        await session.execute(delete(User).where(User.id == me["id"]))
        [kept] = await list_entries(session)
    assert (kept.user_id, kept.actor) == (None, me["email"])


async def test_many_who_act_at_once(admin: AsyncClient) -> None:
    """More than there are connections to the database: none waits for another's for ever."""
    for number in range(40):
        await enqueue_task("example_task", message="x", _job_id=f"j{number}")
    async with asyncio.timeout(25):
        answers = await asyncio.gather(*(admin.delete(f"{JOBS}/j{number}") for number in range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert len((await admin.get(AUDIT)).json()["entries"]) == 40
