"""Errors as problem documents (RFC 9457): every answer of 400 and above has the same form."""

from __future__ import annotations

import json
from http import HTTPStatus
from socket import gaierror
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from .correlation import correlation_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

MEDIA_TYPE = "application/problem+json"

#: status -> what the detail of such a problem says, for example.
DETAILS = {
    400: "There was an error parsing the body",
    401: "this needs an access token; sign in for one",
    403: "this is for administrators only",
    404: "no user has the id 7",
    409: "somebody has signed up as ada@example.com before",
    422: "path.user_id: Input should be greater than or equal to 1",
    429: "too many attempts; try again in 60 seconds",
    500: "the server failed to answer; the reason is in its log",
    503: "the service cannot do this now; try again later",
}
#: status -> the headers of such an answer, and what they say.
HEADERS = {
    401: {"WWW-Authenticate": "How to sign in"},
    429: {"Retry-After": "Seconds until it may be tried again"},
    503: {"Retry-After": "Seconds until it may be tried again"},
}
#: What is raised while the database, or another server that the answer takes, cannot be reached.
UNREACHABLE = (OperationalError, InterfaceError, PoolTimeoutError, ConnectionError, TimeoutError, gaierror)
#: Seconds after which a caller may try again then.
RETRY_AFTER = 5

logger = structlog.get_logger(__name__)


class ProblemDocument(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no user has the id 7"])
    instance: str = Field(examples=["/api/v1/users/7"])
    #: Which fields were wrong, for an answer of 422.
    errors: list[dict[str, Any]] | None = None
    #: Where something is in its life, for an answer of 409 because it is somewhere else than it would have to be.
    state: str | None = None


class Problem(HTTPException):
    """Ends a request with a problem document."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the error answers of a route for its OpenAPI entry.

    A route need not name 400 (a body that cannot be read), 422, 500 and 503: what can give them has them.
    """
    return {status: _description(status) for status in statuses}


def problem_response(
    request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
) -> Response:
    """Answer with a problem document."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        **extra,
    }
    # ASCII, so that a caller's broken Unicode in it breaks nothing.
    content = json.dumps(jsonable_encoder(document), separators=(",", ":"))
    return Response(content, status, headers, media_type=MEDIA_TYPE)


def _description(status: int) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    example = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": DETAILS.get(status, title),
        "instance": "/api/v1/users/7",
    }
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        example["errors"] = [{"field": "path.user_id", "message": "Input should be greater than or equal to 1"}]
    schema = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
    return {
        "description": title,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
        "headers": {
            name: {"description": text, "required": True, "schema": {"type": "string"}}
            for name, text in HEADERS.get(status, {}).items()
        },
    }


def _allowed(request: Request) -> str:
    """List the methods that the path has; Starlette knows only those of the first route with this path."""
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    scopes = {method: {**request.scope, "method": method} for method in methods}
    routes = request.app.routes
    return ", ".join(
        method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)
    )


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.NO_CONTENT:  # no problem at all, but an end all the same
        return Response(status_code=error.status_code, headers=headers)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _allowed(request)):
        headers["Allow"] = allowed
    return problem_response(request, error.status_code, str(error.detail), headers=headers)


async def _validation_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = [
        {"field": ".".join(map(str, e["loc"])), "message": e["msg"].removeprefix("Value error, ")}
        for e in error.errors()
    ]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
    return problem_response(request, 422, detail, errors=fields)


async def _unreachable_problem(request: Request, error: Exception) -> Response:
    logger.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return problem_response(request, 503, DETAILS[503], headers={"Retry-After": str(RETRY_AFTER)})


async def _unexpected_problem(request: Request, error: Exception) -> Response:
    logger.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    detail = "the server failed to answer; the reason is in its log"
    return problem_response(request, 500, detail, headers=correlation_headers())


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(RequestValidationError, _validation_problem)
    for unreachable in UNREACHABLE:
        app.add_exception_handler(unreachable, _unreachable_problem)
    app.add_exception_handler(Exception, _unexpected_problem)
