"""Looking jobs up over HTTP, and cancelling them: whose they are, and what strangers learn."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import fastapi.routing
import pytest

from {{ cookiecutter.__package }}.api import job_access
from {{ cookiecutter.__package }}.infrastructure.audit import list_entries
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import keys, owned_by
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    enqueue_task,
    example_task,
    get_job_manager,
    get_outbox,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from fastapi import FastAPI
    from httpx import AsyncClient, Response

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext

    from .conftest import RunJobs
    from signing_in import SignIn

pytestmark = pytest.mark.usefixtures("redis_url")

JOBS = "/api/v1/jobs"


@pytest.fixture
async def ada(client: AsyncClient, sign_in: SignIn) -> Mapping[str, str]:
    """Give the header of the user whose jobs `enqueue` makes."""
    headers = await sign_in("ada@example.com")
    assert (await client.get("/api/v1/users/me", headers=headers)).json()["id"] == 1
    return headers


async def enqueue(owner: str = "1", **options: Any) -> str:
    with owned_by(owner):
        return str(await enqueue_task("example_task", message="x", **options))


async def audited() -> list[tuple[str, str, str, str]]:
    async with get_session_context() as session:
        found = await list_entries(session)
    return [(entry.actor, entry.action, entry.target, entry.outcome) for entry in found]


def path_of(job_id: str) -> str:
    return f"{JOBS}/{quote(job_id, safe='')}"


def told(answer: Response, job_id: str) -> tuple[Any, ...]:
    """Give what an answer tells, whatever the id of the job is."""
    headers = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "content-length"}}
    return answer.status_code, headers, answer.text.replace(job_id, "ID")


@pytest.mark.parametrize("ending", ["", "/events"])
async def test_nobody_sees_a_job(client: AsyncClient, ending: str) -> None:
    """Without a token there is no answer, whether the job is there or not."""
    for job_id in (await enqueue(), "nothing"):
        answer = await client.get(f"{JOBS}/{job_id}{ending}")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert (await client.delete(f"{JOBS}/{job_id}")).status_code == 401


@pytest.mark.parametrize("owner", ["1", ""], ids=["of another user", "of nobody"])
async def test_a_job_of_others_looks_like_none(
    client: AsyncClient, sign_in: SignIn, ada: Mapping[str, str], owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, headers and text are those for an id that nobody has used, wherever and whatever the job is."""
    manager = await get_job_manager()
    with owned_by(owner):
        chain = await manager.chain([("example_task", (), {"message": "x"})] * 2)
    others = [await enqueue(owner), await enqueue(owner, _job_id="a/b"), chain, keys.workflow_job(chain, 0)]
    assert await manager.cancel(others[0])
    monkeypatch.setattr(get_outbox().relay, "nudge", lambda: None)
    async with get_session_context() as session:
        others.append(await enqueue(owner, _session=session))
    grace = await sign_in("grace@example.com")
    for method, ending in (("GET", ""), ("GET", "/events"), ("DELETE", ""), ("DELETE", "?terminate=true")):
        answers = [
            told(await client.request(method, path_of(job_id) + ending, headers=grace), job_id)
            for job_id in (*others, "nothing")
        ]
        assert answers[0][0] == 404
        assert answers == answers[:1] * len(answers)
    if owner:
        found = [(await client.get(path_of(job_id), headers=ada)).json()["status"] for job_id in others]
        assert found == ["cancelled", "pending", "pending", "pending", "pending"]


async def test_the_time_tells_nothing(
    client: AsyncClient, ada: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is not there takes as long as one that is not for the caller; only theirs is told at once."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    fake = SimpleNamespace(sleep=sleep, get_running_loop=lambda: SimpleNamespace(time=lambda: 0.0))
    monkeypatch.setattr(job_access, "asyncio", fake)
    for job_id, expected in ((await enqueue("2"), [job_access.REFUSAL]), ("nothing", [job_access.REFUSAL])):
        waits.clear()
        assert (await client.get(path_of(job_id), headers=ada)).status_code == 404
        assert waits == expected
    waits.clear()
    assert (await client.get(path_of(await enqueue()), headers=ada)).status_code == 200
    assert waits == []


async def test_viewers_see_all_and_end_nothing(client: AsyncClient, sign_in: SignIn) -> None:
    """Except for jobs of their own."""
    viewer = await sign_in("viewer@example.com", role="viewer")
    theirs, other, nobodys = await enqueue("1"), await enqueue("2"), await enqueue("")
    for job_id in (theirs, other, nobodys):
        assert (await client.get(path_of(job_id), headers=viewer)).status_code == 200
    assert (await client.delete(path_of(other), headers=viewer)).status_code == 403
    assert (await client.delete(path_of(nobodys), headers=viewer)).status_code == 403
    assert (await client.delete(path_of(theirs), headers=viewer)).json()["status"] == "cancelled"
    assert await audited() == []


async def test_admins_end_all_and_that_is_written_down(client: AsyncClient, sign_in: SignIn) -> None:
    """What an administrator does to the jobs of others stands in the audit log."""
    admin = await sign_in("root@example.com", role="admin")
    own, other = await enqueue("1"), await enqueue("2")
    for job_id in (own, other):
        answer = await client.delete(path_of(job_id), headers=admin)
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert await audited() == [("root@example.com", "job.cancel", other, "done")]


async def test_what_has_ended_cannot_be_cancelled(client: AsyncClient, ada: Mapping[str, str]) -> None:
    """409, with the state; a workflow likewise."""
    with owned_by("1"):
        group = await (await get_job_manager()).group([("example_task", (), {"message": "x"})] * 2)
    for job_id in (await enqueue(), group):
        assert (await client.delete(path_of(job_id), headers=ada)).json()["status"] == "cancelled"
        again = await client.delete(path_of(job_id), headers=ada)
        assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
        assert again.json()["state"] == "cancelled"


async def test_a_running_job_is_ended_if_that_is_wanted(
    client: AsyncClient, ada: Mapping[str, str], run_jobs: RunJobs
) -> None:
    """Without `terminate` 409, with it 202: its worker ends it."""
    started = asyncio.Event()

    async def runs(_ctx: TaskContext, **_kwargs: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    runs.__qualname__ = runs.__name__ = example_task.__name__
    path = path_of(await enqueue())
    working = asyncio.create_task(run_jobs(runs))
    await started.wait()
    refused = await client.delete(path, headers=ada)
    assert (refused.status_code, refused.json()["state"]) == (409, "running")
    asked = await client.delete(path, params={"terminate": "true"}, headers=ada)
    assert (asked.status_code, asked.json()["status"]) == (202, "running")
    await working
    assert (await client.get(path, headers=ada)).json()["status"] == "cancelled"


async def test_a_stream_without_news_shows_that_it_lives(
    app: FastAPI, ada: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment comes again and again, so that no proxy takes the connection for a dead one."""
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.01)
    pings, left = 0, asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal pings
        pings += message.get("body", b"").startswith(b":")
        if pings == 3:
            left.set()

    path = f"{path_of(await enqueue())}/events"
    headers = [(name.lower().encode(), value.encode()) for name, value in ada.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    async with asyncio.timeout(60):
        await app(scope, receive, send)
    assert pings == 3


async def test_lines_of_a_stream_are_the_same_for_all_clients(
    client: AsyncClient, ada: Mapping[str, str], run_jobs: RunJobs
) -> None:
    """What some take for the end of a line, as Python does U+2028, ends none of the lines."""

    async def odd(_ctx: TaskContext, **_kwargs: Any) -> list[Any]:
        return ["a\u2028b\x85c", float("nan")]

    odd.__qualname__ = odd.__name__ = example_task.__name__
    path = path_of(await enqueue())
    await run_jobs(odd)
    assert (await client.get(path, headers=ada)).json()["result"] == ["a\u2028b\x85c", "nan"]
    [data] = [line for line in (await client.get(f"{path}/events", headers=ada)).text.splitlines() if "result" in line]
    assert json.loads(data.removeprefix("data: "))["result"] == ["a\u2028b\x85c", "nan"]
