"""What the routes for jobs and dead letters take and give."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from ...infrastructure.jobs import FailureCause, JobPriority, JobStatus
from ...infrastructure.jobs.json_values import jsonable
from ..jobs import EXAMPLE_ID

if TYPE_CHECKING:
    from pydantic.config import JsonDict

    from ...infrastructure.jobs import JobDetails

ROW: JsonDict = {
    "job_id": EXAMPLE_ID,
    "task": "send_welcome_email",
    "queue": "default",
    "status": "failed",
    "tries": 3,
    "priority": 5,
    "enqueue_time": "2026-11-21T09:30:00Z",
    "due_time": None,
    "start_time": "2026-11-21T09:31:10.012Z",
    "finish_time": "2026-11-21T09:31:10.345Z",
    "duration": 0.333,
    "worker": "web-1:4711",
    "error": "MailError: the mail server does not answer",
}
LETTER: JsonDict = {
    **ROW,
    "args": [],
    "kwargs": {"user_email": "ada@example.com", "user_name": "Ada"},
    "cause": "exception",
    "replay_of": None,
}
WORKFLOW: JsonDict = {
    "workflow_id": "4a6f788517943ebb18ea46054c546e12",
    "kind": "chain",
    "status": "failed",
    "done": 1,
    "total": 2,
    "error": None,
    "jobs": [{"job_id": EXAMPLE_ID, "task": "send_welcome_email", "status": "failed"}],
    "callback": None,
}
JOB: JsonDict = {
    **LETTER,
    "result": None,
    "traceback": "Traceback (most recent call last): ...",
    "progress": None,
    "attempts": [
        {
            "outcome": "failed",
            "worker": "web-1:4711",
            "start_time": "2026-11-21T09:31:10.012Z",
            "finish_time": "2026-11-21T09:31:10.345Z",
            "error": "MailError: the mail server does not answer",
        }
    ],
    "correlation_id": "8f14e45fceea467a9a3f3b0d3d3f9c1e",
    "owner": "7",
    "parent": None,
    "children": [],
    "previous": None,
    "next": None,
    "dead": True,
    "forgotten": False,
}


class _Read(BaseModel):
    # Without anything else, for mypy takes any other name for the arguments `kwargs` of a model.
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class JobRow(_Read):
    """A job, in a list of them."""

    model_config = ConfigDict(json_schema_extra={"example": ROW})

    job_id: str
    task: str
    queue: str
    status: JobStatus
    tries: int
    priority: JobPriority
    enqueue_time: datetime | None
    #: When it is due, while it waits.
    due_time: datetime | None = None
    start_time: datetime | None
    finish_time: datetime | None
    #: Seconds that the try took that the job ended with.
    duration: float | None
    #: Id of the worker that runs it, or ran it.
    worker: str | None
    error: str | None


class JobsRead(BaseModel):
    """A page of jobs: first those that have not ended, by when they are due, then the others, the latest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"jobs": [ROW], "cursor": None}})

    jobs: list[JobRow]
    #: What the next page is asked for with, even if this one is empty; null: there is no next one.
    cursor: str | None


class DeadLetterRow(JobRow):
    """A dead letter, in a list of them; secrets are shown as `***`."""

    model_config = ConfigDict(json_schema_extra={"example": LETTER})

    #: What JSON cannot hold is given as text.
    args: Annotated[list[Any], BeforeValidator(jsonable)]
    kwargs: Annotated[dict[str, Any], BeforeValidator(jsonable)]
    cause: FailureCause | None
    replay_of: str | None


class DeadLettersRead(BaseModel):
    """A page of dead letters, the latest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"dead_letters": [LETTER], "cursor": None}})

    dead_letters: list[DeadLetterRow]
    #: What the next page is asked for with, as in a list of jobs.
    cursor: str | None


class ProgressRow(_Read):
    """How far a running job says it is."""

    done: float
    total: float | None
    message: str | None


class AttemptRead(_Read):
    """One start of a job."""

    #: `success`, `failed`, `retry`, `timeout`, `lost`, `handed_back`, `cancelled` or `running`.
    outcome: str
    worker: str | None
    start_time: datetime | None
    finish_time: datetime | None
    error: str | None


class WorkflowJobRead(_Read):
    """A job of a chain or a group."""

    job_id: str
    task: str
    status: JobStatus


class WorkflowRead(_Read):
    """A chain or a group, and its jobs."""

    model_config = ConfigDict(json_schema_extra={"example": WORKFLOW})

    workflow_id: str
    kind: str
    status: JobStatus
    done: int
    total: int
    error: str | None
    jobs: list[WorkflowJobRead]
    callback: WorkflowJobRead | None


class JobDetailsRead(DeadLetterRow):
    """All that is known of a job, or of a chain or a group as a whole; secrets are shown as `***`."""

    model_config = ConfigDict(json_schema_extra={"example": JOB})

    #: As the arguments.
    result: Any
    traceback: str | None
    progress: ProgressRow | None
    #: The starts of the job, the last one included.
    attempts: list[AttemptRead]
    correlation_id: str | None
    #: Id of the user whose job it is.
    owner: str | None
    #: The chain or the group that it is part of.
    parent: WorkflowRead | None
    #: The jobs, if it is itself a chain or a group.
    children: list[WorkflowJobRead]
    #: Ids of the jobs before and after it in its chain.
    previous: str | None
    next: str | None
    #: Whether a dead letter is kept, so that it can be retried.
    dead: bool
    #: Whether only a line of the history is left: no arguments, no result, no tries.
    forgotten: bool

    @classmethod
    def of(cls, details: JobDetails) -> Self:
        """Show a job."""
        job = details.job
        return cls(
            **DeadLetterRow.model_validate(job).model_dump(),
            result=jsonable(job.result),
            traceback=job.traceback,
            progress=job.progress and ProgressRow.model_validate(job.progress),
            attempts=[AttemptRead.model_validate(each) for each in job.attempts],
            correlation_id=job.correlation_id,
            owner=job.owner,
            parent=details.parent and WorkflowRead.model_validate(details.parent),
            children=[WorkflowJobRead.model_validate(each) for each in details.children],
            previous=details.previous,
            next=details.next,
            dead=details.dead,
            forgotten=details.forgotten,
        )


class RetryRequest(BaseModel):
    """Other arguments for a job that is run again; without them, it has those that it had."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"kwargs": {"user_email": "ada@example.org", "user_name": "Ada"}}},
    )

    #: All the positional ones. A `***` stands for the secret that was shown so.
    args: Annotated[list[JsonValue], Field(max_length=1000)] | None = None
    #: All the named ones, likewise.
    kwargs: dict[str, JsonValue] | None = None
