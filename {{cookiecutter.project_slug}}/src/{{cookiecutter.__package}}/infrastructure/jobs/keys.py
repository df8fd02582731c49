"""Every key that the engine reads or writes in Redis, one function each.

The names are arq's own wherever arq has one, so that arq's clients and workers can read them.
"""

from __future__ import annotations

from urllib.parse import quote

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
#: Sorted set of the ids of jobs that are to be ended, by the time at which that was asked for, in ms; and the channel
#: on which they are told.
ABORTS = abort_jobs_ss
#: Channel on which it is told what jobs come to: JSON, lists of ids by status.
EVENTS = "arq:events"
#: Set of the names of the tasks that have jobs that are parked, or have their turn.
PARKED_TASKS = "arq:parked"
#: Sorted set of the ids of the dead letters, by the time at which they died, in ms.
DEAD = "arq:dead"
#: Set of the keys of the queues that have ever had a job.
QUEUES = "arq:queues"


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


def lost(job_id: str) -> str:
    """How many workers were lost while they ran the job."""
    return f"arq:lost:{job_id}"


def attempts(job_id: str) -> str:
    """List of the starts of the job that were not its last, as JSON."""
    return f"arq:attempts:{job_id}"


def expiring(job_id: str) -> str:
    """Copy of the payload of a job that is not to be started late, which tells what has expired."""
    return f"arq:expiring:{job_id}"


def cancelled(job_id: str) -> str:
    """Mark of a result that says that the job was cancelled: its id may be used again."""
    return f"arq:cancelled:{job_id}"


def unique(digest: str) -> str:
    """Id of the job that stands for all that are the same to a task with `unique`."""
    return f"arq:unique:{digest}"


def idempotency(key: str) -> str:
    """Id of the job that was first enqueued with this idempotency key."""
    return f"arq:idempotency:{key}"


def limits(task: str) -> str:
    """Hash of the limits of a task, and of the number of its last start under a rate limit."""
    return f"arq:limits:{task}"


def starts(task: str) -> str:
    """Sorted set of the numbers of the starts that a rate limit still counts, by the time of each, in µs."""
    return f"arq:starts:{task}"


def places(task: str) -> str:
    """Set of the ids of the jobs that count as running, where only so many may."""
    return f"arq:places:{task}"


def parked(task: str) -> str:
    """Sorted set of the ids of the jobs that wait outside their queues, by the time at which they were due, in ms."""
    return f"arq:parked:{task}"


def homes(task: str) -> str:
    """Hash of the queues of the parked jobs, and of those that have their turn."""
    return f"arq:homes:{task}"


def turns(task: str) -> str:
    """Sorted set of the ids of the jobs that were parked and may start, by the time at which their turn came, in ms."""
    return f"arq:turns:{task}"


def history(status: str) -> str:
    """Sorted set of the jobs that ended so, a line of JSON each, by the time at which they ended, in ms."""
    return f"arq:history:{status}"


def dead_letter(job_id: str) -> str:
    """What is known of a job whose last try has failed."""
    return f"arq:dead:{job_id}"


def dead_attempts(job_id: str) -> str:
    """List of the starts of a dead letter that were not its last, as JSON; its id may have been used again since."""
    return f"arq:dead-attempts:{job_id}"


def once(scope: str, key: str) -> str:
    """Whether an effect has begun, or happened, and what came of it: a hash."""
    return f"arq:once:{quote(scope)}:{key}"


def worker(worker_id: str) -> str:
    """What one worker says of itself; it expires by itself."""
    return f"arq:worker:{worker_id}"


def workers(queue_key: str) -> str:
    """Sorted set of the ids of the workers of a queue, by the time in ms at which their records expire."""
    return f"arq:workers:{queue_key}"


def health(queue_name: str = DEFAULT_QUEUE) -> str:
    """Sign of life of the workers of a queue; it expires by itself."""
    return queue(queue_name) + health_check_key_suffix


def delivery(delivery_id: str) -> str:
    """Id of the job that a row of the outbox became; it keeps the row from becoming another one."""
    return f"arq:delivery:{delivery_id}"
