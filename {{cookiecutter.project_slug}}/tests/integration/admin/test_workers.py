"""The routes for administrators that show workers, and tell one of them to rest or to end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }} import __package__ as package

from processes import PATIENCE, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx import AsyncClient

    from signing_in import SignIn

WORKERS = "/api/v1/admin/workers"

pytestmark = pytest.mark.usefixtures("redis_url")


@pytest.fixture
async def admin(redis_url: str, client: AsyncClient, sign_in: SignIn) -> AsyncClient:  # noqa: ARG001 - comes first
    """Give a client that an administrator is signed in with."""
    client.headers.update(await sign_in("root@example.com", role="admin"))
    return client


async def until(admin: AsyncClient, condition: Callable[[list[Any]], bool]) -> list[Any]:
    """Look until the list of workers is as it is to be."""
    async with asyncio.timeout(PATIENCE):
        found: list[Any] = (await admin.get(WORKERS)).json()
        while not condition(found):
            await asyncio.sleep(0.05)
            found = (await admin.get(WORKERS)).json()
    return found


async def test_a_life(admin: AsyncClient) -> None:
    """A worker is there, rests when it is told to, and ends when it is told to; both are written down."""
    assert (await admin.get(WORKERS)).json() == []
    async with command("arq", f"{package}.infrastructure.tasks.WorkerSettings") as process:
        listening = asyncio.create_task(process.listen())
        [worker] = await until(admin, bool)
        assert (worker["pid"], worker["state"], worker["running"]) == (process.process.pid, "running", 0)
        assert datetime.fromisoformat(worker["started"]) <= datetime.fromisoformat(worker["seen"]) <= datetime.now(UTC)
        path = f"{WORKERS}/{worker['worker_id']}"

        quiet = await admin.post(f"{path}/quiet")
        assert (quiet.status_code, quiet.json()["worker_id"]) == (202, worker["worker_id"])
        await until(admin, lambda found: found[0]["state"] == "quiet")

        stop = await admin.post(f"{path}/stop")
        assert (stop.status_code, stop.json()["worker_id"]) == (202, worker["worker_id"])
        await listening
        await process.end()
        await until(admin, lambda found: not found)
    assert "Traceback" not in process.output
    entries = (await admin.get("/api/v1/admin/audit")).json()["entries"]
    assert [(entry["action"], entry["target"], entry["outcome"]) for entry in entries] == [
        ("worker.stop", worker["worker_id"], "done"),
        ("worker.quiet", worker["worker_id"], "done"),
    ]
    assert (await admin.post(f"{path}/stop")).status_code == 404


@pytest.mark.parametrize("act", ["quiet", "stop"])
async def test_a_worker_that_is_not_there(admin: AsyncClient, act: str) -> None:
    """404, with the id that was named."""
    answer = await admin.post(f"{WORKERS}/host:1:x/{act}")
    assert (answer.status_code, "'host:1:x'" in answer.json()["detail"]) == (404, True)
