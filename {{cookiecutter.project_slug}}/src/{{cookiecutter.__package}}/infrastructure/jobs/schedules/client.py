"""Schedules: tasks that are enqueued at certain times, or again and again.

In code they stand in `WorkerSettings.schedules`; at run time `Schedules` makes, lists and removes them. Times are those
of Redis's clock, so that it does not matter what the clocks of the workers say.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .. import checks, keys, scripts
from ..answers import answering
from ..errors import InvalidPolicyError, InvalidScheduleError, ScheduleNotFoundError, UnreadableError
from ..lookup import UNKNOWN_TASK
from ..records import Misfire, ScheduleRecord
from ..registry import as_function, checked_name
from .ticks import CronRecurrence, IntervalRecurrence
from .timetable import MOST_JOBS, Entry, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..pool import TaskPool
    from ..records import JobPriority
    from ..registry import TaskFunction, TaskRegistry
    from .ticks import Recurrence

    Records = list[ScheduleRecord]  # in the class, `list` is its method

#: Characters of the longest name.
LONGEST_NAME = 200


@dataclass(frozen=True)
class Schedule:
    """When a task is to be enqueued, and with what.

    Exactly one of `cron` and `interval` is given.

    Raises:
        InvalidScheduleError: something makes no sense; the message names it, and for a cron expression the field.
    """

    #: The task's name, its dotted import path, the function itself, or the `Task` made from it.
    task: str | TaskFunction
    #: What it is called, and its id; by default as the task. Another of the same name takes its place.
    name: str = ""
    _: KW_ONLY
    #: Five fields: minute, hour, day of month, month, day of week.
    cron: str | None = None
    #: Seconds, or a timedelta, from one tick to the next; the first is counted from when the schedule is made.
    interval: float | timedelta | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    #: The time zone whose wall clock `cron` means.
    timezone: str = "UTC"
    #: What becomes of ticks that were missed.
    misfire: Misfire = Misfire.RUN_ONCE
    #: How many ticks are made up for at once, 500 at most; the oldest beyond that are dropped.
    catch_up: int = 100
    #: Seconds, or a timedelta, by which a tick may be late without having been missed; 1 second at least.
    grace: float | timedelta = 60
    #: False: a tick is passed over while the job of the last run has not ended.
    overlap: bool = True
    #: The queue, and how urgent its jobs are; by default as the task says.
    queue: str | None = None
    priority: JobPriority | None = None
    recurrence: Recurrence = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check it, and bring it into its one form."""
        name = self.name or (self.task if isinstance(self.task, str) else as_function(self.task).name)
        with _told_as_schedule(name):
            values = self._checked(name)
        for setting, value in values.items():
            object.__setattr__(self, setting, value)

    def _checked(self, name: str) -> dict[str, Any]:
        if (self.cron is None) == (self.interval is None):
            raise InvalidPolicyError("cron", self.cron, f"give either this or an interval; interval={self.interval!r}")
        if self.interval is not None and self.timezone != "UTC":
            raise InvalidPolicyError("timezone", self.timezone, "an interval has none, leave it out")
        if self.misfire not in tuple(Misfire):
            raise InvalidPolicyError("misfire", self.misfire, f"give {', '.join(Misfire)}")
        if checks.count("catch_up", self.catch_up) > MOST_JOBS:
            raise InvalidPolicyError("catch_up", self.catch_up, f"give {MOST_JOBS} at most")
        checks.flag("overlap", self.overlap)
        if not isinstance(self.args, list | tuple):
            raise InvalidPolicyError("args", self.args, "give a list or a tuple")
        if not isinstance(self.kwargs, Mapping) or not all(isinstance(key, str) for key in self.kwargs):
            raise InvalidPolicyError("kwargs", self.kwargs, "give a dict whose keys are names")
        if (grace := checks.duration("grace", self.grace)) < timedelta(seconds=1):
            raise InvalidPolicyError("grace", self.grace, "give 1 second or more: no tick comes at its very moment")
        return {
            "name": _checked_name(name),
            "recurrence": (
                CronRecurrence.of(self.cron, self.timezone)
                if self.interval is None
                else IntervalRecurrence.of(self.interval)
            ),
            "args": tuple(self.args),
            "kwargs": dict(self.kwargs),
            "misfire": Misfire(self.misfire),
            "grace": grace,
            "queue": None if self.queue is None else checks.queue("queue", self.queue),
            "priority": None if self.priority is None else checks.priority("priority", self.priority),
        }

    def entry(self, registry: TaskRegistry | None) -> Entry:
        """Give it as it is stored.

        Raises:
            UnknownTaskError: no such task is registered.
            InvalidJobError: the arguments do not fit the task.
        """
        return Entry(
            id=self.name,
            task=checked_name(registry, self.task, self.args, self.kwargs),
            recurrence=self.recurrence,
            args=self.args,
            kwargs=dict(self.kwargs),
            misfire=self.misfire,
            catch_up=self.catch_up,
            grace=round(checks.duration("grace", self.grace) / timedelta(milliseconds=1)),
            overlap=self.overlap,
            queue=self.queue,
            priority=self.priority,
        )


class Schedules:
    """The schedules that there are: of code, as its workers have written them, and of run time.

    Every call raises `QueueUnavailable` where Redis does not answer.
    """

    def __init__(self, pool: TaskPool) -> None:
        """Prepare; tasks and their policies are those of the pool's registry."""
        self._pool = pool

    async def add(self, schedule: Schedule) -> ScheduleRecord:
        """Store a schedule; one of the same name is replaced.

        What is known of that one's runs stays, a pause too; and its next tick, unless it is due at other times now.

        Raises:
            InvalidScheduleError: code has one of that name.
            UnknownTaskError: no such task is registered.
            InvalidJobError: the arguments do not fit the task.
            UnserializableError: an argument cannot be stored.
            PayloadTooLargeError: the arguments are larger than a job may be.
        """
        entry = schedule.entry(self._pool.registry)
        entry.draft(self._pool).message(entry.args, entry.kwargs)
        async with answering(f"schedule {entry.id!r}"):
            [stored] = await write(self._pool, [entry])
        if not stored:
            raise InvalidScheduleError(entry.id, "it stands in WorkerSettings; change it there, or give another name")
        return await self.get(entry.id)

    async def list(self) -> Records:
        """Give all schedules, the next one first, those that are paused last."""
        async with answering("schedules"):
            ids = [name.decode() for name in await self._pool.zrange(keys.SCHEDULES, 0, -1)]
            async with self._pool.pipeline(transaction=False) as pipe:
                for schedule_id in ids:
                    pipe.hgetall(keys.schedule(schedule_id))
                found = await pipe.execute()
        return [self._record(each, known) for each, known in zip(ids, found, strict=True) if known]

    async def get(self, schedule_id: str) -> ScheduleRecord:
        """Give one schedule.

        Raises:
            ScheduleNotFoundError: there is none of that id.
        """
        return self._record(schedule_id, await self._read(schedule_id))

    async def remove(self, schedule_id: str) -> bool:
        """Remove a schedule; jobs that were enqueued for it stay. False if there is none.

        Raises:
            InvalidScheduleError: it comes from code.
        """
        try:
            await self._change(schedule_id, "remove")
        except ScheduleNotFoundError:
            return False
        return True

    async def pause(self, schedule_id: str) -> None:
        """Let its ticks go by until `resume`, whoever stores it in the meantime.

        Raises:
            ScheduleNotFoundError: there is none of that id.
        """
        await self._change(schedule_id, "pause")

    async def resume(self, schedule_id: str) -> None:
        """Let it go on with its next tick; those that have gone by were not missed.

        Raises:
            ScheduleNotFoundError: there is none of that id.
        """
        answer = b"changed"
        while answer == b"changed":
            known = await self._read(schedule_id)
            entry = Entry.decode(self._pool, schedule_id, known[b"definition"])
            async with answering(f"schedule {schedule_id!r}"):
                seconds, microseconds = await self._pool.time()
            now = seconds * 1000 + microseconds // 1000
            upcoming = entry.recurrence.due(int(known[b"next"]), now, most=1).upcoming
            answer = await self._change(schedule_id, "resume", known[b"revision"], upcoming)

    async def run_now(self, schedule_id: str) -> str | None:
        """Enqueue a job for it at once, and give its id; its next tick comes all the same, and it may be paused.

        Returns:
            None if its task is unique, and the same job is there.

        Raises:
            ScheduleNotFoundError: there is none of that id.
            UnreadableError: it is damaged, or written by other code; the same for `resume`.
            QueueFull: the queue holds as many jobs as it may.
        """
        entry = Entry.decode(self._pool, schedule_id, (await self._read(schedule_id))[b"definition"])
        where: dict[str, Any] = {"queue": entry.queue, "priority": entry.priority, "queue_key": entry.lane}
        job_id = await self._pool.enqueue(entry.task, entry.args, entry.kwargs, **where)
        if job_id:
            async with answering(f"schedule {schedule_id!r}"):
                await scripts.script(self._pool, "ran")(args=[schedule_id, job_id])
        return job_id

    async def _change(self, schedule_id: str, wish: str, *read: Any) -> bytes:
        async with answering(f"schedule {schedule_id!r}"):
            answer: bytes = await scripts.script(self._pool, "reschedule")(args=[schedule_id, wish, *read])
        if answer == b"unknown":
            raise ScheduleNotFoundError(schedule_id)
        if answer == b"code":
            problem = "it stands in WorkerSettings, and would be back when a worker starts"
            raise InvalidScheduleError(schedule_id, f"{problem}; take it out there, or pause it")
        return answer

    async def _read(self, schedule_id: str) -> dict[bytes, bytes]:
        async with answering(f"schedule {schedule_id!r}"):
            client: Any = self._pool  # its types are those of the synchronous client, too
            known: dict[bytes, bytes] = await client.hgetall(keys.schedule(schedule_id))
        if not known:
            raise ScheduleNotFoundError(schedule_id)
        return known

    def _record(self, schedule_id: str, known: Mapping[bytes, bytes]) -> ScheduleRecord:
        try:
            entry = Entry.decode(self._pool, schedule_id, known[b"definition"])
        except UnreadableError:  # that it is there can be told, and it can be removed
            entry = Entry(id=schedule_id, task=UNKNOWN_TASK, recurrence=CronRecurrence(UNKNOWN_TASK, "UTC"))
        paused = known.get(b"paused") == b"1"
        last, job_id = known.get(b"last"), known.get(b"job")
        return ScheduleRecord(
            id=schedule_id,
            name=schedule_id,
            task=entry.task,
            schedule=entry.recurrence.text,
            timezone=entry.recurrence.timezone,
            next_run=None if paused else _moment(known[b"next"]),
            last_run=_moment(last) if last else None,
            last_job_id=job_id.decode() if job_id else None,
            paused=paused,
            misfire=entry.misfire,
            overlap=entry.overlap,
            args=entry.args,
            kwargs=entry.kwargs,
            queue=entry.queue if entry.lane is None else keys.queue_name(entry.lane),
            priority=entry.priority,
            from_code=known[b"owner"] != b"",
        )


def _moment(milliseconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        problem = f"give a text of at most {LONGEST_NAME} printable characters, without space at its ends"
        raise InvalidPolicyError("name", name, problem)
    return name


@contextmanager
def _told_as_schedule(name: str) -> Iterator[None]:
    try:
        yield
    except InvalidPolicyError as error:
        raise InvalidScheduleError(name, error) from None
