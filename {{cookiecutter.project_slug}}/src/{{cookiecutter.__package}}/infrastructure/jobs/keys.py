"""Every key that the engine reads or writes in Redis, one function each.

The names are arq's own wherever arq has one, so that arq's clients and workers can read them.
"""

from __future__ import annotations

from arq.constants import (
    default_queue_name,
    health_check_key_suffix,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)

DEFAULT_QUEUE = "default"


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


def health(queue_name: str = DEFAULT_QUEUE) -> str:
    """Sign of life of the workers of a queue; it expires by itself."""
    return queue(queue_name) + health_check_key_suffix
