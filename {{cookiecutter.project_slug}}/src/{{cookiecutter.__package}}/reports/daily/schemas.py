"""What the routes of daily reports take and give."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

if TYPE_CHECKING:
    from pydantic.config import JsonDict

EXAMPLE: JsonDict = {
    "day": "2026-11-20",
    "figures": {
        "sign_ups": 12,
        "jobs": {
            "run": 4711,
            "succeeded": 4710,
            "failed": 1,
            "cancelled": 0,
            "slowest": [{"task": "export_user_data", "job_id": "18ea46051a6f788517943ebb4c546e12", "seconds": 61.5}],
            "complete": True,
        },
    },
    "created_at": "2026-11-21T09:00:00Z",
    "mailed_at": "2026-11-21T09:00:01Z",
}


def _written_out(value: object) -> object:
    """Let a date pass, or text like 2026-11-20; a number would be taken for seconds since 1970."""
    if isinstance(value, date) or (isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII)):
        return value
    raise ValueError("is no date; write it like 2026-11-20")


#: A date that is written as ISO 8601 and the OpenAPI document have it.
Day = Annotated[date, BeforeValidator(_written_out)]


class ReportRead(BaseModel):
    """What happened on a day in UTC."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": EXAMPLE})

    day: date
    #: What was counted, by the name of its source.
    figures: dict[str, Any]
    created_at: datetime
    #: When it was mailed to the admins.
    mailed_at: datetime | None


class ReportsRead(BaseModel):
    """A page of reports, the latest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"items": [EXAMPLE], "before": None}})

    items: list[ReportRead]
    #: What `before` is for the next page; null: this is the last.
    before: date | None


class ReportRequest(BaseModel):
    """A report is to be made, of yesterday unless a day is given."""

    model_config = ConfigDict(json_schema_extra={"example": {"day": "2026-11-20"}})

    day: Day | None = None
