"""What the engine raises: every error has the base `JobError`, and says what was wrong and what to do."""

from __future__ import annotations

import reprlib
from difflib import get_close_matches
from signal import Signals
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .records import BatchResult, JobStatus


class JobError(Exception):
    """Something about a job is wrong."""

    #: What was enqueued before, if it came in the middle of a batch: see `Batches.enqueue`.
    batch: BatchResult | None = None

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class InvalidRedisUrlError(JobError, ValueError):
    """The address of Redis cannot be read."""

    def __init__(self, setting: str, value: str, problem: str) -> None:
        super().__init__(f"{setting}: {value!r}: {problem}")


class UnknownTaskError(JobError, LookupError):
    """No task is registered under that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"registered are {', '.join(known)}."
        super().__init__(f"no task is registered as {name!r}: {hint} Tasks are registered in WorkerSettings.functions.")


class InvalidJobError(JobError, TypeError):
    """The call does not fit the task, so no job was enqueued."""


class UnserializableError(JobError, TypeError):
    """A value has no form in which it could be stored."""

    def __init__(self, path: str, value: object, problem: str | None = None, *, task: str | None = None) -> None:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        problem = problem or f"is a {kind}, which cannot be stored; pass plain data, or a reference such as an id"
        super().__init__(f"{task}: {path} {problem}" if task else f"{path} {problem}")
        self.path = path
        self.value = value
        self.problem = problem


class UnreadableError(JobError, ValueError):
    """Stored bytes are not what the codec wrote."""


class RemoteError(JobError):
    """A task failed with an exception whose class is not imported here, or cannot be rebuilt."""

    def __init__(self, type_name: str, message: str, remote_traceback: str = "") -> None:
        super().__init__(f"{type_name}: {message}" if message else type_name)
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback


class QueueUnavailable(JobError, ConnectionError):  # noqa: N818 - named like queue.Full
    """Redis does not answer, so nothing is known to have been enqueued; try again."""


class QueueFull(QueueUnavailable):
    """A queue holds as many jobs as it may; nothing of the call is enqueued."""

    def __init__(self, queue: str, length: int, limit: int) -> None:
        super().__init__(
            f"queue {queue!r} is full: it may hold {limit:,} jobs (JOBS_MAX_QUEUE_LENGTH); try again later, when "
            "workers have caught up"
        )
        self.queue = queue
        #: Jobs that there is room for.
        self.room = max(0, limit - length)


class UnsafeRedisError(JobError):
    """This Redis may lose jobs."""


class MaxTriesExceededError(JobError):
    """The job asked to be retried, but its tries are spent."""


class PayloadTooLargeError(InvalidJobError):
    """The arguments take more room than a job may have."""

    def __init__(self, task: str, size: int, limit: int) -> None:
        super().__init__(
            f"{task}: the job takes {size:,} bytes when stored, the limit is {limit:,} (JOBS_MAX_PAYLOAD). Store the "
            "data where it belongs, and pass a reference to it, such as an id or the name of a file"
        )


class InvalidPolicyError(JobError, ValueError):
    """A task cannot be run like that."""

    def __init__(self, setting: str, value: object, problem: str) -> None:
        super().__init__(f"{setting}={value!r}: {problem}")
        self.setting = setting


class InvalidQueryError(JobError, ValueError):
    """Jobs cannot be asked for like that."""

    def __init__(self, setting: str, value: object, problem: str) -> None:
        super().__init__(f"{setting}={value!r}: {problem}")
        self.setting = setting


class InvalidScheduleError(JobError, ValueError):
    """There cannot be such a schedule."""

    def __init__(self, name: object, problem: object) -> None:
        super().__init__(f"schedule {name!r}: {problem}")
        #: Which of its settings makes no sense, if it is one.
        self.setting: str | None = getattr(problem, "setting", None)


class ScheduleNotFoundError(JobError, LookupError):
    """There is no such schedule."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"schedule {schedule_id!r}: there is none of that id; perhaps it was removed")


class DeadLetterNotFoundError(JobError, LookupError):
    """There is no such dead letter."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id}: there is no such dead letter; perhaps it was replayed or discarded, or is no longer kept"
        )


class UnreplayableError(JobError, ValueError):
    """A dead letter cannot become a job again."""

    def __init__(self, job_id: str, problem: str) -> None:
        super().__init__(f"job {job_id} is not replayed: {problem}")


class InvalidEffectError(JobError, ValueError):
    """An effect that is to happen once is not described, or not used, as it must be."""


class EffectInProgressError(JobError):
    """Another job is at this effect right now, so this one must not act."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"once {key!r}: job {job_id} is at it right now; try again when that has ended")


class OvertakenError(JobError):
    """This try is no longer the one that may act: its lease was lost, and another start of the job may be under way."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"once {key!r}: job {job_id} was started again, or has ended, since this try began; it stops")


class EffectValueUnknownError(JobError, LookupError):
    """The effect has happened, but its value had no form in which it could be stored."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"once {key!r}: it has been done, but its value is unknown, for it could not be stored; do without it, or "
            "ask whoever did it, by effect.idempotency_key"
        )


class UnimportableTaskError(InvalidJobError):
    """A function that is to run in a process must be one that another process can import."""

    def __init__(self, function: object, problem: str) -> None:
        name = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
        super().__init__(f"{name} {problem}, so it cannot run in a process; make it a plain `def` of a module")


class ProcessDiedError(JobError):
    """The process that ran the task has ended before the task did."""

    def __init__(self, function: str, status: int | None) -> None:
        super().__init__(f"{function}: its process {_manner(status)}")


class JobNotFoundError(JobError, LookupError):
    """There is nothing with this id."""

    def __init__(self, job_id: str | None) -> None:
        super().__init__(f"{job_id!r} is no job or workflow that is known; perhaps its result is no longer kept")


class WrongStateError(JobError, ValueError):
    """A job is not where it would have to be for this."""

    def __init__(self, job_id: str, status: JobStatus, problem: str) -> None:
        super().__init__(f"job {job_id} is {status.value}: {problem}")
        self.job_id = job_id
        #: Where it is.
        self.status = status


class WorkerNotFoundError(JobError, LookupError):
    """There is no such worker."""

    def __init__(self, worker_id: str) -> None:
        super().__init__(f"no worker {worker_id!r} is alive; perhaps it has ended")


class MissingPackageError(JobError, ImportError):
    """What was asked for needs a package that is not installed."""

    def __init__(self, what: str, package: str) -> None:
        super().__init__(f"{what} needs {package}, which is not installed here: uv add '{package}'")


class InvalidWorkflowError(InvalidJobError):
    """A workflow cannot be made like that, so nothing of it was enqueued."""

    def __init__(self, place: str, value: object, problem: str) -> None:
        super().__init__(f"{place}: {reprlib.repr(value)}: {problem}")


def _manner(status: int | None) -> str:
    if status is None or status >= 0:
        return f"ended with status {status}"
    try:
        name = Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ", perhaps since the machine ran out of memory" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"
