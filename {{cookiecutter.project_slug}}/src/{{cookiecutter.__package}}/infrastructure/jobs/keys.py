"""Every key that the engine reads or writes in Redis, one function each.

The names are arq's own wherever arq has one, so that arq's clients and workers can read them.
"""

from __future__ import annotations

from arq.constants import (
    abort_jobs_ss,
    default_queue_name,
    health_check_key_suffix,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)

DEFAULT_QUEUE = "default"
#: Sorted set of the ids of jobs that are to be ended, by the time at which that was asked for, in ms.
ABORTS = abort_jobs_ss
#: Channel on which ends of jobs are told: JSON, lists of ids by status.
EVENTS = "arq:events"


def queue(name: str = DEFAULT_QUEUE) -> str:
    """Sorted set of job ids by due time in ms; the queue `default` is arq's own `arq:queue`."""
    return default_queue_name if name == DEFAULT_QUEUE else f"{default_queue_name}:{name}"


def queue_name(key: str) -> str:
    """Read the name back from the key that `queue` gave."""
    return DEFAULT_QUEUE if key == default_queue_name else key.removeprefix(f"{default_queue_name}:")


def job(job_id: str) -> str:
    """Payload: what to call, with what."""
    return job_key_prefix + job_id


def tries(job_id: str) -> str:
    """How often the job was started."""
    return retry_key_prefix + job_id


def in_progress(job_id: str) -> str:
    """A worker's claim on the job."""
    return in_progress_key_prefix + job_id


def result(job_id: str) -> str:
    """Outcome of the finished job."""
    return result_key_prefix + job_id


def progress(job_id: str) -> str:
    """How far the running job says it is."""
    return f"arq:progress:{job_id}"


def wake(queue_key: str) -> str:
    """List with a token when there is something new in the queue; idle workers block on it."""
    return f"arq:wake:{queue_key}"


def unknown(job_id: str) -> str:
    """When a worker first found that it does not know the job's task."""
    return f"arq:unknown:{job_id}"


def worker(worker_id: str) -> str:
    """What one worker says of itself; it expires by itself."""
    return f"arq:worker:{worker_id}"


def workers(queue_key: str) -> str:
    """Sorted set of the ids of the workers of a queue, by the time in ms at which their records expire."""
    return f"arq:workers:{queue_key}"


def health(queue_name: str = DEFAULT_QUEUE) -> str:
    """Sign of life of the workers of a queue; it expires by itself."""
    return queue(queue_name) + health_check_key_suffix
