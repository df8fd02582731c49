"""The routes for administrators that show what jobs came to lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobManager,
    Overview,
    Percentiles,
    Period,
    TaskStatistics,
)

if TYPE_CHECKING:
    import pytest
    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs


async def test_the_last_hour_and_day(admin: AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """All that the engine tells is there, by task too; times that nobody has measured are null."""
    task = TaskStatistics("x", succeeded=7, failed=2, cancelled=1, retried=3, wait=Percentiles(0.1, 0.2, 0.3))
    day = Period(100, succeeded=7, failed=2, cancelled=1, retried=3, tasks=(task,))

    async def overview(_manager: JobManager) -> Overview:
        return Overview(hour=Period(3600), day=day)

    monkeypatch.setattr(JobManager, "overview", overview)
    answer = await admin.get("/api/v1/admin/overview")
    counts = {"succeeded": 0, "failed": 0, "cancelled": 0, "retried": 0}
    assert answer.json()["hour"] == {"seconds": 3600, "throughput": 0, "tasks": [], **counts}
    counts = {"succeeded": 7, "failed": 2, "cancelled": 1, "retried": 3}
    times = {"wait": {"p50": 0.1, "p95": 0.2, "p99": 0.3}, "run": {"p50": None, "p95": None, "p99": None}}
    assert answer.json()["day"] == {
        "seconds": 100,
        "throughput": 0.1,
        "tasks": [{"task": "x", **counts, **times}],
        **counts,
    }


async def test_nothing_has_happened(admin: AsyncClient, jobs: MemoryJobs) -> None:  # noqa: ARG001
    """There is an overview of nothing, too."""
    answer = await admin.get("/api/v1/admin/overview")
    assert (answer.status_code, answer.json()["day"]["tasks"]) == (200, [])
