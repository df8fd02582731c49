"""The routes for administrators that show schedules, and act on them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from {{ cookiecutter.__package }}.accounts import tasks
from {{ cookiecutter.__package }}.infrastructure.jobs import Schedule, Schedules, keys
from {{ cookiecutter.__package }}.infrastructure.tasks import get_job_manager, get_task_pool

from unit.admin.answers import entries

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

SCHEDULES = "/api/v1/admin/schedules"
NAME = "hello / Wörld?"
NEW: dict[str, Any] = {"task": "example_task", "cron": "0 9 * * *", "kwargs": {"message": "hello"}}

pytestmark = pytest.mark.usefixtures("jobs")


def path_of(name: str, act: str = "") -> str:
    return f"{SCHEDULES}/{quote(name, safe='')}{act}"


async def add(admin: AsyncClient, name: str = NAME, **changes: Any) -> Response:
    return await admin.post(SCHEDULES, json=NEW | {"name": name} | changes)


async def damage(name: str) -> None:
    """Make what is stored of a schedule unreadable."""
    client: Any = await get_task_pool()
    await client.hset(keys.schedule(name), "definition", b"odd")


async def test_a_life(admin: AsyncClient) -> None:
    """A schedule is added, looked at, changed, paused, resumed, run and removed, whatever it is called."""
    added = await add(admin)
    assert (added.status_code, added.headers["location"]) == (201, path_of(NAME))
    schedule = added.json()
    assert schedule | {"id": NAME, "schedule": "0 9 * * *", "kwargs": NEW["kwargs"], "from_code": False} == schedule
    assert datetime.fromisoformat(schedule["next_run"]).hour == 9
    assert schedule in (await admin.get(SCHEDULES)).json()
    assert (await admin.get(path_of(NAME))).json() == schedule

    changed = await admin.put(path_of(NAME), json={"task": "example_task", "interval": 90, "args": ["again"]})
    assert changed.status_code == 200
    assert (changed.json()["schedule"], changed.json()["args"], changed.json()["kwargs"]) == (
        "every 1 minute 30 seconds",
        ["again"],
        {},
    )
    paused = (await admin.post(path_of(NAME, "/pause"))).json()
    assert (paused["paused"], paused["next_run"]) == (True, None)
    resumed = (await admin.post(path_of(NAME, "/resume"))).json()
    assert (resumed["paused"], resumed["next_run"] is None) == (False, False)

    run = await admin.post(path_of(NAME, "/run"))
    assert (run.status_code, run.headers["location"]) == (202, f"/api/v1/admin/jobs/{run.json()['job_id']}")
    job = (await admin.get(run.headers["location"])).json()
    assert (job["task"], job["args"]) == ("example_task", ["again"])
    assert (await admin.get(path_of(NAME))).json()["last_job_id"] == job["job_id"]

    removed = await admin.delete(path_of(NAME))
    assert (removed.status_code, removed.content) == (204, b"")
    assert (await admin.get(path_of(NAME))).status_code == 404
    acts = ["add", "change", "pause", "resume", "run", "remove"]
    assert [(entry["action"], entry["target"], entry["outcome"]) for entry in reversed(await entries(admin))] == [
        (f"schedule.{act}", NAME, "done") for act in acts
    ]


async def test_a_name_is_taken_once(admin: AsyncClient) -> None:
    """The second of that name is refused; the first stays as it is."""
    assert (await add(admin)).status_code == 201
    again = await add(admin, cron="0 10 * * *")
    assert (again.status_code, repr(NAME) in again.json()["detail"]) == (409, True)
    assert (await admin.get(path_of(NAME))).json()["schedule"] == "0 9 * * *"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cron": "0 25 * * *"}, "hour"),
        ({"cron": None}, "give either this or an interval"),
        ({"interval": 60}, "give either this or an interval"),
        ({"interval": 1e300, "cron": None}, "more than 0"),
        ({"interval": 60, "cron": None, "timezone": "Europe/Berlin"}, "an interval has none"),
        ({"timezone": "Mars/Base"}, "Mars/Base"),
        ({"task": "exampel_task"}, "did you mean 'example_task'?"),
        ({"kwargs": {}}, "message"),
        ({"kwargs": {"message": "\ud800"}}, "message"),
        ({"name": " x"}, "printable"),
        ({"name": "\u200b"}, "printable"),
        ({"misfire": "sometimes"}, "run_once"),
        ({"priority": 7}, "0, 5, 8 or 10"),
        ({"when": "now"}, "Extra inputs"),
        ({"queue": "x" * 2000}, "1000"),
    ],
)
async def test_what_cannot_be(admin: AsyncClient, changes: dict[str, Any], reason: str) -> None:
    """Is refused with a problem that says what is wrong, and where."""
    content = json.dumps(NEW | {"name": NAME} | changes)
    answer = await admin.post(SCHEDULES, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert reason in answer.json()["detail"]
    assert all(error["field"].startswith("body") for error in answer.json()["errors"])
    assert (await admin.get(path_of(NAME))).status_code == 404


@pytest.mark.parametrize("act", ["", "/pause", "/resume", "/run"])
async def test_what_is_not_there(admin: AsyncClient, act: str) -> None:
    """404 for whatever is asked of it."""
    for method in ["POST"] if act else ["GET", "PUT", "DELETE"]:
        answer = await admin.request(method, path_of("nothing", act), json=NEW if method == "PUT" else None)
        assert (answer.status_code, "'nothing'" in answer.json()["detail"]) == (404, True)


async def test_those_of_the_code_are_changed_there(admin: AsyncClient) -> None:
    """They can be paused and run, but neither changed nor removed."""
    pool = await get_task_pool()
    await Schedules(pool).add(Schedule("example_task", "from code", cron="0 9 * * *", args=("x",)))
    await pool.hset("arq:schedule:from code", "owner", "code")  # type: ignore[misc]
    assert (await admin.get(path_of("from code"))).json()["from_code"]
    for answer in (await admin.put(path_of("from code"), json=NEW), await admin.delete(path_of("from code"))):
        assert (answer.status_code, "WorkerSettings" in answer.json()["detail"]) == (409, True)
    assert (await admin.post(path_of("from code", "/pause"))).json()["paused"]
    assert (await add(admin, "from code")).status_code == 409


async def test_secrets_are_hidden_and_kept(admin: AsyncClient) -> None:
    """What stands under the name of a secret is shown as `***`, and stays what it was where that is sent back."""
    kwargs = {"user_email": "ada@example.com", "reset_link": "https://example.com/?token=4711"}
    new: dict[str, Any] = {"task": "send_password_reset_email", "cron": "0 9 * * *", "kwargs": kwargs, "name": "reset"}
    hidden = kwargs | {"reset_link": "***"}
    assert (await admin.post(SCHEDULES, json=new)).json()["kwargs"] == hidden
    assert [each["kwargs"] for each in (await admin.get(SCHEDULES)).json() if each["id"] == "reset"] == [hidden]
    edited = hidden | {"user_email": "grace@example.com"}
    new = {"task": new["task"], "interval": 60, "kwargs": edited}
    assert (await admin.put(path_of("reset"), json=new)).json()["kwargs"] == edited
    stored = await (await get_job_manager()).get_schedule("reset")
    assert stored.kwargs == kwargs | {"user_email": "grace@example.com"}
    assert "4711" not in str(await entries(admin))


async def test_secrets_are_not_for_another_task(admin: AsyncClient) -> None:
    """Whoever changes the task has to give them: another would show what is a secret of this one."""
    args = ["ada@example.com", "https://example.com/?token=4711"]
    path = f"{tasks.__name__}.send_password_reset_email"
    new = {"task": path, "cron": "0 9 * * *", "args": args, "name": "reset"}
    assert (await admin.post(SCHEDULES, json=new)).json()["args"] == ["ada@example.com", "***"]
    changed = await admin.put(path_of("reset"), json={"task": "example_task", "interval": 60, "args": ["x", "***"]})
    assert changed.json()["args"] == ["x", "***"]
    assert (await (await get_job_manager()).get_schedule("reset")).args == ("x", "***")
    assert "4711" not in str(await entries(admin))


async def test_what_is_refused_is_audited(admin: AsyncClient) -> None:
    """An act that cannot be is told as one that has failed, whatever it was."""
    await add(admin)
    refused = [await add(admin), await admin.put(path_of("no"), json=NEW), await admin.delete(path_of("no"))]
    assert [answer.status_code for answer in refused] == [409, 404, 404]
    found = [(entry["action"], entry["target"], entry["outcome"]) for entry in await entries(admin)]
    failed = [("schedule.remove", "no"), ("schedule.change", "no"), ("schedule.add", NAME)]
    assert found == [*((*each, "failed") for each in failed), ("schedule.add", NAME, "done")]


@pytest.mark.parametrize("depth", [60, 120, 250, 300, 900])
async def test_deep_arguments_harm_nobody(admin: AsyncClient, depth: int) -> None:
    """They are refused, and the audit log can be read all the same."""
    deep = "[" * depth + "]" * depth
    content = json.dumps(NEW | {"name": NAME, "kwargs": {"message": "DEEP"}}).replace('"DEEP"', deep)
    headers = {"Content-Type": "application/json"}
    assert (await admin.post(SCHEDULES, content=content, headers=headers)).status_code == (201 if depth == 60 else 422)
    assert len(await entries(admin)) == (depth < 300)
    assert (await admin.get(SCHEDULES)).status_code == 200


async def test_the_same_job_is_there(admin: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unique task that waits already is not enqueued again: 409, and the audit log says so."""
    await add(admin)

    async def run_now(*_args: object) -> None:
        return None

    monkeypatch.setattr(Schedules, "run_now", run_now)
    answer = await admin.post(path_of(NAME, "/run"))
    assert (answer.status_code, "unique" in answer.json()["detail"]) == (409, True)
    assert (await entries(admin))[0]["outcome"] == "failed"


async def test_a_damaged_schedule_is_no_error_of_the_server(admin: AsyncClient) -> None:
    """It is listed, cannot be run or resumed, and can be removed."""
    await add(admin)
    await damage(NAME)
    [task] = [schedule["task"] for schedule in (await admin.get(SCHEDULES)).json() if schedule["id"] == NAME]
    assert task == "<unknown>"
    for act in ("run", "resume"):
        answer = await admin.post(path_of(NAME, f"/{act}"))
        assert (answer.status_code, answer.json()["title"]) == (409, "Conflict")
    assert (await admin.delete(path_of(NAME))).status_code == 204
