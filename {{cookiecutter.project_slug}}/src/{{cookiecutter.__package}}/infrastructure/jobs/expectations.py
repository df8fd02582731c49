"""What tests expect to be enqueued, and what they find instead."""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from arq.utils import truncate
from fakeredis import FakeRedis

from . import codec, keys
from .errors import InvalidJobError, UnserializableError
from .records import JobRecord, JobStatus
from .registry import TaskRegistry, as_function

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fakeredis import FakeServer

    from .registry import TaskFunction

#: Jobs that a message lists at most, and characters of each argument in it.
LISTED, SHOWN = 10, 80


@dataclass(frozen=True, slots=True)
class EnqueuedJob(JobRecord):
    """A job that waits."""

    #: When it is to run.
    due: datetime = field(kw_only=True)

    def __str__(self) -> str:
        """Give the call, its queue and when it is due: `send_email(to='ada') in default, due in 60 s`."""
        seconds = self.due.timestamp() - time.time()
        when = f"due in {seconds:.0f} s" if seconds > 0 else "due now"
        return f"{_call(self.task, self.args, self.kwargs)} in {self.queue}, {when}"


class Expectations:
    """Looks at the jobs that wait in a Redis in memory; nothing here has to be awaited."""

    def __init__(self, server: FakeServer, functions: Iterable[Any], cron_jobs: Iterable[Any] = ()) -> None:
        functions, cron_jobs = list(functions), list(cron_jobs)
        self._registry = TaskRegistry(functions, cron_jobs)
        tasks = [*map(as_function, functions), *cron_jobs]
        self._signatures = {task.name: inspect.signature(task.coroutine) for task in tasks}
        self._redis: Any = FakeRedis(server=server)  # its types are those of the asynchronous client, too

    def enqueued_jobs(self, task: str | TaskFunction | None = None, *, queue: str | None = None) -> list[EnqueuedJob]:
        """Give the jobs that wait for a worker, for their time, or for their next try; the first due comes first.

        Args:
            task: only those of this task: its name, its dotted import path, or the task itself.
            queue: only those in this queue.

        Raises:
            UnknownTaskError: no such task is registered.
        """
        name = None if task is None else self._registry.name_of(task)
        parked = self._redis.scan_iter(keys.outside("*"))
        found = [
            job
            for key in (*self.queue_keys(), *parked)
            for job_id, due in self._redis.zrange(key, 0, -1, withscores=True)
            if (job := self._read(job_id.decode(), due)) and name in {None, job.task} and queue in {None, job.queue}
        ]
        return sorted(found, key=lambda job: (job.due, job.job_id))

    def assert_enqueued(
        self,
        task: str | TaskFunction,
        *args: Any,
        _count: int | None = None,
        _queue: str | None = None,
        **kwargs: Any,
    ) -> list[EnqueuedJob]:
        """Fail unless such jobs wait.

        Args:
            task: their task: its name, its dotted import path, or the task itself.
            args: what its first arguments are, given by position or by name.
            _count: how many such jobs there are; None: at least one.
            _queue: the queue that they are in; None: any.
            kwargs: what further arguments are; those that are not given may be anything.

        Returns:
            These jobs.

        Raises:
            AssertionError: it lists what is enqueued instead, the nearest first.
            UnknownTaskError: no such task is registered.
            InvalidJobError: the task has no such argument.
        """
        name = self._registry.name_of(task)
        wanted = self._wanted(name, args, kwargs)
        jobs = self.enqueued_jobs()
        found = [job for job in jobs if self._fits(job, name, wanted, _queue)]
        if len(found) == _count or (_count is None and found):
            return found
        what = _call(name, args, kwargs) + (f" in {_queue}" if _queue else "")
        problem = f"is enqueued {len(found)} times, not {_count}" if found else "is not enqueued"
        raise AssertionError(f"{what} {problem}; {self._listed(jobs, name, wanted)}")

    def assert_not_enqueued(
        self, task: str | TaskFunction, *args: Any, _queue: str | None = None, **kwargs: Any
    ) -> None:
        """Fail if such jobs wait; see `assert_enqueued`."""
        self.assert_enqueued(task, *args, _count=0, _queue=_queue, **kwargs)

    def queue_keys(self) -> list[str]:
        """Give the keys of the queues that are not empty."""
        found = self._redis.scan_iter(f"{keys.queue()}*", _type="zset")
        return sorted(key.decode() for key in found)

    def _read(self, job_id: str, due: float) -> EnqueuedJob | None:
        """Read a job; None if it runs, or was not started in time."""
        names = (keys.job(job_id), keys.in_progress(job_id), keys.tries(job_id))
        payload, claim, starts = self._redis.mget(names)
        if claim or not payload:
            return None
        data = codec.deserialize(payload)
        early = due > time.time() * 1000
        return EnqueuedJob(
            job_id,
            data["f"],
            JobStatus.RETRYING if int(starts or 0) else JobStatus.SCHEDULED if early else JobStatus.PENDING,
            data["a"],
            data["k"],
            queue=keys.queue_name(data["q"]),
            priority=keys.priority(data["q"]),
            enqueue_time=_datetime(data["et"]),
            tries=int(starts or 0),
            due=_datetime(due),
        )

    def _wanted(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            bound = self._signatures[name].bind_partial(None, *args, **kwargs)
        except TypeError as error:
            raise InvalidJobError(f"{name}: {error}") from None
        return {argument: _as_stored(value) for argument, value in _flat(bound).items()}

    def _fits(self, job: EnqueuedJob, name: str, wanted: Mapping[str, Any], queue: str | None) -> bool:
        return job.task == name and queue in {None, job.queue} and self._agreement(job, wanted) == len(wanted)

    def _agreement(self, job: EnqueuedJob, wanted: Mapping[str, Any]) -> int:
        """Count the arguments that are as wanted."""
        try:
            bound = self._signatures[job.task].bind(None, *job.args, **job.kwargs)
        except (KeyError, TypeError):  # enqueued without the front door's check
            return -1
        bound.apply_defaults()
        given = _flat(bound)
        return sum(argument in given and bool(given[argument] == value) for argument, value in wanted.items())

    def _listed(self, jobs: list[EnqueuedJob], name: str, wanted: Mapping[str, Any]) -> str:
        def nearness(job: EnqueuedJob) -> tuple[bool, int, float]:
            return job.task == name, self._agreement(job, wanted), SequenceMatcher(None, job.task, name).ratio()

        if not jobs:
            return "nothing is."
        nearest = sorted(jobs, key=nearness, reverse=True)
        lines = [f"  {job}" for job in nearest[:LISTED]]
        lines += [f"  and {len(jobs) - LISTED} more"] if len(jobs) > LISTED else []
        return "\n".join(["these are:", *lines])


def _flat(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Give the arguments after the context by name, those of `**kwargs` too."""
    _context, *parameters = bound.signature.parameters.values()
    arguments: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name in bound.arguments:
            value = bound.arguments[parameter.name]
            arguments |= value if parameter.kind is parameter.VAR_KEYWORD else {parameter.name: value}
    return arguments


def _as_stored(value: Any) -> Any:
    """Give what an argument becomes on its way through Redis; what cannot go that way may be a matcher of a test."""
    try:
        return codec.deserialize(codec.serialize({"k": value}))["k"]
    except UnserializableError:
        return value


def _datetime(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _call(task: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    arguments = [*map(_shown, args), *(f"{name}={_shown(value)}" for name, value in kwargs.items())]
    return f"{task}({', '.join(arguments)})"


def _shown(value: Any) -> str:
    return truncate(repr(value), SHOWN)
