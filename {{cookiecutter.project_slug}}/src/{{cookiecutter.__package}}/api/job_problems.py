"""What the engine raises, as problem documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from ..infrastructure.jobs.errors import (
    DeadLetterNotFoundError,
    InvalidJobError,
    InvalidPolicyError,
    InvalidQueryError,
    InvalidScheduleError,
    JobNotFoundError,
    QueueFull,
    QueueUnavailable,
    ScheduleNotFoundError,
    UnknownTaskError,
    UnreadableError,
    UnreplayableError,
    UnserializableError,
    WorkerNotFoundError,
    WrongStateError,
)
from .problems import RETRY_AFTER, problem_response

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

NOT_FOUND = (DeadLetterNotFoundError, JobNotFoundError, ScheduleNotFoundError, WorkerNotFoundError)
#: The first: of a schedule, and of nothing else that a request names.
CONFLICT = (UnreadableError, UnreplayableError, WrongStateError)
INVALID = (
    InvalidJobError,
    InvalidPolicyError,
    InvalidQueryError,
    InvalidScheduleError,
    UnknownTaskError,
    UnserializableError,
)
#: Where whoever asks has named the task, the arguments, the filters. Elsewhere the service has, and it is its mistake.
NAMED_BY_CALLERS = "/api/v1/admin/"

logger = structlog.get_logger(__name__)


def install_job_problems(app: FastAPI) -> None:
    """Answer errors of the engine: 404, 409 with the state, 422 with the field, 503 with `Retry-After`."""
    for answer, errors in (
        (_not_found, NOT_FOUND),
        (_conflict, CONFLICT),
        (_invalid, INVALID),
        (_unavailable, (QueueUnavailable,)),
    ):
        for error in errors:
            app.add_exception_handler(error, answer)


async def _not_found(request: Request, error: Exception) -> Response:
    return problem_response(request, 404, str(error))


async def _conflict(request: Request, error: Exception) -> Response:
    state: dict[str, Any] = {"state": error.status} if isinstance(error, WrongStateError) else {}
    return problem_response(request, 409, str(error), **state)


async def _invalid(request: Request, error: Exception) -> Response:
    if not request.scope["path"].removeprefix(request.scope.get("root_path", "")).startswith(NAMED_BY_CALLERS):
        raise error
    field = _field(request, error)
    return problem_response(request, 422, f"{field}: {error}", errors=[{"field": field, "message": str(error)}])


async def _unavailable(request: Request, error: Exception) -> Response:
    """Answer a request that needs the queue while Redis does not answer, or the queue is full."""
    problem = "is full" if isinstance(error, QueueFull) else "does not answer"
    logger.warning("queue unavailable", path=request.url.path, error=str(error))
    headers = {"Retry-After": str(RETRY_AFTER)}
    return problem_response(request, 503, f"the queue {problem}; try again later", headers=headers)


def _field(request: Request, error: Exception) -> str:
    """Name what is wrong: as exactly as the error knows, in the query if it is there, else in the body."""
    name: Any = "task" if isinstance(error, UnknownTaskError) else getattr(error, "setting", None)
    if name is None:
        return "body" if request.method != "GET" else "query"
    return f"query.{name}" if name in request.query_params else f"body.{name}"
