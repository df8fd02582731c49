"""Errors as problem documents (RFC 9457): every answer of 400 and above has the same form."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from .correlation import correlation_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request, Response

MEDIA_TYPE = "application/problem+json"

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


class Problem(HTTPException):
    """Ends a request with a problem document."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the error answers of a route for its OpenAPI entry."""
    content = {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


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
    return JSONResponse(jsonable_encoder(document), status, headers, media_type=MEDIA_TYPE)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    return problem_response(request, error.status_code, str(error.detail), headers=error.headers)


async def _validation_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = [{"field": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
    return problem_response(request, 422, detail, errors=fields)


async def _unexpected_problem(request: Request, error: Exception) -> Response:
    logger.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    detail = "the server failed to answer; the reason is in its log"
    return problem_response(request, 500, detail, headers=correlation_headers())


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(RequestValidationError, _validation_problem)
    app.add_exception_handler(Exception, _unexpected_problem)
