"""Schedules as they are stored: written, read, and run when their ticks come, whoever does it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import msgspec

from .. import scripts
from ..drafts import Draft
from ..errors import UnreadableError
from ..messages import new_job_id
from ..records import JobPriority, Misfire
from .ticks import recurrence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..messages import Message
    from ..pool import TaskPool
    from .ticks import Due, Recurrence

logger = logging.getLogger("arq.worker")

#: The most jobs that one tick, with those that were missed before it, can lead to.
MOST_JOBS = scripts.BATCH
#: Schedules that one call looks at.
LOOK = 100
#: Milliseconds for which a tick is left to workers that know its task.
UNKNOWN_TASK_DELAY = 10_000
#: What `tick.lua` says of a schedule that it has left alone, and of a run that was passed over.
LEFT_ALONE, PASSED_OVER = -1, -2


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A schedule as it is stored: checked, and with the name of its task."""

    id: str
    task: str
    recurrence: Recurrence
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    misfire: Misfire = Misfire.RUN_ONCE
    catch_up: int = 100
    #: Milliseconds by which a tick may be late without having been missed.
    grace: int = 60_000
    overlap: bool = True
    queue: str | None = None
    priority: JobPriority | None = None
    #: Key of the lane, for one that comes from arq's `cron()`.
    lane: str | None = None
    #: The id that each of its jobs has, for one that comes from arq's `cron()`.
    job_id: str | None = None
    #: Whether it comes from arq's `cron()`.
    arq: bool = False

    def encode(self, pool: TaskPool) -> bytes:
        """Give what is stored of it; see `decode`."""
        data = {
            "f": self.task,
            "a": self.args,
            "k": self.kwargs,
            "recurs": self.recurrence.stored(),
            "misfire": self.misfire.value,
            "catch_up": self.catch_up,
            "grace": self.grace,
            "overlap": self.overlap,
            "queue": self.queue,
            "priority": None if self.priority is None else int(self.priority),
            "lane": self.lane,
            "job_id": self.job_id,
            "arq": self.arq,
        }
        return pool.job_serializer(data)  # type: ignore[misc] # never None, see TaskPool

    @classmethod
    def decode(cls, pool: TaskPool, schedule_id: str, data: bytes) -> Self:
        """Read what `encode` gave.

        Raises:
            UnreadableError: it is damaged, or written by other code.
        """
        try:
            stored: dict[str, Any] = pool.job_deserializer(data)  # type: ignore[misc]
            priority = stored["priority"]
            return cls(
                id=schedule_id,
                task=stored["f"],
                args=tuple(stored["a"]),
                kwargs=stored["k"],
                recurrence=recurrence(stored["recurs"]),
                misfire=Misfire(stored["misfire"]),
                priority=None if priority is None else JobPriority(priority),
                **{name: stored[name] for name in ("catch_up", "grace", "overlap", "queue", "lane", "job_id", "arq")},
            )
        except Exception as error:
            raise UnreadableError(f"schedule {schedule_id!r} cannot be read: {error}; store it anew") from error

    def draft(self, pool: TaskPool) -> Draft:
        """Give what makes its jobs."""
        return Draft(pool, self.task, queue=self.queue, priority=self.priority, queue_key=self.lane)

    def chosen(self, due: Due, now: int) -> tuple[int, ...]:
        """Give those of the ticks that are run: all that are in time, and what `misfire` says of the rest.

        A run that is in time stands for what was missed before, where one run is enough.
        """
        in_time = tuple(tick for tick in due.ticks if now - tick <= self.grace)
        if self.misfire is Misfire.RUN_ALL:
            runs = due.ticks
        else:
            runs = in_time or (due.ticks[-1:] if self.misfire is Misfire.RUN_ONCE else ())
        return runs if self.overlap else runs[-1:]

    def job_ids(self, tick: int) -> tuple[str, str]:
        """Give the id of the job of a tick, and the one that it has where that is taken; none: there is no job then."""
        if self.job_id or self.arq:  # as arq does it: whoever has the id stands for the tick
            return self.job_id or f"{self.id}:{tick}", ""
        moment = datetime.fromtimestamp(tick / 1000, UTC).replace(tzinfo=None)
        wanted = f"{self.id}:{moment.isoformat(timespec='milliseconds').removesuffix('.000')}Z"
        return wanted, f"{wanted}:{new_job_id()}"


async def write(pool: TaskPool, entries: Sequence[Entry], *, owner: str = "") -> list[bool]:
    """Store schedules; their first ticks are the next ones by Redis's clock.

    Args:
        pool: the connection to Redis.
        entries: what to store. One that is there under that id is replaced; what is known of its runs stays.
        owner: the code that they come from, of which they are all: others of it are removed; `''`: made at run time.

    Returns:
        For each whether it is stored: not where code has one of that id, and this one was made at run time.
    """
    seconds, microseconds = await pool.time()
    now = seconds * 1000 + microseconds // 1000
    definitions = [entry.encode(pool) for entry in entries]
    listed = [
        (
            entry.id,
            sha256(definition).hexdigest()[:16],
            msgspec.json.encode(entry.recurrence.stored(), order="sorted").decode(),
            str(next(entry.recurrence.after(now))),
        )
        for entry, definition in zip(entries, definitions, strict=True)
    ]
    answers = await scripts.script(pool, "schedule")(args=[owner, scripts.packed(listed), *definitions])
    return [answer == 1 for answer in answers]


@dataclass(frozen=True)
class _Step:
    """What is to be done about one schedule that is due."""

    entry: Entry
    due: Due
    runs: tuple[int, ...]
    messages: list[Message]
    #: As `tick.lua` takes it.
    packed: list[Any]


class Ticker:
    """Enqueues the ticks that have come; however many do that at once, each tick leads to one job."""

    def __init__(self, pool: TaskPool, *, owner: str = "") -> None:
        """Prepare.

        Args:
            pool: the connection to Redis; tasks and their policies are those of its registry.
            owner: the code whose schedules are to be there.
        """
        self._pool = pool
        self._owner = owner
        #: Whether they are, as far as the last look has seen.
        self.written = False
        self._ticks = scripts.script(pool, "ticks")
        self._tick = scripts.script(pool, "tick")
        #: What could not be run, by schedule, revision and tick; it is told once.
        self._told: set[tuple[bytes, bytes, bytes]] = set()

    async def run_due(self) -> float | None:
        """Enqueue what is due by Redis's clock; give the seconds until the next tick, None if there is none."""
        stuck: set[tuple[bytes, bytes, bytes]] = set()
        while True:
            most = LOOK + len(stuck)
            now, wait, self.written, rows = await self._ticks(args=[most, self._owner])
            steps: dict[tuple[bytes, bytes, bytes], _Step] = {}
            for schedule_id, tick, revision, definition in rows:
                seen = schedule_id, revision, tick
                if seen in stuck:
                    continue
                try:
                    step = self._step(schedule_id.decode(), int(tick), revision.decode(), definition, now)
                except Exception as error:  # noqa: BLE001 - one that cannot be run keeps none of the others waiting
                    stuck.add(seen)
                    self._tell(seen, error)
                else:
                    if step is None:
                        stuck.add(seen)
                    else:
                        steps[seen] = step
            if not steps and len(rows) < most:
                return None if wait < 0 else wait / 1000
            answers = await self._run(list(steps.values()))
            for (seen, step), answer in zip(steps.items(), answers, strict=True):
                if isinstance(answer, Exception):
                    stuck.add(seen)
                    self._tell(seen, answer)
                else:
                    _log(step, answer)
            await asyncio.sleep(0)

    def _step(self, schedule_id: str, tick: int, revision: str, definition: bytes, now: int) -> _Step | None:
        entry = Entry.decode(self._pool, schedule_id, definition)
        registry = self._pool.registry
        if registry and registry.find_policy(entry.task) is None and now - tick < UNKNOWN_TASK_DELAY:
            return None  # who knows the task knows its queue, and whether it is unique
        due = entry.recurrence.due(tick, now, most=entry.catch_up)
        runs = entry.chosen(due, now)
        draft = entry.draft(self._pool)
        messages = [draft.message(entry.args, entry.kwargs) for _ in runs]
        jobs = [
            (*entry.job_ids(run), run, message.queue_key, message.locks)
            for run, message in zip(runs, messages, strict=True)
        ]
        packed = [schedule_id, revision, str(tick), str(due.upcoming), entry.overlap, jobs]
        return _Step(entry, due, runs, messages, packed)

    async def _run(self, steps: Sequence[_Step]) -> list[Any]:
        """Do so, as many in one call as lead to no more jobs than one call may."""
        answers: list[Any] = []
        batch: list[_Step] = []
        for step in [*steps, None]:
            if batch and (step is None or sum(len(each.messages) for each in [*batch, step]) > scripts.BATCH):
                payloads = [message.payload for each in batch for message in each.messages]
                answers += await self._tick(args=[scripts.packed([each.packed for each in batch]), *payloads])
                batch = []
            if step:
                batch.append(step)
        return answers

    def _tell(self, seen: tuple[bytes, bytes, bytes], error: Exception) -> None:
        if seen not in self._told:
            self._told.add(seen)
            logger.error("schedule %s: its tick waits, for it cannot be run", seen[0].decode(), exc_info=error)


def _log(step: _Step, answer: int) -> None:
    if answer == LEFT_ALONE:
        return
    name, due = step.entry.id, step.due
    if answer == PASSED_OVER:
        logger.info("schedule %s: passed over, for its last run has not ended", name)
        return
    missed = len(due.ticks) - len(step.runs)
    if due.dropped:
        logger.warning("schedule %s: missed ticks are dropped, the oldest beyond %d", name, step.entry.catch_up)
    if missed:
        logger.warning("schedule %s: %d missed ticks have no run of their own", name, missed)
    logger.info("schedule %s: enqueued %d jobs", name, answer)
