"""What the engine raises, as problem documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from {{ cookiecutter.__package }}.api.job_problems import install_job_problems
from {{ cookiecutter.__package }}.api.problems import install_problem_handlers
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    DeadLetterNotFoundError,
    InvalidJobError,
    InvalidPolicyError,
    InvalidQueryError,
    InvalidScheduleError,
    JobError,
    JobNotFoundError,
    JobStatus,
    PayloadTooLargeError,
    QueueFull,
    QueueUnavailable,
    ScheduleNotFoundError,
    UnknownTaskError,
    UnreplayableError,
    UnserializableError,
    WrongStateError,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import WorkerNotFoundError

if TYPE_CHECKING:
    from httpx import Response

ADMIN, ELSEWHERE = "/api/v1/admin/things", "/api/v1/things"


async def answer_to(error: Exception, path: str = ADMIN, root_path: str = "") -> Response:
    """Give what somebody gets whose request raises this."""
    app = FastAPI()
    install_problem_handlers(app)
    install_job_problems(app)

    @app.post(path)
    async def fail() -> None:
        raise error

    transport = ASGITransport(app, raise_app_exceptions=False, root_path=root_path)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(f"{root_path}{path}?cursor=x")
    assert answer.headers["content-type"] == "application/problem+json"
    return answer


@pytest.mark.parametrize("path", [ADMIN, ELSEWHERE])
@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        (JobNotFoundError("j1"), 404, {}),
        (DeadLetterNotFoundError("j1"), 404, {}),
        (ScheduleNotFoundError("nightly"), 404, {}),
        (WorkerNotFoundError("web-1:1"), 404, {}),
        (WrongStateError("j1", JobStatus.RUNNING, "a worker has it"), 409, {"state": "running"}),
        (UnreplayableError("j1", "what it was to do is not known"), 409, {}),
    ],
)
async def test_what_is_not_there_or_cannot_be(error: Exception, status: int, more: dict[str, str], path: str) -> None:
    """The answer says what the error says; one that is about a state says which."""
    answer = await answer_to(error, path)
    assert answer.status_code == status
    assert answer.json().items() >= ({"detail": str(error)} | more).items()


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (InvalidQueryError("cursor", "x", "no earlier page gave it"), "query.cursor"),
        (InvalidQueryError("limit", 0, "give more"), "body.limit"),
        (InvalidPolicyError("priority", 11, "there is none"), "body.priority"),
        (UnserializableError("argument 'x'", object()), "body"),
        (InvalidJobError("it does not fit"), "body"),
        (PayloadTooLargeError("t", 2, 1), "body"),
        (UnknownTaskError("x", ["y"]), "body.task"),
        (InvalidScheduleError("nightly", "no such minute"), "body"),
        (InvalidScheduleError("nightly", InvalidPolicyError("cron", "99 * * * *", "no such minute")), "body.cron"),
    ],
)
async def test_bad_input_names_the_field(error: Exception, field: str) -> None:
    """As exactly as the error knows; elsewhere the same is a mistake of the service, about which nobody is told."""
    answer = await answer_to(error)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": field, "message": str(error)}]
    assert (await answer_to(error, root_path="/behind/a/proxy")).status_code == 422
    elsewhere = await answer_to(error, ELSEWHERE)
    assert elsewhere.status_code == 500
    assert str(error) not in elsewhere.text


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (QueueUnavailable(), "the queue does not answer; try again later"),
        (QueueFull("default", 10, 10), "the queue is full; try again later"),
    ],
)
async def test_when_to_try_again(error: Exception, detail: str) -> None:
    """While Redis does not answer, or a queue is full."""
    answer = await answer_to(error, ELSEWHERE)
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()["detail"]) == (503, "5", detail)


async def test_anything_else_is_an_error_of_the_server() -> None:
    """Nobody is told its insides."""
    answer = await answer_to(JobError("secret insides"))
    assert answer.status_code == 500
    assert "secret" not in answer.text
