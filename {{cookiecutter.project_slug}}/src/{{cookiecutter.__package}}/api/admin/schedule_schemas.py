"""What the routes for schedules take and give."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool

from ...infrastructure.jobs import JobPriority, Misfire
from ...infrastructure.jobs.json_values import jsonable
from ...infrastructure.jobs.secrets import masked_arguments
from .filters import Name

if TYPE_CHECKING:
    from pydantic.config import JsonDict

    from ...infrastructure.jobs import ScheduleRecord
    from ...infrastructure.jobs.registry import TaskFunction

EXAMPLE_ID = "hourly hello"
WRITE: JsonDict = {
    "task": "example_task",
    "cron": "0 * * * *",
    "timezone": "UTC",
    "kwargs": {"message": "hello"},
    "misfire": "run_once",
}
READ: JsonDict = {
    "id": EXAMPLE_ID,
    "task": "example_task",
    "schedule": "0 * * * *",
    "timezone": "UTC",
    "next_run": "2026-11-21T10:00:00Z",
    "last_run": "2026-11-21T09:00:00Z",
    "last_job_id": "18ea46051a6f788517943ebb4c546e12",
    "paused": False,
    "misfire": "run_once",
    "overlap": True,
    "args": [],
    "kwargs": {"message": "hello"},
    "queue": None,
    "priority": None,
    "from_code": False,
}


class ScheduleWrite(BaseModel):
    """When a task is to run, and with what: by `cron`, or every `interval`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": WRITE})

    #: The task's name, or its dotted import path.
    task: Name
    #: Five fields: minute, hour, day of month, month, day of week.
    cron: Name | None = None
    #: Seconds from one run to the next.
    interval: Annotated[float, Field(gt=0)] | None = None
    #: The time zone whose wall clock `cron` means.
    timezone: Name = "UTC"
    #: Positional arguments of the task. Where a schedule is changed, `***` stands for the secret that was shown so.
    args: Annotated[list[JsonValue], Field(max_length=1000)] = []
    #: Named arguments, likewise.
    kwargs: dict[str, JsonValue] = {}
    #: What becomes of runs that were missed.
    misfire: Misfire = Misfire.RUN_ONCE
    #: How many missed runs are made up for at once, with `run_all`.
    catch_up: Annotated[int, Field(ge=1, le=500)] = 100
    #: Seconds by which a run may be late without having been missed.
    grace: Annotated[float, Field(ge=1)] = 60
    #: false: a run is passed over while the job of the last one has not ended.
    overlap: StrictBool = True
    #: The queue, and how urgent its jobs are; by default as the task says.
    queue: Name | None = None
    priority: JobPriority | None = None


class ScheduleCreate(ScheduleWrite):
    """A new schedule."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": EXAMPLE_ID, **WRITE}})

    #: What it is called, and its id: printable characters.
    name: Annotated[Name, Field(max_length=200)]


class ScheduleRead(BaseModel):
    """A schedule; secrets among its arguments are shown as `***`."""

    # Without anything else, for mypy takes any other name for the arguments `kwargs` of a model.
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": READ})

    id: str
    task: str
    #: The cron expression, or `every 5 minutes`.
    schedule: str
    timezone: str
    #: null while it is paused.
    next_run: datetime | None
    last_run: datetime | None
    last_job_id: str | None
    paused: bool
    misfire: Misfire
    overlap: bool
    args: list[Any]
    kwargs: dict[str, Any]
    #: null: as the task says.
    queue: str | None
    priority: JobPriority | None
    #: Whether it stands in the code, where alone it can be changed or removed.
    from_code: bool

    @classmethod
    def of(cls, schedule: ScheduleRecord, function: TaskFunction | None) -> Self:
        """Show a schedule; the function tells which of its arguments are secret."""
        args, kwargs = masked_arguments(function, schedule.args, schedule.kwargs)
        known = {name: getattr(schedule, name) for name in cls.model_fields}
        return cls(**known | {"args": jsonable(args), "kwargs": jsonable(kwargs)})
