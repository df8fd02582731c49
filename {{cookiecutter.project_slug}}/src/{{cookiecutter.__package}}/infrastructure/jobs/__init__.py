"""The engine: arq's jobs with policies, leases, records and safety nets. It knows nothing of the application.

What a task is:

| module | holds |
| --- | --- |
| `task` | tasks that can be enqueued, `@task` |
| `decorators` | `@retry`, `@timeout`, `@background_task` |
| `policy` | what a task sets for itself |
| `retries` | when to try again |
| `checks` | whether a setting makes sense |
| `registry` | how tasks are named, and calls checked |
| `context` | what a running task knows of its job |
| `idempotency` | effects that happen once |
| `limits` | how many jobs of a task at once, or within a time |

Clients:

| module | holds |
| --- | --- |
| `connections` | Redis addresses, and clients made from them |
| `pool` | enqueue and cancel |
| `messages`, `drafts` | jobs on their way to the queue |
| `origins` | where a job comes from, and whose it is |
| `manager` | everything that can be done with jobs, behind one object: a package with a map of its own |
| `backends` | what a manager stands on: arq's jobs on a Redis, or in memory |
| `batches` | many jobs of one task |
| `options` | what the manager's methods take by name |
| `enqueueing` | enqueueing without a pool or a manager |
| `cancelling` | cancelling jobs, many at once |
| `workflows` | chains and groups of jobs: a package with a map of its own |
| `schedules` | tasks that are enqueued at certain times, or again and again: likewise |
| `lookup` | what is known of a job |
| `events` | being told what jobs come to |
| `updates` | watching jobs, where many do |
| `queues` | named queues: their lengths, pausing and purging them |
| `workers` | who is alive, and telling one to rest or to end |
| `history`, `filters` | lists of jobs |
| `statistics` | what jobs came to lately, in numbers |
| `dead_letters`, `letters` | jobs that have failed for good: list, replay, discard |
| `bulk` | running many jobs again, cancelling them, throwing them away |
| `inspection` | everything about one job, for people |
| `secrets` | what of a job is never shown |
| `json_values` | what of it is shown, as JSON |
| `paging` | a page of a list, and where the next one begins |
| `answers` | Redis that does not answer a client |
| `outbox`, `relay` | jobs that wait in the database for a commit, and their way to the queue |
| `circuit`, `fallback`, `inline` | what becomes of a job while Redis is away |
| `health` | whether Redis is there, and a worker |

What is stored:

| module | holds |
| --- | --- |
| `errors` | what the engine raises |
| `records` | what is known of a job |
| `keys` | every Redis key |
| `scripts` | the atomic steps, one Lua script each |
| `codec`, `envelope` | how arguments, results and exceptions are stored |
| `coercion` | how arguments become what a task's annotations declare |
| `outcomes` | what is stored of a job that has ended, and of a try |
| `retention` | how much is kept, and forgetting the rest |

Workers:

| module | holds |
| --- | --- |
| `worker` | arq's worker, with all this inside |
| `execution` | the wrapper round every task |
| `running` | how a worker claims, runs and records: a package with a map of its own |
| `safety` | whether a Redis is fit to hold jobs |
| `logs` | what the log says of jobs |

Tests:

| module | holds |
| --- | --- |
| `testing` | what a project's own tests are given |
| `memory` | a Redis inside the process |
| `expectations` | what tests expect to be enqueued |
"""

from arq import Retry, cron

from .backends import ArqQueueBackend, MemoryQueueBackend, QueueBackend
from .bulk import BulkAction, BulkResult
from .connections import RedisSettings, close_client, parse_redis_url
from .dead_letters import DeadLetters
from .decorators import background_task, retry, timeout
from .enqueueing import enqueue, enqueue_delayed, enqueue_in, set_enqueuer
from .errors import (
    DeadLetterNotFoundError,
    EffectInProgressError,
    EffectValueUnknownError,
    InvalidEffectError,
    InvalidJobError,
    InvalidPolicyError,
    InvalidQueryError,
    InvalidRedisUrlError,
    InvalidScheduleError,
    InvalidWorkflowError,
    JobError,
    JobNotFoundError,
    MaxTriesExceededError,
    MissingPackageError,
    OvertakenError,
    PayloadTooLargeError,
    ProcessDiedError,
    QueueFull,
    QueueUnavailable,
    RemoteError,
    ScheduleNotFoundError,
    UnimportableTaskError,
    UnknownTaskError,
    UnreadableError,
    UnreplayableError,
    UnsafeRedisError,
    UnserializableError,
    WorkerNotFoundError,
    WrongStateError,
)
from .history import JobHistory
from .idempotency import once
from .inspection import JobDetails
from .lookup import TaskJob
from .manager import JobManager
from .origins import current_owner, owned_by
from .paging import Page
from .policy import RateLimit, TaskPolicy, Unique
from .pool import TaskPool
from .queues import QueueRecord, Queues
from .records import (
    TERMINAL_STATUSES,
    AttemptRecord,
    BatchResult,
    FailureCause,
    HistoryRecord,
    JobPriority,
    JobRecord,
    JobStatus,
    Misfire,
    Progress,
    RefusedItem,
    ScheduleRecord,
    TaskStatus,
    WorkerRecord,
    WorkerState,
)
from .retention import Retention
from .retries import RetryConfig
from .schedules.client import Schedule, Schedules
from .statistics import Overview, Percentiles, Period, Statistics, TaskStatistics
from .task import Task, TaskContext, TaskRegistry, task
from .updates import Updates
from .worker import Worker
from .workers import Workers
from .workflows.client import Workflows
from .workflows.records import OnFailure, WorkflowJob, WorkflowKind, WorkflowRecord
from .workflows.steps import Step

__all__ = [
    "TERMINAL_STATUSES",
    "ArqQueueBackend",
    "AttemptRecord",
    "BatchResult",
    "BulkAction",
    "BulkResult",
    "DeadLetterNotFoundError",
    "DeadLetters",
    "EffectInProgressError",
    "EffectValueUnknownError",
    "FailureCause",
    "HistoryRecord",
    "InvalidEffectError",
    "InvalidJobError",
    "InvalidPolicyError",
    "InvalidQueryError",
    "InvalidRedisUrlError",
    "InvalidScheduleError",
    "InvalidWorkflowError",
    "JobDetails",
    "JobError",
    "JobHistory",
    "JobManager",
    "JobNotFoundError",
    "JobPriority",
    "JobRecord",
    "JobStatus",
    "MaxTriesExceededError",
    "MemoryQueueBackend",
    "Misfire",
    "MissingPackageError",
    "OnFailure",
    "OvertakenError",
    "Overview",
    "Page",
    "PayloadTooLargeError",
    "Percentiles",
    "Period",
    "ProcessDiedError",
    "Progress",
    "QueueBackend",
    "QueueFull",
    "QueueRecord",
    "QueueUnavailable",
    "Queues",
    "RateLimit",
    "RedisSettings",
    "RefusedItem",
    "RemoteError",
    "Retention",
    "Retry",
    "RetryConfig",
    "Schedule",
    "ScheduleNotFoundError",
    "ScheduleRecord",
    "Schedules",
    "Statistics",
    "Step",
    "Task",
    "TaskContext",
    "TaskJob",
    "TaskPolicy",
    "TaskPool",
    "TaskRegistry",
    "TaskStatistics",
    "TaskStatus",
    "UnimportableTaskError",
    "Unique",
    "UnknownTaskError",
    "UnreadableError",
    "UnreplayableError",
    "UnsafeRedisError",
    "UnserializableError",
    "Updates",
    "Worker",
    "WorkerNotFoundError",
    "WorkerRecord",
    "WorkerState",
    "Workers",
    "WorkflowJob",
    "WorkflowKind",
    "WorkflowRecord",
    "Workflows",
    "WrongStateError",
    "background_task",
    "close_client",
    "cron",
    "current_owner",
    "enqueue",
    "enqueue_delayed",
    "enqueue_in",
    "once",
    "owned_by",
    "parse_redis_url",
    "retry",
    "set_enqueuer",
    "task",
    "timeout",
]
