"""What is kept of dead letters: reading and choosing them, and making a job of one again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypedDict

from . import codec, keys
from .answers import answering
from .errors import DeadLetterNotFoundError, InvalidQueryError, UnreplayableError
from .lookup import UNKNOWN_TASK, ended_record, read_attempt
from .messages import Message, Timing, new_job_id
from .origins import read_origin
from .paging import PART, SortedSets, Span
from .records import FailureCause, JobRecord

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from .paging import Entry
    from .pool import TaskPool

#: Seconds for one step of what is done to many dead letters.
BULK_TIMEOUT = 10.0


class LetterFilters(TypedDict, total=False):
    """Which dead letters are meant."""

    #: Name of their task.
    task: str | None
    #: Name of their queue.
    queue: str | None
    #: How they came to their failure: one, several, or None for any.
    cause: FailureCause | str | Iterable[FailureCause | str] | None
    #: They died no earlier.
    since: datetime | None
    #: They died earlier.
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Letter:
    """What is kept of one."""

    job_id: str
    #: When it died, in ms; that tells it from a later one of the same id.
    died: float
    #: Its result, see `outcomes.result_data`, and as `p` its payload if that could not be read.
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which of them are meant, checked."""

    task: str | None
    queue: str | None
    causes: frozenset[str] | None
    span: Span

    @classmethod
    def of(cls, filters: LetterFilters) -> Self:
        """Read what a caller says.

        Raises:
            InvalidQueryError: a filter makes no sense; the message says which.
        """
        for name, value in filters.items():
            if name not in LetterFilters.__optional_keys__:
                known = ", ".join(sorted(LetterFilters.__optional_keys__))
                raise InvalidQueryError(name, value, f"there is no such filter, only {known}")
        span = Span.of(filters.get("since"), filters.get("until"))
        return cls(filters.get("task"), filters.get("queue"), _causes(filters.get("cause")), span)

    @property
    def everything(self) -> bool:
        """Whether all are meant that died within the span."""
        return self.task is None and self.queue is None and self.causes is None

    def wants(self, letter: Letter) -> bool:
        """Tell whether one fits that died within the span."""
        data = letter.data
        return (
            self.task in {None, data["f"]}
            and self.queue in {None, keys.queue_name(data["q"])}
            and (self.causes is None or data.get("n") in self.causes)
        )


class LetterStore:
    """Reads them."""

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self.sets = SortedSets(pool)

    async def read_one(self, job_id: str) -> Letter:
        """Read one.

        Raises:
            DeadLetterNotFoundError: there is none of that id.
        """
        async with self._pool.pipeline(transaction=True) as pipe:
            pipe.zscore(keys.DEAD, job_id)
            pipe.get(keys.dead_letter(job_id))
            died, stored = await pipe.execute()
        if died is None or stored is None:
            raise DeadLetterNotFoundError(job_id)
        return self._letter(job_id, died, stored)

    async def read(self, entries: Sequence[Entry], wanted: LetterFilter) -> list[Letter | None]:
        """Read several; None stands for one that is gone, or not wanted."""
        stored = await self._pool.mget([keys.dead_letter(entry.name.decode()) for entry in entries])
        letters = [
            self._letter(entry.name.decode(), float(entry.score), value) if value else None
            for entry, value in zip(entries, stored, strict=True)
        ]
        return [letter if letter and wanted.wants(letter) else None for letter in letters]

    async def steps(self, wanted: LetterFilter) -> AsyncGenerator[list[Letter], None]:
        """Give those that are wanted and have died by now, the earliest first, some at a time."""
        async with answering("dead letters"):
            seconds, microseconds = await self._pool.time()
        first, last = wanted.span.bounds
        last = min(last, seconds * 1000 + microseconds // 1000)
        after: tuple[str, bytes] | None = None
        while True:
            async with answering("dead letters", BULK_TIMEOUT):
                entries = await self.sets.read([keys.DEAD], PART, first=first, last=last, after=after)
                letters = [letter for letter in await self.read(entries, wanted) if letter] if entries else []
            if letters:
                yield letters
            if len(entries) < PART:
                return
            after = (entries[-1].score, entries[-1].name)

    async def records(self, letters: Sequence[Letter]) -> list[JobRecord]:
        """Give all that is known of some."""
        async with self._pool.pipeline(transaction=False) as pipe:
            for letter in letters:
                pipe.lrange(keys.dead_attempts(letter.job_id), 0, -1)
            starts = await pipe.execute()
        return [
            ended_record(letter.job_id, letter.data, earlier=tuple(map(read_attempt, lines)))
            for letter, lines in zip(letters, starts, strict=True)
        ]

    def _letter(self, job_id: str, died: float, stored: bytes) -> Letter:
        try:
            data = (self._pool.job_deserializer or codec.deserialize)(stored)
        except Exception:  # noqa: BLE001 - one that is damaged must not keep the others from being read
            queue_key = self._pool.default_queue_name
            data = {"t": 0, "f": UNKNOWN_TASK, "a": (), "k": {}, "et": 0, "st": 0, "ft": int(died), "q": queue_key}
            data |= {"s": False, "r": "what was kept of it cannot be read", "n": FailureCause.UNDECODABLE.value}
        return Letter(job_id, died, data)


def new_message(
    pool: TaskPool,
    letter: Letter,
    *,
    task: str | None = None,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
    defer_by: float | timedelta | None = None,
) -> Message:
    """Make a new job of a dead letter; see `DeadLetters.replay`.

    Raises:
        UnreplayableError: what it was to do is not known.
        JobError: an edited argument does not fit, or cannot be stored.
    """
    data = letter.data
    edited = (task, args, kwargs) != (None, None, None)
    queue_key = keys.queue(queue, keys.priority(data["q"])) if queue else data["q"]
    if "p" in data:
        try:
            payload = (pool.job_deserializer or codec.deserialize)(data["p"])
            data = {**data, "f": payload["f"], "a": payload["a"], "k": payload["k"], **read_origin(payload)}
        except Exception:  # noqa: BLE001 - whatever is wrong with it
            if not edited:
                timing = Timing.of(UNKNOWN_TASK, defer_until=None, defer_by=defer_by, expires=None)
                return Message(new_job_id(), *timing, False, (), UNKNOWN_TASK, queue_key, data["p"])  # noqa: FBT003
    name = pool.registry.name_of(task) if task and pool.registry else task or data["f"]
    if name == UNKNOWN_TASK:
        raise UnreplayableError(letter.job_id, "what it was to do is not known; name a task, and its arguments")
    args = data["a"] if args is None else args
    kwargs = data["k"] if kwargs is None else kwargs
    if edited and pool.registry and pool.registry.find_policy(name):
        pool.registry.check_call(name, args, kwargs)
    return pool.prepare(
        name,
        args,
        kwargs,
        queue_key=queue_key,
        defer_by=defer_by,
        correlation_id=data.get("c"),
        replay_of=data.get("o") or letter.job_id,
        owner=data.get("u", ""),
    )


def _causes(cause: FailureCause | str | Iterable[FailureCause | str] | None) -> frozenset[str] | None:
    if cause is None:
        return None
    wanted = [cause] if isinstance(cause, str) else list(cause)
    for name in wanted:
        if name not in set(FailureCause):
            raise InvalidQueryError("cause", name, f"give one of {', '.join(FailureCause)}, or several of them")
    if not wanted:
        raise InvalidQueryError("cause", cause, "give one at least; None stands for any")
    return frozenset(map(str, wanted))
