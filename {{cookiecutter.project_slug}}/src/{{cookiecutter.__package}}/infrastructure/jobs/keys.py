"""Every key that the engine reads or writes in Redis, one function each.

The names are arq's own wherever arq has one, so that arq's clients and workers can read them.
"""

from __future__ import annotations

import re
from functools import lru_cache
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

from .errors import InvalidJobError
from .records import JobPriority

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
#: Set of the keys of the lanes that have had jobs; and the channel on which a new one is told.
QUEUES = "arq:queues"
#: Sorted set of those of them that have none, by when that was first seen, in ms; after a day they are forgotten.
QUIET = "arq:quiet"
#: Set of the keys (as `queue` gives them for a name) of the queues from which nothing is started.
PAUSED = "arq:paused"
#: Sorted set of the ids of the schedules, by the tick that comes next, in ms, `inf` while one is paused; and the
#: channel on which a change is told.
SCHEDULES = "arq:schedules"
#: Set of the owners of schedules that have been written from code: keys of their queues.
SCHEDULE_OWNERS = "arq:schedule-owners"
#: Sorted set of the ids of the workers, by the time in ms at which their records expire.
WORKERS = "arq:workers"

#: Characters of the id of a job of a workflow: those of an id that the engine makes, a dash, and five digits.
_PART_LENGTH = 38

_QUEUE_NAME = re.compile(r"[\w.:-]{1,200}")
#: The end of a lane's key, unless its priority is the normal one.
_PRIORITY = re.compile(rf"@({'|'.join(str(priority.value) for priority in JobPriority)})\Z")


def queue(name: str = DEFAULT_QUEUE, priority: JobPriority = JobPriority.NORMAL) -> str:
    """Lane of a queue: sorted set of the ids of its jobs of one priority, by due time in ms.

    Normal jobs of `default` are in arq's own `arq:queue`.

    Raises:
        InvalidJobError: the name cannot be that of a queue.
    """
    key = _queue_key(name) if isinstance(name, str) else None
    if key is None:
        raise InvalidJobError(f"queue {name!r}: give a name of letters, digits, and . _ : -, 200 at most")
    return key if priority is JobPriority.NORMAL else lane(key, priority)


@lru_cache(maxsize=1000)
def _queue_key(name: str) -> str | None:
    if not _QUEUE_NAME.fullmatch(name) or name.endswith(health_check_key_suffix[1:]):
        return None
    return default_queue_name if name == DEFAULT_QUEUE else f"{default_queue_name}:{name}"


def lane(key: str, priority: JobPriority) -> str:
    """Lane of this priority in the queue that the key, of whichever of its lanes, belongs to."""
    key = queue_of(key)
    return key if priority is JobPriority.NORMAL else f"{key}@{priority.value}"


@lru_cache(maxsize=1000)
def queue_of(lane: str) -> str:
    """Key of the queue of a lane: that of its lane of normal priority."""
    return _PRIORITY.sub("", lane)


@lru_cache(maxsize=1000)
def lanes(key: str) -> tuple[str, ...]:
    """All lanes of a queue, given the key of any of them, the highest priority first."""
    return tuple(lane(key, priority) for priority in sorted(JobPriority, reverse=True))


@lru_cache(maxsize=1000)
def queue_name(key: str) -> str:
    """Read the name back from the key that `queue` gave."""
    key = queue_of(key)
    return DEFAULT_QUEUE if key == default_queue_name else key.removeprefix(f"{default_queue_name}:")


@lru_cache(maxsize=1000)
def priority(key: str) -> JobPriority:
    """Read the priority back from the key of a lane."""
    found = _PRIORITY.search(key)
    return JobPriority(int(found[1])) if found else JobPriority.NORMAL


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
    """List with a token when there is something new in a lane of the queue; idle workers block on it."""
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
    """Sorted set of the ids of the jobs that wait outside their queues, in the order of their turns."""
    return f"arq:parked:{task}"


def outside(lane_key: str) -> str:
    """Sorted set of the ids of the jobs that are parked from a lane, by the time at which they were due, in ms."""
    return f"arq:outside:{lane_key}"


@lru_cache(maxsize=1000)
def all_of(lane_key: str) -> tuple[str, ...]:
    """Every sorted set that jobs of a queue are in, given the key of any lane: its lanes, and what is parked."""
    return (*lanes(lane_key), *map(outside, lanes(lane_key)))


def homes(task: str) -> str:
    """Hash of the lanes of the parked jobs, and of those that have their turn."""
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


def order(worker_id: str) -> str:
    """What a worker is to do, until it is gone; and the channel on which it is told."""
    return f"arq:order:{worker_id}"


def health(queue_key: str = default_queue_name) -> str:
    """Sign of life of the workers that serve a queue first; it expires by itself."""
    return queue_key + health_check_key_suffix


def delivery(delivery_id: str) -> str:
    """Id of the job that a row of the outbox became; it keeps the row from becoming another one."""
    return f"arq:delivery:{delivery_id}"


def workflow(workflow_id: str) -> str:
    """How a workflow is made, and how far it is: a hash, see `scripts/workflows.lua`."""
    return f"arq:workflow:{workflow_id}"


def workflow_values(workflow_id: str) -> str:
    """Hash of what the jobs of a workflow came to, by their numbers, as far as that is wanted."""
    return f"arq:workflow-values:{workflow_id}"


def workflow_job(workflow_id: str, number: int) -> str:
    """Id of a job of a workflow, by its number, from 0; ids sort as the numbers do."""
    return f"{workflow_id}-{number:05d}"


def workflow_part(job_id: str) -> tuple[str, int] | None:
    """Read workflow and number back from the id that `workflow_job` gave; None for any other."""
    if len(job_id) != _PART_LENGTH or job_id[-6] != "-" or not job_id[-5:].isdecimal():
        return None
    return job_id[:-6], int(job_id[-5:])


def statistics(span: str) -> str:
    """Hash of what was counted in a span of time: its length in s, a colon, and its begin, in s since 1970."""
    return f"arq:statistics:{span}"


def schedule(schedule_id: str) -> str:
    """What is known of a schedule: a hash."""
    return f"arq:schedule:{schedule_id}"
