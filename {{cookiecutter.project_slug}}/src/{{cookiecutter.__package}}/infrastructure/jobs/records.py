"""What is known of a job, as data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


class JobStatus(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    """Due, and waiting for a worker."""
    SCHEDULED = "scheduled"
    """Waiting for its time."""
    RUNNING = "running"
    """In the hands of a worker."""
    RETRYING = "retrying"
    """A try failed; waiting for the next."""
    SUCCESS = "success"
    """The task returned."""
    FAILED = "failed"
    """The last try failed."""
    CANCELLED = "cancelled"
    """Somebody ended it."""


TERMINAL_STATUSES = frozenset({JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job says it is."""

    done: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Everything known of one job at one moment; times are aware and in UTC."""

    job_id: str
    task: str
    status: JobStatus
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str = "default"
    #: What the task returned, when `status` is `success`.
    result: Any = None
    #: `"ValueError: no such user"`, when `status` is `failed` or `cancelled`.
    error: str | None = None
    enqueue_time: datetime | None = None
    #: When the last try began; known once the job has ended.
    start_time: datetime | None = None
    finish_time: datetime | None = None
    #: How often the job was started.
    tries: int = 0
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """What a worker says of itself every few seconds; times are seconds since 1970."""

    worker_id: str
    host: str
    pid: int
    started: float
    #: Names of the queues that it serves, in this order.
    queues: list[str]
    #: Release of the project.
    version: str
    #: Jobs that it runs now.
    running: int = 0
    #: Jobs since it was started: ended well, failed for good, put back for another try, lost to another worker.
    complete: int = 0
    failed: int = 0
    retried: int = 0
    lost: int = 0
    #: Jobs in its queues, those that run anywhere included.
    queued: int = 0
    #: When it last said so.
    seen: float = 0.0
