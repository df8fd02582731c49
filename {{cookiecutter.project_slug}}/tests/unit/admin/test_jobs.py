"""The routes for administrators that show jobs, and act on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, get_job_manager

from unit.admin.answers import AUDIT, assert_problem, entries

if TYPE_CHECKING:
    from email.message import EmailMessage

    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from .conftest import Fail

pytestmark = pytest.mark.usefixtures("jobs")

JOBS = "/api/v1/admin/jobs"
LINK = "https://example.com/reset?token=4711"


async def test_listing(admin: AsyncClient, jobs: MemoryJobs, fail: Fail) -> None:
    """Each filter leaves out what does not fit; the pages hold everything once."""
    failed = await fail()
    await enqueue_task("example_task", message="a", _job_id="done")
    await jobs.run_jobs()
    await enqueue_task("example_task", message="b", _job_id="waits", _queue="slow")

    async def ids(**filters: Any) -> list[str]:
        answer = await admin.get(JOBS, params=filters)
        assert answer.status_code == 200, answer.text
        return [job["job_id"] for job in answer.json()["jobs"]]

    assert await ids() == ["waits", "done", failed]
    assert await ids(status="failed") == [failed]
    assert await ids(status=["failed", "success"]) == ["done", failed]
    assert await ids(task="example_task") == ["waits", "done"]
    assert await ids(queue="slow") == ["waits"]
    assert await ids(job_id="done") == ["done"]
    assert await ids(job_id="done", status="failed") == []
    assert await ids(since="2999-01-01T00:00:00Z") == []
    assert await ids(until="2999-01-01T00:00:00+02:00") == ["waits", "done", failed]
    found, cursor = [], None
    while True:
        page = (await admin.get(JOBS, params={"limit": 1} | ({"cursor": cursor} if cursor else {}))).json()
        found += [job["job_id"] for job in page["jobs"]]
        if (cursor := page["cursor"]) is None:
            break
    assert found == ["waits", "done", failed]


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"status": "finished"}, "query.status.0"),
        ({"since": "yesterday"}, "query.since"),
        ({"since": "1700000000"}, "query.since"),
        ({"since": "2026-11-21T09:30:00"}, "query.since"),
        ({"until": "9999-12-31T23:59:59-14:00"}, "query.until"),
        ({"until": "0001-01-01T00:00:00+14:00"}, "query.until"),
        ({"since": "2026-11-22T00:00:00Z", "until": "2026-11-21T00:00:00Z"}, "query.since"),
        ({"limit": "0"}, "query.limit"),
        ({"limit": "1001"}, "query.limit"),
        ({"cursor": "nonsense"}, "query.cursor"),
        ({"task": "\0"}, "query.task"),
        ({"queue": ""}, "query.queue"),
    ],
)
async def test_bad_filters_name_the_field(admin: AsyncClient, filters: dict[str, str], field: str) -> None:
    """Whether the route finds it, or the engine."""
    answer = await admin.get(JOBS, params=filters)
    assert_problem(answer, 422)
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert error["message"] in answer.json()["detail"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-21t09:30:00.123456z"])
async def test_any_moment_can_be_asked_for(admin: AsyncClient, moment: str) -> None:
    """From the first to the last that there is."""
    for name in ("since", "until"):
        for path in (JOBS, AUDIT, "/api/v1/admin/dead-letters"):
            assert (await admin.get(path, params={name: moment})).status_code == 200


async def test_all_of_one_job(admin: AsyncClient, fail: Fail) -> None:
    """Its arguments, with secrets masked, how it failed, and all its starts."""
    job_id = await fail("send_password_reset_email", "ada@example.com", reset_link=LINK)
    answer = await admin.get(f"{JOBS}/{job_id}")
    assert answer.status_code == 200, answer.text
    assert "4711" not in answer.text
    job = answer.json()
    assert (job["task"], job["status"], job["cause"], job["dead"]) == (
        "send_password_reset_email",
        "failed",
        "exception",
        True,
    )
    assert (job["args"], job["kwargs"]) == (["ada@example.com"], {"reset_link": "***"})
    assert "the mail server does not answer" in job["error"]
    assert "Traceback" in job["traceback"]
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["failed"]
    assert (job["parent"], job["children"], job["owner"]) == (None, [], None)


async def test_the_family_of_a_job(admin: AsyncClient, jobs: MemoryJobs) -> None:
    """A chain has children; each knows its chain, and what is before and after it."""
    steps = [("example_task", (), {"message": text}) for text in "abc"]
    chain_id = await (await get_job_manager()).chain(steps)
    await jobs.run_jobs()
    chain = (await admin.get(f"{JOBS}/{quote(chain_id, safe='')}")).json()
    first, second, third = [child["job_id"] for child in chain["children"]]
    assert (chain["task"], chain["status"], chain["parent"]) == ("chain", "success", None)
    job = (await admin.get(f"{JOBS}/{quote(second, safe='')}")).json()
    assert (job["previous"], job["next"]) == (first, third)
    assert (job["parent"]["workflow_id"], job["parent"]["kind"]) == (chain_id, "chain")
    assert [child["job_id"] for child in job["parent"]["jobs"]] == [first, second, third]


async def test_any_id_can_be_reached(admin: AsyncClient, jobs: MemoryJobs) -> None:
    """Ids are texts of whoever enqueues; all but those by which a path would mean two things."""
    for job_id in ("a/b", "a b?c#d", "ü", "bulk/x", "retry", "x/retry/y"):
        await enqueue_task("example_task", message="x", _job_id=job_id)
        path = f"{JOBS}/{quote(job_id, safe='')}"
        for method in ("GET", "DELETE"):
            answer = await admin.request(method, path)
            assert (answer.status_code, answer.json().get("job_id")) == (200, job_id), answer.text
        assert_problem(await admin.post(f"{path}/retry"), 409, state="cancelled")
    assert jobs.queue_keys() == []


async def test_retrying(admin: AsyncClient, jobs: MemoryJobs, fail: Fail, mailbox: list[EmailMessage]) -> None:
    """A new job is made of the dead letter, and named in the answer and in the audit log."""
    job_id = await fail()
    answer = await admin.post(f"{JOBS}/{job_id}/retry")
    assert answer.status_code == 202, answer.text
    new_id = answer.json()["job_id"]
    assert answer.headers["Location"] == answer.json()["url"] == f"{JOBS}/{new_id}"
    new = (await admin.get(answer.json()["url"])).json()
    assert (new["status"], new["replay_of"]) == ("pending", job_id)
    await jobs.run_jobs()
    assert [message["To"] for message in mailbox] == ["ada@example.com"]
    [entry] = await entries(admin)
    assert (entry["actor"], entry["action"], entry["target"]) == ("root@example.com", "job.retry", job_id)
    assert (entry["outcome"], entry["details"]) == ("done", {"new_job_id": new_id})
    assert_problem(await admin.post(f"{JOBS}/{job_id}/retry"), 409, state="failed")


async def test_retrying_with_other_arguments(admin: AsyncClient, fail: Fail, mailbox: list[EmailMessage]) -> None:
    """A secret that is left as it was shown stays; the audit log shows what was edited, and no secret."""
    job_id = await fail("send_password_reset_email", "ada@example.com", LINK)
    shown = (await admin.get(f"{JOBS}/{job_id}")).json()["args"]
    assert shown == ["ada@example.com", "***"]
    answer = await admin.post(f"{JOBS}/{job_id}/retry", json={"args": ["grace@example.com", shown[1]]})
    assert answer.status_code == 202, answer.text
    record = await (await get_job_manager()).get_status(answer.json()["job_id"])
    assert record is not None
    assert record.args == ("grace@example.com", LINK)
    again = await fail("send_password_reset_email", "ada@example.com", LINK)
    secret = {"args": ["grace@example.com", "https://example.com/4712"], "kwargs": {}}
    assert (await admin.post(f"{JOBS}/{again}/retry", json=secret)).status_code == 202
    second, first = await entries(admin)
    assert first["details"]["args"] == ["grace@example.com", "***"]
    assert (second["details"]["args"], second["details"]["kwargs"]) == (["grace@example.com", "***"], {})
    assert mailbox == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kwargs": {"nobody": 1}}, "body"),
        ({"args": ["a", "b", "c"]}, "body"),
        ({"kwargs": {"user_email": "a" * 2_000_000, "user_name": "Ada"}}, "body"),
        ({"kwarg": {}}, "body.kwarg"),
        ({"args": "Ada"}, "body.args"),
        ({"kwargs": []}, "body.kwargs"),
    ],
)
async def test_arguments_that_do_not_fit(admin: AsyncClient, fail: Fail, body: dict[str, Any], field: str) -> None:
    """The answer says which, and the dead letter stays."""
    job_id = await fail()
    answer = await admin.post(f"{JOBS}/{job_id}/retry", json=body)
    assert_problem(answer, 422)
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await admin.get(f"{JOBS}/{job_id}")).json()["dead"]


async def test_odd_arguments_are_no_error_of_the_server(admin: AsyncClient, fail: Fail) -> None:
    """JSON, as Python reads it, has numbers and texts that others do not have."""
    for content in (
        '{"kwargs": {"user_email": NaN, "user_name": "\\u0000"} }',
        '{"kwargs": {"user_email": "\\ud800"} }',
        '{"args": [1e999], "kwargs": {"\\ud800": "\\u0000"} }',
        '{"args": [' + "[" * 400 + "]" * 400 + "]}",
    ):
        job_id = await fail()
        headers = {"Content-Type": "application/json"}
        answer = await admin.post(f"{JOBS}/{job_id}/retry", content=content, headers=headers)
        assert answer.status_code in {202, 422}, answer.text
    assert (await admin.get(AUDIT)).status_code == 200


async def test_cancelling(admin: AsyncClient, jobs: MemoryJobs) -> None:
    """A job that waits is cancelled; of one that has ended the answer tells where it is."""
    await enqueue_task("example_task", message="x", _job_id="j1")
    answer = await admin.delete(f"{JOBS}/j1")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert jobs.queue_keys() == []
    assert_problem(await admin.delete(f"{JOBS}/j1", params={"terminate": True}), 409, state="cancelled")
    second, first = await entries(admin)
    assert (first["action"], first["outcome"], first["details"]) == ("job.cancel", "done", {"terminate": False})
    assert (second["outcome"], second["details"]) == ("failed", {"terminate": True})
    assert second["error"] == "job j1 is cancelled: it has ended"


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/retry")])
async def test_an_unknown_job(admin: AsyncClient, method: str, path: str) -> None:
    """Is no server's error, and no empty answer."""
    assert_problem(await admin.request(method, f"{JOBS}/nowhere{path}"), 404)
    bodies: list[dict[str, Any]] = [{"args": []}, {"kwargs": {}}]
    for body in bodies:
        assert_problem(await admin.request("POST", f"{JOBS}/nowhere/retry", json=body), 404)


async def test_while_redis_is_away(admin: AsyncClient, jobs: MemoryJobs) -> None:
    """The answer says when to try again, and the audit log that it came to nothing."""
    with jobs.redis_away():
        for method, path in [("GET", ""), ("GET", "/j1"), ("DELETE", "/j1"), ("POST", "/j1/retry")]:
            answer = await admin.request(method, JOBS + path)
            assert_problem(answer, 503)
            assert answer.headers["Retry-After"] == "5"
    assert [entry["outcome"] for entry in await entries(admin)] == ["failed", "failed"]


async def test_an_edited_retry_of_nothing_is_audited(admin: AsyncClient) -> None:
    """Without the edits: which of them are secret, only the job's task would tell."""
    assert_problem(await admin.post(f"{JOBS}/nothing/retry", json={"args": ["4711"]}), 404)
    [entry] = await entries(admin)
    assert (entry["action"], entry["target"], entry["outcome"]) == ("job.retry", "nothing", "failed")
    assert entry["details"] == {}
