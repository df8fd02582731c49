"""What is known of a job, as data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
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


class JobPriority(IntEnum):
    """How urgent a job is, within its queue."""

    LOW = 0
    NORMAL = 5
    HIGH = 8
    CRITICAL = 10


class FailureCause(StrEnum):
    """How a job came to its failure."""

    EXCEPTION = "exception"
    """Its last try raised."""
    TIMEOUT = "timeout"
    """Its last try took too long."""
    LOST_WORKER = "lost_worker"
    """Too many of its workers died, or were cut off, while they ran it."""
    UNKNOWN_TASK = "unknown_task"
    """No worker knew its task."""
    EXPIRED = "expired"
    """It was not started in time."""
    UNDECODABLE = "undecodable"
    """Its payload cannot be read."""


class WorkerState(StrEnum):
    """What a worker does about jobs."""

    RUNNING = "running"
    """It starts what is due."""
    QUIET = "quiet"
    """It starts nothing more, and finishes what it runs."""
    STOPPING = "stopping"
    """It is about to end."""


class Misfire(StrEnum):
    """What becomes of ticks that were missed, because no worker ran when they came."""

    SKIP = "skip"
    """They are passed over."""
    RUN_ONCE = "run_once"
    """One run stands for all of them."""
    RUN_ALL = "run_all"
    """Each is run, up to a number."""


TERMINAL_STATUSES = frozenset({JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED})


#: Another name for the same.
TaskStatus = JobStatus


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job says it is."""

    done: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One start of a job; times are aware and in UTC."""

    #: `success`, `failed`, `retry` (it asked for another try), `timeout`, `lost` (its worker was), `handed_back` (its
    #: worker stopped), `cancelled`, or `running`.
    outcome: str
    worker: str | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    error: str | None = None

    @property
    def duration(self) -> float | None:
        """Seconds that it took, if that is known."""
        return _seconds(self.start_time, self.finish_time)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Everything known of one job at one moment; times are aware and in UTC."""

    job_id: str
    task: str
    status: JobStatus
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str = "default"
    priority: JobPriority = JobPriority.NORMAL
    #: What the task returned, when `status` is `success`.
    result: Any = None
    #: `"ValueError: no such user"`, when `status` is `failed` or `cancelled`.
    error: str | None = None
    #: How it came to its failure, when `status` is `failed`.
    cause: FailureCause | None = None
    #: Where its last try raised, when `status` is `failed`.
    traceback: str | None = None
    enqueue_time: datetime | None = None
    #: When the try began that runs, or that the job ended with.
    start_time: datetime | None = None
    finish_time: datetime | None = None
    #: How often the job was started, without the starts that were handed back or lost with their worker.
    tries: int = 0
    #: Id of the worker that runs it, or that ran the try it ended with.
    worker: str | None = None
    progress: Progress | None = None
    #: The starts of the job, the last one included.
    attempts: tuple[AttemptRecord, ...] = ()
    #: Id of the job that this one replays; of the first, if that was a replay as well.
    replay_of: str | None = None
    #: What ties the job to the request that led to it.
    correlation_id: str | None = None
    #: Whose it is; a text that only the application understands.
    owner: str | None = None

    @property
    def duration(self) -> float | None:
        """Seconds that the try took that the job ended with."""
        return _seconds(self.start_time, self.finish_time)


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One line of a list of jobs: what is known without their arguments and results; times are aware and in UTC."""

    job_id: str
    task: str
    queue: str
    status: JobStatus
    tries: int
    enqueue_time: datetime | None
    priority: JobPriority = JobPriority.NORMAL
    #: When it is due, while it waits.
    due_time: datetime | None = None
    #: When the try began that runs, or that the job ended with.
    start_time: datetime | None = None
    finish_time: datetime | None = None
    worker: str | None = None
    error: str | None = None

    @property
    def duration(self) -> float | None:
        """Seconds that the try took that the job ended with."""
        return _seconds(self.start_time, self.finish_time)


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
    state: WorkerState = WorkerState.RUNNING
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


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item of a batch that became no job."""

    #: Its place among the items, from 0.
    index: int
    item: Any
    #: What is wrong with it.
    reason: str


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of the items of a batch."""

    #: Items that were dealt with.
    total: int = 0
    #: Those that became jobs.
    enqueued: int = 0
    #: Those for which the same job was there.
    duplicates: int = 0
    #: How many were refused, and the first of them.
    refused_count: int = 0
    refused: tuple[RefusedItem, ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """What is known of a schedule; times are aware and in UTC."""

    id: str
    name: str
    task: str
    #: When it is due, as people read it: the cron expression, or `every 5 minutes`.
    schedule: str
    timezone: str
    #: When it is due next; None while it is paused.
    next_run: datetime | None
    #: When a job was last enqueued for it.
    last_run: datetime | None = None
    last_job_id: str | None = None
    paused: bool = False
    misfire: Misfire = Misfire.RUN_ONCE
    overlap: bool = True
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    #: None: as the task says.
    queue: str | None = None
    priority: JobPriority | None = None
    #: Whether it stands in `WorkerSettings`, rather than having been made at run time.
    from_code: bool = False


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None
