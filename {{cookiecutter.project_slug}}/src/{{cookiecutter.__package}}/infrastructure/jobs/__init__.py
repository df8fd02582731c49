"""The engine: arq's jobs with retries, moving deadlines and records. It knows nothing of the application.

| module | holds |
| --- | --- |
| `errors` | what the engine raises |
| `records` | what is known of a job |
| `keys` | every Redis key |
| `connections` | Redis addresses, and clients made from them |
| `codec` | how arguments and results are stored |
| `envelope` | how exceptions are stored |
| `coercion` | how arguments become what a task's annotations declare |
| `scripts` | the atomic steps, one Lua script each |
| `pool` | enqueue and cancel |
| `lookup` | what is known of a job |
| `events` | being told of the end of jobs |
| `task` | how tasks are named and called, their context |
| `retries` | when to try again |
| `execution` | the wrapper round every task |
| `attempts` | one try of one job |
| `suspects` | jobs that may end their worker |
| `aborts` | jobs that somebody wants to be ended |
| `threads` | where plain functions run |
| `deadlines` | when a try has taken too long |
| `claims` | claiming jobs |
| `leases` | keeping them |
| `commits` | recording what became of them |
| `wakeup` | waking an idle worker |
| `outage` | Redis being away |
| `consumer` | how all these work together |
| `presence` | a worker's sign of life |
| `health` | whether Redis is there, and a worker |
| `safety` | whether a Redis is fit to hold jobs |
| `worker` | arq's worker, with all this inside |
"""

from arq import Retry, cron

from .connections import RedisSettings, close_client, parse_redis_url
from .errors import (
    InvalidJobError,
    InvalidRedisUrlError,
    JobError,
    MaxTriesExceededError,
    PayloadTooLargeError,
    QueueUnavailable,
    RemoteError,
    UnknownTaskError,
    UnreadableError,
    UnsafeRedisError,
    UnserializableError,
)
from .lookup import TaskJob
from .pool import TaskPool
from .records import TERMINAL_STATUSES, JobRecord, JobStatus, Progress, WorkerRecord
from .task import TaskContext, TaskRegistry
from .worker import Worker

__all__ = [
    "TERMINAL_STATUSES",
    "InvalidJobError",
    "InvalidRedisUrlError",
    "JobError",
    "JobRecord",
    "JobStatus",
    "MaxTriesExceededError",
    "PayloadTooLargeError",
    "Progress",
    "QueueUnavailable",
    "RedisSettings",
    "RemoteError",
    "Retry",
    "TaskContext",
    "TaskJob",
    "TaskPool",
    "TaskRegistry",
    "UnknownTaskError",
    "UnreadableError",
    "UnsafeRedisError",
    "UnserializableError",
    "Worker",
    "WorkerRecord",
    "close_client",
    "cron",
    "parse_redis_url",
]
