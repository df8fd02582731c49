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
| `messages` | one job on its way to the queue |
| `lookup` | what is known of a job |
| `events` | being told what jobs come to |
| `history` | lists of jobs |
| `dead_letters`, `letters` | jobs that have failed for good: list, replay, discard |
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

from .connections import RedisSettings, close_client, parse_redis_url
from .dead_letters import DeadLetters
from .decorators import background_task, retry, timeout
from .errors import (
    DeadLetterNotFoundError,
    EffectInProgressError,
    EffectValueUnknownError,
    InvalidEffectError,
    InvalidJobError,
    InvalidPolicyError,
    InvalidQueryError,
    InvalidRedisUrlError,
    JobError,
    MaxTriesExceededError,
    OvertakenError,
    PayloadTooLargeError,
    ProcessDiedError,
    QueueUnavailable,
    RemoteError,
    UnimportableTaskError,
    UnknownTaskError,
    UnreadableError,
    UnreplayableError,
    UnsafeRedisError,
    UnserializableError,
)
from .history import JobHistory
from .idempotency import once
from .lookup import TaskJob
from .paging import Page
from .policy import RateLimit, TaskPolicy, Unique
from .pool import TaskPool
from .records import (
    TERMINAL_STATUSES,
    AttemptRecord,
    FailureCause,
    HistoryRecord,
    JobRecord,
    JobStatus,
    Progress,
    WorkerRecord,
)
from .retention import Retention
from .retries import RetryConfig
from .task import Task, TaskContext, TaskRegistry, set_enqueuer, task
from .worker import Worker

__all__ = [
    "TERMINAL_STATUSES",
    "AttemptRecord",
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
    "JobError",
    "JobHistory",
    "JobRecord",
    "JobStatus",
    "MaxTriesExceededError",
    "OvertakenError",
    "Page",
    "PayloadTooLargeError",
    "ProcessDiedError",
    "Progress",
    "QueueUnavailable",
    "RateLimit",
    "RedisSettings",
    "RemoteError",
    "Retention",
    "Retry",
    "RetryConfig",
    "Task",
    "TaskContext",
    "TaskJob",
    "TaskPolicy",
    "TaskPool",
    "TaskRegistry",
    "UnimportableTaskError",
    "Unique",
    "UnknownTaskError",
    "UnreadableError",
    "UnreplayableError",
    "UnsafeRedisError",
    "UnserializableError",
    "Worker",
    "WorkerRecord",
    "background_task",
    "close_client",
    "cron",
    "once",
    "parse_redis_url",
    "retry",
    "set_enqueuer",
    "task",
    "timeout",
]
