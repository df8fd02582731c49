"""Routes for administrators: the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from ...infrastructure.audit import Outcome, list_entries
from ..dependencies import Session
from .filters import Limit, Name, Since, Until

if TYPE_CHECKING:
    from pydantic.config import JsonDict

EXAMPLE: JsonDict = {
    "id": 12,
    "time": "2026-11-21T09:30:00Z",
    "user_id": 7,
    "actor": "ada@example.com",
    "action": "job.retry",
    "target": "18ea46051a6f788517943ebb4c546e12",
    "details": {"new_job_id": "4c546e1218ea46051a6f788517943ebb"},
    "outcome": "done",
    "error": None,
}

router = APIRouter(prefix="/audit", tags=["admin: audit log"])

Action = Annotated[Name | None, Query(description="Only this action", examples=["job.retry"])]
Actor = Annotated[Name | None, Query(description="Only what they have done", examples=["ada@example.com"])]
Target = Annotated[Name | None, Query(description="Only what was done to this, such as the id of a job")]
#: An id, as text: all cursors are.
EntryCursor = Annotated[
    str | None,
    Query(pattern="^[1-9][0-9]{0,8}$", description="From the page before, which was asked for with the same filters"),
]


class AuditEntryRead(BaseModel):
    """Somebody has done something, or has tried to."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": EXAMPLE})

    id: int
    time: datetime
    #: null: it was done on the command line, or the user is deleted.
    user_id: int | None
    #: The address of the user, or `cli:<user of the system>@<host>`.
    actor: str
    action: str
    #: What it was done to, such as the id of a job; "" where that stands in the details.
    target: str
    #: With what; secrets are masked.
    details: dict[str, Any]
    #: `started` for ever: nobody knows the end, as the process died, or the database.
    outcome: Outcome
    error: str | None


class AuditRead(BaseModel):
    """A page of the audit log, the latest entry first."""

    model_config = ConfigDict(json_schema_extra={"example": {"entries": [EXAMPLE], "cursor": None}})

    entries: list[AuditEntryRead]
    #: What the next page is asked for with; null: this is the last.
    cursor: str | None


@router.get("")
async def list_audit_entries(
    session: Session,
    *,
    action: Action = None,
    actor: Actor = None,
    target: Target = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: EntryCursor = None,
) -> AuditRead:
    """List who has done what, the latest first, a page at a time."""
    found = await list_entries(
        session,
        action=action,
        actor=actor,
        target=target,
        since=since,
        until=until,
        before=int(cursor) if cursor else None,
        limit=limit + 1,
    )
    entries = [AuditEntryRead.model_validate(entry) for entry in found[:limit]]
    return AuditRead(entries=entries, cursor=str(entries[-1].id) if len(found) > limit else None)
