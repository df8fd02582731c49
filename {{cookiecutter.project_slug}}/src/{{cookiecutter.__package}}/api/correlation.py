"""What ties the log lines, and the jobs, that one request leads to: its correlation id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id

if TYPE_CHECKING:
    from fastapi import FastAPI

#: Taken from the request, if it is one that may be logged; given back with every answer.
HEADER = "X-Request-ID"
#: Nothing that could be mistaken for more lines of a log, or fill it.
SAFE = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


def install_correlation(app: FastAPI) -> None:
    """Give each request a correlation id: its own `X-Request-ID`, or a new one.

    It is on every line that is logged for the request.
    """
    app.add_middleware(
        CorrelationIdMiddleware,
        header_name=HEADER,
        validator=lambda text: SAFE.fullmatch(text) is not None,
        transformer=_bind,
    )


def correlation_headers() -> dict[str, str]:
    """Give the header for an answer that is made outside all middleware, as that to an unexpected error is."""
    value = correlation_id.get()
    return {HEADER: value} if value else {}


def _bind(value: str) -> str:
    structlog.contextvars.clear_contextvars()  # in tests, a request runs in the context of the one before
    structlog.contextvars.bind_contextvars(correlation_id=value)
    return value
