"""The application's routes."""

from __future__ import annotations

# {% if cookiecutter.cache_backend != "none" %}
from dataclasses import replace
from datetime import datetime
# {% endif %}
from typing import TYPE_CHECKING

import pytest

# {% if cookiecutter.cache_backend != "none" %}
from {{ cookiecutter.__package }}.accounts.tasks import send_welcome_email
from {{ cookiecutter.__package }}.infrastructure.embedded import free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import keys
from {{ cookiecutter.__package }}.infrastructure.jobs.task import as_function
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    close_task_pool,
    enqueue_task,
    example_task,
    get_outbox,
    get_task_pool,
)

# {% endif %}
if TYPE_CHECKING:
    # {% if cookiecutter.cache_backend != "none" %}
    from fastapi import FastAPI
    # {% endif %}
    from httpx import AsyncClient

    # {% if cookiecutter.cache_backend != "none" %}
    from .conftest import RunJobs
    # {% endif %}
    from signing_in import SignIn
# {% if cookiecutter.cache_backend != "none" %}

pytestmark = pytest.mark.usefixtures("redis_url")
# {% endif %}

ADA = {"email": "Ada@example.com", "name": "  Ada Lovelace "}


async def sign_up(client: AsyncClient) -> dict[str, object]:
    response = await client.post("/api/v1/users", json=ADA)
    assert response.status_code == 201, response.text
    created: dict[str, object] = response.json()
    return created


async def test_live(client: AsyncClient) -> None:
    """The process answers."""
    response = await client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_sign_up_and_look_up(client: AsyncClient, sign_in: SignIn) -> None:
    """A new user gets an id and can look themselves up."""
    created = await sign_up(client)
    assert (created["email"], created["name"]) == ("ada@example.com", "Ada Lovelace")
    response = await client.get(f"/api/v1/users/{created['id']}", headers=await sign_in("ada@example.com"))
    assert response.json() == {"id": created["id"], "email": "ada@example.com", "name": "Ada Lovelace", "role": "user"}


async def test_an_address_signs_up_once(client: AsyncClient) -> None:
    """The second sign-up is refused with a problem document, whatever the letter case."""
    await sign_up(client)
    response = await client.post("/api/v1/users", json={**ADA, "email": "ADA@EXAMPLE.COM"})
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "somebody has signed up as ada@example.com before",
        "instance": "/api/v1/users",
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nobody", "name": "Ada"}, "body.email"),
        ({"email": "ada@example.com", "name": " "}, "body.name"),
        ({"email": "ada@example.com", "name": "A\x00da"}, "body.name"),
        ({"email": "ada@example.com", "name": "A\nda"}, "body.name"),
        ({"email": "ada@example.com", "name": "x" * 201}, "body.name"),
        ({"email": "ada@example.com"}, "body.name"),
    ],
)
async def test_bad_input_names_the_field(client: AsyncClient, body: dict[str, str], field: str) -> None:
    """A problem document says which field is wrong, and why."""
    response = await client.post("/api/v1/users", json=body)
    assert response.status_code == 422
    problem = response.json()
    assert [error["field"] for error in problem["errors"]] == [field]
    assert field in problem["detail"]


@pytest.mark.parametrize("path", ["/api/v1/users/7", "/no/such/path"])
async def test_what_is_not_there_is_a_problem_document(client: AsyncClient, path: str, sign_in: SignIn) -> None:
    """Every error has the same form, the framework's own too."""
    response = await client.get(path, headers=await sign_in())
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["instance"] == path


@pytest.mark.parametrize("user_id", ["0", "-1", "99999999999999999999", "ada"])
async def test_an_impossible_id_is_bad_input(client: AsyncClient, user_id: str, sign_in: SignIn) -> None:
    """An id that the database could not hold never reaches it."""
    response = await client.get(f"/api/v1/users/{user_id}", headers=await sign_in(role="admin"))
    assert response.status_code == 422


async def test_an_unexpected_error_is_a_problem_document(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, sign_in: SignIn
) -> None:
    """The caller learns that the server failed, and nothing of its insides."""

    async def broken(*_args: object) -> None:
        raise RuntimeError("secret insides")

    headers = await sign_in()
    monkeypatch.setattr("{{ cookiecutter.__package }}.accounts.service.get_user", broken)
    response = await client.get("/api/v1/users/1", headers=headers)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


async def test_the_document_describes_the_service(client: AsyncClient) -> None:
    """OpenAPI names every route and the form of its errors."""
    document = (await client.get("/openapi.json")).json()
    assert {"/health/live", "/health/ready", "/api/v1/users", "/api/v1/users/{user_id}"} <= set(document["paths"])
    conflict = document["paths"]["/api/v1/users"]["post"]["responses"]["409"]
    assert list(conflict["content"]) == ["application/problem+json"]
# {% if cookiecutter.cache_backend == "none" %}


async def test_ready(client: AsyncClient) -> None:
    """The database answers."""
    response = await client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"database": {"status": "up", "detail": {}}}}
# {% else %}


async def test_sign_up_enqueues_the_greeting(client: AsyncClient, sign_in: SignIn, run_jobs: RunJobs) -> None:
    """The new user can watch the job that sends the welcome message to its end over HTTP."""
    path = f"/api/v1/jobs/{(await sign_up(client))['job_id']}"
    headers = await sign_in("ada@example.com")
    waiting = (await client.get(path, headers=headers)).json()
    assert (waiting["task"], waiting["status"]) == ("send_welcome_email", "pending")
    await run_jobs(send_welcome_email)
    ended = (await client.get(path, headers=headers)).json()
    assert (ended["status"], ended["tries"], ended["error"]) == ("success", 1, None)
    times = [datetime.fromisoformat(ended[name]) for name in ("enqueue_time", "start_time", "finish_time")]
    assert times == sorted(times)


async def test_any_result_can_be_shown(client: AsyncClient, sign_in: SignIn, run_jobs: RunJobs) -> None:
    """A result that JSON has no form for is given as text."""
    await enqueue_task(example_task, message="x", _job_id="odd")

    async def odd(*_args: object, **_kwargs: object) -> object:
        return {"bytes": b"\xff", "set": {1}, "float": float("nan"), ("a", 1): "tuple as a key"}

    await run_jobs(replace(as_function(odd), name="example_task"))
    response = await client.get("/api/v1/jobs/odd", headers=await sign_in(role="admin"))
    assert response.status_code == 200
    assert response.json()["result"]["set"] == [1]


async def test_an_unknown_job_is_a_problem_document(client: AsyncClient, sign_in: SignIn) -> None:
    """404, with the id that was asked for."""
    response = await client.get("/api/v1/jobs/nothing", headers=await sign_in())
    assert response.status_code == 404
    assert "'nothing'" in response.json()["detail"]


async def test_ready_tells_each_state(client: AsyncClient, redis_url: str) -> None:  # noqa: ARG001
    """Database, Redis, worker and queue each have a state; without a worker the service is degraded, not down."""
    await enqueue_task(example_task, message="x")
    response = await client.get("/health/ready")
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "degraded"
    assert {name: check["status"] for name, check in body["checks"].items()} == {
        "database": "up",
        "redis": "up",
        "worker": "down",
        "queue": "up",
    }
    assert body["checks"]["queue"]["detail"] == {"depth": 1}
    assert "no worker is alive" in body["checks"]["worker"]["detail"]["error"]
    await (await get_task_pool()).set(keys.health(), "alive")
    assert (await client.get("/health/ready")).json()["status"] == "ready"


async def test_redis_away_is_503_where_it_is_needed(
    client: AsyncClient, sign_in: SignIn, redis_url: str, monkeypatch: pytest.MonkeyPatch, run_jobs: RunJobs
) -> None:
    """Look-up answers 503 with Retry-After; sign-up does without Redis, and its job runs once that is back."""
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    get_settings.cache_clear()
    await close_task_pool()
    created = await sign_up(client)
    headers = await sign_in("ada@example.com")
    response = await client.get("/api/v1/jobs/x", headers=headers)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) > 0
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert ready.json()["checks"]["redis"]["status"] == "down"
    assert (await client.get("/health/live")).status_code == 200
    monkeypatch.setenv("REDIS_URL", redis_url)
    get_settings.cache_clear()
    await close_task_pool()
    path = f"/api/v1/jobs/{created['job_id']}"
    assert (await client.get(path, headers=headers)).json()["status"] == "pending"
    await get_outbox().relay.publish()
    await run_jobs(send_welcome_email)
    assert (await client.get(path, headers=headers)).json()["status"] == "success"


@pytest.mark.parametrize("fallback", ["inline", "outbox", "raise"])
async def test_a_job_that_cannot_be_enqueued_is_503(
    fallback: str, app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route that enqueues without the outbox answers 503 if JOBS_FALLBACK says so, and does its work otherwise."""

    @app.post("/enqueue")
    async def enqueue() -> str | None:
        return await enqueue_task("example_task", "hello")

    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    monkeypatch.setenv("JOBS_FALLBACK", fallback)
    get_settings.cache_clear()
    await close_task_pool()
    response = await client.post("/enqueue")
    assert response.status_code == (503 if fallback == "raise" else 200)
    assert ("retry-after" in response.headers) == (fallback == "raise")
# {% endif %}
