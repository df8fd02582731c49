"""The route for administrators that does the same with many jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task

from unit.admin.answers import assert_problem, entries

if TYPE_CHECKING:
    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from .conftest import Fail

pytestmark = pytest.mark.usefixtures("jobs")

JOBS = "/api/v1/admin/jobs"
LINK = "https://example.com/reset?token=4711"


async def test_a_dry_run_counts_and_changes_nothing(admin: AsyncClient, fail: Fail) -> None:
    """It is what a request does that does not say otherwise; what it counts is done then."""
    for _ in range(3):
        await fail()
    await fail("send_password_reset_email", "ada@example.com", LINK)
    body: dict[str, Any] = {"action": "retry", "filter": {"task": "send_welcome_email", "cause": ["exception"]}}
    counts = {"action": "retry", "matched": 3, "done": 3, "refused": 0, "more": False}
    answer = await admin.post(f"{JOBS}/bulk", json=body)
    assert (answer.status_code, answer.json()) == (200, counts | {"dry_run": True})
    assert await entries(admin) == []
    answer = await admin.post(f"{JOBS}/bulk", json=body | {"dry_run": False})
    assert answer.json() == counts | {"dry_run": False}
    [entry] = await entries(admin)
    assert (entry["action"], entry["target"], entry["outcome"]) == ("jobs.retry", "", "done")
    assert entry["details"] == {
        "filter": body["filter"],
        "terminate": False,
        "limit": 10_000,
        "matched": 3,
        "done": 3,
        "refused": 0,
        "more": False,
    }
    waiting = (await admin.get(JOBS, params={"status": "pending"})).json()["jobs"]
    assert len(waiting) == 3


async def test_bulk_goes_on_where_it_stopped(admin: AsyncClient, fail: Fail) -> None:
    """While there is more than the limit, the answer says so."""
    for _ in range(3):
        await fail()
    body = {"action": "discard", "limit": 2, "dry_run": False}
    answers = [(await admin.post(f"{JOBS}/bulk", json=body)).json() for _ in range(2)]
    assert [(answer["done"], answer["more"]) for answer in answers] == [(2, True), (1, False)]


async def test_cancelling_many(admin: AsyncClient, jobs: MemoryJobs) -> None:
    """Those that fit, by time too."""
    for number in range(5):
        await enqueue_task("example_task", message="x", _queue="slow" if number else "default")
    hour = timedelta(hours=1)
    times = {"since": (datetime.now(UTC) - hour).isoformat(), "until": (datetime.now(UTC) + hour).isoformat()}
    body = {"action": "cancel", "filter": {"queue": "slow", "status": ["pending"], **times}, "dry_run": False}
    answer = await admin.post(f"{JOBS}/bulk", json=body)
    assert answer.json()["done"] == 4, answer.text
    await jobs.run_jobs()
    assert len((await admin.get(JOBS, params={"status": "success"})).json()["jobs"]) == 1
    past = {"until": times["since"]}
    assert (await admin.post(f"{JOBS}/bulk", json={"action": "cancel", "filter": past})).json()["matched"] == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"action": "purge"}, "body.action"),
        ({"filter": {"taks": "example_task"}}, "body.filter.taks"),
        ({"filter": {"status": []}}, "body.filter.status"),
        ({"filter": {"cause": []}}, "body.filter.cause"),
        ({"filter": {"cause": ["timeout"]}}, "body.filter.cause"),
        ({"filter": {"status": ["success"]}}, "body.filter.status"),
        ({"filter": {"since": 5}}, "body.filter.since"),
        ({"filter": {"since": "2026-11-22T00:00:00Z", "until": "2026-11-21T00:00:00Z"}}, "body.filter.since"),
        ({"action": "retry", "terminate": True}, "body.terminate"),
        ({"limit": 0}, "body.limit"),
        ({"dry-run": False}, "body.dry-run"),
    ],
)
async def test_bad_bulk_requests_do_nothing(
    admin: AsyncClient, jobs: MemoryJobs, changes: dict[str, Any], field: str
) -> None:
    """A filter that is misspelt is no filter that is left out."""
    await enqueue_task("example_task", message="x")
    answer = await admin.post(f"{JOBS}/bulk", json={"action": "cancel", "dry_run": False} | changes)
    assert_problem(answer, 422)
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert len(jobs.queue_keys()) == 1
