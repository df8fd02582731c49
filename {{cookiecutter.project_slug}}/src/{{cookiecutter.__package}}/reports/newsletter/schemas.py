"""What the routes of newsletters take and give."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from ...infrastructure.text import ONE_LINE

if TYPE_CHECKING:
    from pydantic.config import JsonDict

EXAMPLE: JsonDict = {"subject": "What is new in November", "body": "Hello,\n\nthere are reports now.\n"}


class NewsletterCreate(BaseModel):
    """A newsletter is to be sent."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    subject: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=ONE_LINE)]
    # None but tabs and line breaks: PostgreSQL stores no NUL.
    body: Annotated[
        str, StringConstraints(min_length=1, max_length=100_000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+$")
    ]


class NewsletterRead(BaseModel):
    """A newsletter, and whether it is on its way to all."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": 7,
                **EXAMPLE,
                "created_at": "2026-11-21T10:00:00Z",
                "sent_at": "2026-11-21T10:00:04Z",
                "total": 2000,
            }
        },
    )

    id: int
    subject: str
    body: str
    created_at: datetime
    #: When the last copy was sent, or put on its way; null: not all are.
    sent_at: datetime | None
    #: How many copies that were.
    total: int | None
