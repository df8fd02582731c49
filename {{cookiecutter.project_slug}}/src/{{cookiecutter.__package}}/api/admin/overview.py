"""Routes for administrators: what jobs came to lately, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from ..jobs import Jobs

if TYPE_CHECKING:
    from pydantic.config import JsonDict

router = APIRouter(prefix="/overview", tags=["admin: overview"])

TASK: JsonDict = {
    "task": "send_welcome_email",
    "succeeded": 1230,
    "failed": 2,
    "cancelled": 1,
    "retried": 5,
    "wait": {"p50": 0.002, "p95": 0.031, "p99": 0.4},
    "run": {"p50": 0.12, "p95": 0.31, "p99": 0.92},
}
PERIOD: JsonDict = {
    "seconds": 3600,
    "succeeded": 1230,
    "failed": 2,
    "cancelled": 1,
    "retried": 5,
    "throughput": 0.34,
    "tasks": [TASK],
}


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PercentilesRead(_Read):
    """So many percent of all jobs took no longer than this, in seconds; null: there were none."""

    p50: float | None
    p95: float | None
    p99: float | None


class TaskStatisticsRead(_Read):
    """What the jobs of one task came to."""

    model_config = ConfigDict(json_schema_extra={"example": TASK})

    task: str
    succeeded: int
    failed: int
    cancelled: int
    #: Tries that another one came after.
    retried: int
    #: From when they were due to their start.
    wait: PercentilesRead
    #: From their start to their end.
    run: PercentilesRead


class PeriodRead(_Read):
    """What jobs came to in some time until now, all together and by task."""

    model_config = ConfigDict(json_schema_extra={"example": PERIOD})

    seconds: float
    succeeded: int
    failed: int
    cancelled: int
    retried: int
    #: Jobs that ended, in a second.
    throughput: float
    tasks: list[TaskStatisticsRead]


class OverviewRead(_Read):
    """What jobs came to lately."""

    model_config = ConfigDict(json_schema_extra={"example": {"hour": PERIOD, "day": {**PERIOD, "seconds": 86400}}})

    #: The last hour.
    hour: PeriodRead
    #: The last day.
    day: PeriodRead


@router.get("")
async def show_overview(jobs: Jobs) -> OverviewRead:
    """Tell how many jobs ended in the last hour and day, how well, and how long they waited and ran, by task.

    Workers count that as they go, so that asking costs the same however many jobs there are.
    """
    return OverviewRead.model_validate(await jobs.overview())
