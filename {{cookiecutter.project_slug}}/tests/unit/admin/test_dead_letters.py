"""The routes for administrators that show dead letters, and act on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task

if TYPE_CHECKING:
    from httpx import AsyncClient

    from .conftest import Fail

pytestmark = pytest.mark.usefixtures("jobs")

LETTERS, AUDIT = "/api/v1/admin/dead-letters", "/api/v1/admin/audit"
LINK = "https://example.com/reset?token=4711"


async def test_listing(admin: AsyncClient, fail: Fail) -> None:
    """The latest comes first, with its arguments and no secret; each filter leaves out what does not fit."""
    first = await fail()
    second = await fail("send_password_reset_email", "ada@example.com", LINK)
    answer = await admin.get(LETTERS)
    assert "4711" not in answer.text
    page = answer.json()
    assert [letter["job_id"] for letter in page["dead_letters"]] == [second, first]
    assert page["cursor"] is None
    assert page["dead_letters"][0]["args"] == ["ada@example.com", "***"]
    assert page["dead_letters"][1]["kwargs"] == {"user_email": "ada@example.com", "user_name": "Ada"}
    assert {letter["cause"] for letter in page["dead_letters"]} == {"exception"}

    async def ids(**filters: Any) -> list[str]:
        return [letter["job_id"] for letter in (await admin.get(LETTERS, params=filters)).json()["dead_letters"]]

    assert await ids(task="send_welcome_email") == [first]
    assert await ids(queue="other") == []
    assert await ids(cause="timeout") == []
    assert await ids(cause=["timeout", "exception"]) == [second, first]
    assert await ids(until="2000-01-01T00:00:00Z") == []
    page = (await admin.get(LETTERS, params={"limit": 1})).json()
    assert await ids(limit=1, cursor=page["cursor"]) == [first]


@pytest.mark.parametrize(
    ("filters", "field"),
    [({"cause": "bad luck"}, "query.cause.0"), ({"cursor": "x"}, "query.cursor"), ({"since": "now"}, "query.since")],
)
async def test_bad_filters_name_the_field(admin: AsyncClient, filters: dict[str, str], field: str) -> None:
    """Whether the route finds it, or the engine."""
    answer = await admin.get(LETTERS, params=filters)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_replaying(admin: AsyncClient, fail: Fail) -> None:
    """It is the same as retrying the job."""
    job_id = await fail()
    edited = {"kwargs": {"user_email": "grace@example.com", "user_name": "Grace"}}
    answer = await admin.post(f"{LETTERS}/{job_id}/replay", json=edited)
    assert answer.status_code == 202, answer.text
    new = (await admin.get(answer.headers["Location"])).json()
    assert (new["replay_of"], new["kwargs"]) == (job_id, edited["kwargs"])
    [entry] = (await admin.get(AUDIT)).json()["entries"]
    assert (entry["action"], entry["target"]) == ("job.retry", job_id)
    assert entry["details"] == {**edited, "new_job_id": new["job_id"]}


async def test_discarding(admin: AsyncClient, fail: Fail) -> None:
    """It is gone, and the audit log says who has thrown it away."""
    job_id = await fail()
    assert (await admin.delete(f"{LETTERS}/{job_id}")).status_code == 204
    assert (await admin.get(LETTERS)).json()["dead_letters"] == []
    again = await admin.delete(f"{LETTERS}/{job_id}")
    assert (again.status_code, again.json()["state"]) == (409, "failed")
    second, first = (await admin.get(AUDIT)).json()["entries"]
    assert [(each["action"], each["outcome"]) for each in (first, second)] == [
        ("job.discard", "done"),
        ("job.discard", "failed"),
    ]


async def test_what_is_no_dead_letter(admin: AsyncClient) -> None:
    """An unknown id is not found; a job that has not failed is in the wrong state, which the answer tells."""
    await enqueue_task("example_task", message="x", _job_id="j1")
    for method, path in [("POST", "/replay"), ("DELETE", "")]:
        assert (await admin.request(method, f"{LETTERS}/nowhere{path}")).status_code == 404
        answer = await admin.request(method, f"{LETTERS}/j1{path}")
        assert (answer.status_code, answer.json()["state"]) == (409, "pending")
