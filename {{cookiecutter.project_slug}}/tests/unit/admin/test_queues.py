"""The routes for administrators that show queues, and act on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobPriority
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, get_job_manager

if TYPE_CHECKING:
    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

QUEUES = "/api/v1/admin/queues"

pytestmark = pytest.mark.usefixtures("jobs")


async def last_entry(admin: AsyncClient) -> dict[str, Any]:
    entry: dict[str, Any] = (await admin.get("/api/v1/admin/audit")).json()["entries"][0]
    return entry


async def test_listing(admin: AsyncClient, jobs: MemoryJobs) -> None:
    """What waits, by priority, how long, and how fast it goes."""
    await enqueue_task("example_task", message="a")
    await jobs.run_jobs()
    await enqueue_task("example_task", message="b", _queue="slow", _priority=JobPriority.HIGH)
    await enqueue_task("example_task", message="c", _queue="slow", _defer_by=3600)
    default, slow = (await admin.get(QUEUES)).json()
    assert (default["name"], default["depth"], default["age"]) == ("default", 0, None)
    assert slow | {"name": "slow", "depth": 2, "waiting": 1, "scheduled": 1, "paused": False} == slow
    assert slow["priorities"] == {"0": 0, "5": 1, "8": 1, "10": 0}
    assert slow["age"] >= 0


@pytest.mark.parametrize("name", ["default", "reports.2026:eu"])
async def test_pausing_and_resuming(admin: AsyncClient, jobs: MemoryJobs, name: str) -> None:
    """A paused queue starts nothing, until it is resumed; each is an act with an entry."""
    path = f"{QUEUES}/{quote(name, safe='')}"
    job_id = await enqueue_task("example_task", message="a", _queue=name)
    paused = await admin.post(f"{path}/pause")
    assert (paused.status_code, paused.json()["paused"], paused.json()["name"]) == (200, True, name)
    entry = await last_entry(admin)
    assert (entry["action"], entry["target"], entry["outcome"]) == ("queue.pause", name, "done")
    resumed = await admin.post(f"{path}/resume")
    assert (resumed.json()["paused"], resumed.json()["depth"]) == (False, 1)
    assert (await last_entry(admin))["action"] == "queue.resume"
    await jobs.run_jobs()
    record = await (await get_job_manager()).get_status(job_id)
    assert record
    assert record.finish_time


async def test_purging(admin: AsyncClient) -> None:
    """All that waits is cancelled, and the number of it told, in the audit log too."""
    for _ in range(3):
        await enqueue_task("example_task", message="a", _queue="slow")
    answer = await admin.post(f"{QUEUES}/slow/purge")
    assert answer.json() == {"name": "slow", "purged": 3}
    entry = await last_entry(admin)
    assert (entry["action"], entry["target"], entry["details"]) == ("queue.purge", "slow", {"purged": 3})


async def test_what_cannot_be_a_queue(admin: AsyncClient) -> None:
    """Is refused with the reason, and nothing is done."""
    for name in ("x" * 201, "a b", "a@5"):
        answer = await admin.post(f"{QUEUES}/{quote(name, safe='')}/pause")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "path.name")
    assert (await admin.get("/api/v1/admin/audit")).json()["entries"] == []
