"""What the route takes and gives by which the same is done with many jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from ...infrastructure.jobs import BulkAction, FailureCause, JobStatus
from .filters import Moment, Name


class BulkFilter(BaseModel):
    """Which jobs are meant; what is left out stands for any."""

    model_config = ConfigDict(extra="forbid")  # a filter that is misspelt must not be one that is left out

    #: Where they are, of those that the action can mean.
    status: Annotated[list[JobStatus], Field(min_length=1)] | None = None
    task: Name | None = None
    queue: Name | None = None
    #: How they came to their failure; for retry and discard.
    cause: Annotated[list[FailureCause], Field(min_length=1)] | None = None
    #: No earlier: for retry and discard about when they failed, for cancel about when they were enqueued.
    since: Moment | None = None
    #: Earlier than this.
    until: Moment | None = None


class BulkRequest(BaseModel):
    """Something that is to be done with many jobs: as a dry run, which only counts, unless that is switched off."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "action": "retry",
                "filter": {"task": "send_welcome_email", "cause": ["timeout"]},
                "dry_run": True,
            }
        },
    )

    #: `retry` and `discard` mean dead letters, `cancel` jobs that wait.
    action: BulkAction
    filter: BulkFilter = BulkFilter()
    dry_run: StrictBool = True
    #: Cancel running jobs, too.
    terminate: StrictBool = False
    #: Jobs that it may be done with at most.
    limit: Annotated[int, Field(ge=1, le=10_000)] = 10_000


class BulkRead(BaseModel):
    """What became of many jobs, or would have."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {"action": "retry", "matched": 12, "done": 12, "refused": 0, "more": False, "dry_run": True}
        },
    )

    action: BulkAction
    #: Jobs that fit.
    matched: int
    #: Those with which it was done, or would have been.
    done: int
    #: Those that stay as they are, such as a dead letter whose task is unique and waits again.
    refused: int
    #: Whether there are more that fit, beyond the limit.
    more: bool
    dry_run: bool
