"""What lists are asked for: values that each of the routes checks in the same way."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, StringConstraints

#: As RFC 3339 has it, which is what `date-time` in an OpenAPI document means.
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written_out(value: object) -> object:
    """Let text like 2026-11-21T09:30:00Z pass; a number would be taken for seconds since 1970."""
    if isinstance(value, str) and RFC3339.fullmatch(value):
        return value
    raise ValueError("is no moment; write it like 2026-11-21T09:30:00Z")


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


#: A moment with its time zone, in UTC.
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
#: A name, or an id, that is compared with others.
Name = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]

OfTask = Annotated[Name | None, Query(description="Only of this task", examples=["send_welcome_email"])]
OfQueue = Annotated[Name | None, Query(description="Only of this queue", examples=["default"])]
Since = Annotated[Moment | None, Query(description="No earlier than this")]
Until = Annotated[Moment | None, Query(description="Earlier than this")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most on one page")]
PageCursor = Annotated[
    Name | None, Query(description="From the page before, which was asked for with the same filters; null was the last")
]
