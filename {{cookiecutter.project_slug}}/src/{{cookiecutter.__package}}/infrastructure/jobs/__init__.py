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
| `pool` | enqueue and look up |
| `task` | how tasks are named and called, their context |
| `retries` | when to try again |
| `execution` | the wrapper round every task |
| `health` | whether Redis is there, and a worker |
| `safety` | whether a Redis is fit to hold jobs |
| `worker` | the worker |
"""

from arq import Retry, cron

from .connections import RedisSettings, close_client, parse_redis_url
from .errors import (
    InvalidJobError,
    InvalidRedisUrlError,
    JobError,
    MaxTriesExceededError,
    QueueUnavailable,
    RemoteError,
    UnknownTaskError,
    UnreadableError,
    UnsafeRedisError,
    UnserializableError,
)
from .pool import TaskJob, TaskPool
from .records import TERMINAL_STATUSES, JobRecord, JobStatus, Progress
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
    "close_client",
    "cron",
    "parse_redis_url",
]
