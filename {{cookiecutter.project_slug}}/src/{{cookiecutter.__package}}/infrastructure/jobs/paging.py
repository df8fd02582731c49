"""Lists of jobs a page at a time: each call looks at a limited number of them, however many there are."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, NamedTuple, Self, TypeVar

import msgspec

from . import scripts
from .errors import InvalidQueryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis

T = TypeVar("T")

#: Jobs that one call looks at, of which those that it wants may be few or none.
LOOK = 1000
#: Jobs of which details are read together.
PART = 100

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list of jobs."""

    jobs: tuple[T, ...]
    #: What the next call takes to go on; None: that was all.
    cursor: str | None


class Entry(NamedTuple):
    """One entry of a sorted set."""

    #: As Redis writes it, so that not a digit is lost.
    score: str
    name: bytes
    key: str

    @property
    def place(self) -> tuple[float, bytes]:
        """Where it stands in a list of several sorted sets."""
        return float(self.score), self.name


class Cursor(NamedTuple):
    """Where a reader has stopped: in which part of a list, and after which entry; without one, at its beginning."""

    part: str
    score: str = ""
    job_id: str = ""

    def encode(self) -> str:
        """Give it as a text that fits into a URL."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str | None, parts: Sequence[str]) -> Self:
        """Read what `encode` gave; without anything it is the beginning of the first part.

        Raises:
            InvalidQueryError: it was not given by a list of these parts.
        """
        if text is None:
            return cls(parts[0])
        try:
            cursor = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
            known = cursor.part in parts and math.isfinite(float(cursor.score or 0))
        except (ValueError, msgspec.MsgspecError):
            known = False
        if not known:
            raise InvalidQueryError("cursor", text, "no earlier page with these filters gave it; leave it out to begin")
        return cursor


class SortedSets:
    """Reads sorted sets as if they were one, from where a reader has stopped, in one round trip."""

    def __init__(self, client: Redis) -> None:
        self._script = scripts.script(client, "page")

    async def read(
        self,
        names: Sequence[str],
        count: int,
        *,
        down: bool = False,
        first: float | str = "-inf",
        last: float | str = "+inf",
        after: tuple[str, bytes] | None = None,
    ) -> list[Entry]:
        """Give up to `count` entries in the order of their scores, and of their names where these are equal.

        Args:
            names: the keys of the sets.
            count: how many.
            down: from the highest score to the lowest.
            first: score to begin with.
            last: score to end with.
            after: score and name of the entry after which to go on; it need not be there any more.
        """
        score, name = after or ("", b"")
        pages = await self._script(keys=names, args=[int(down), first, last, count, score, name])
        entries = [
            Entry(score.decode(), name, key)
            for key, page in zip(names, pages, strict=True)
            for name, score in zip(page[::2], page[1::2], strict=True)
        ]
        return sorted(entries, key=lambda entry: entry.place, reverse=down)[:count]


async def pick(
    entries: Sequence[Entry], read: Callable[[Sequence[Entry]], Awaitable[Sequence[T | None]]], *, limit: int, look: int
) -> tuple[list[T], Entry | None]:
    """Read entries, a part at a time, until there are enough of those that are wanted.

    Args:
        entries: one more than `look`, if there are more.
        read: gives what each stands for, or None where that is not wanted.
        limit: how many are enough.
        look: at how many entries to look at most.

    Returns:
        What was found, and the entry after which to go on; None if there are no more.
    """
    found: list[T] = []
    for start in range(0, min(look, len(entries)), PART):
        part = entries[start : min(start + PART, look)]
        for entry, job in zip(part, await read(part), strict=True):
            if job is not None:
                found.append(job)
            if len(found) == limit:
                return found, entry if entry is not entries[-1] else None
    return found, entries[look - 1] if len(entries) > look else None


def check_limit(limit: int) -> int:
    """Refuse a number of jobs that no page can have.

    Raises:
        InvalidQueryError: it is none from 1 to `LOOK`.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LOOK:
        raise InvalidQueryError("limit", limit, f"give a whole number from 1 to {LOOK}")
    return limit


class Span(NamedTuple):
    """A span of time in ms, its end left out; None: it has no such bound."""

    since: int | None
    until: int | None

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None) -> Self:
        """Read what a caller says; a datetime without a zone is local time, as everywhere in Python.

        Raises:
            InvalidQueryError: one is no datetime, or the span ends before it begins.
        """
        span = cls(_milliseconds("since", since), _milliseconds("until", until))
        if span.since is not None and span.until is not None and span.since > span.until:
            raise InvalidQueryError("since", since.isoformat() if since else since, f"is later than until={until}")
        return span

    @property
    def bounds(self) -> tuple[float, float]:
        """The first and the last ms that belong to it."""
        since, until = self
        return float("-inf") if since is None else since, float("inf") if until is None else until - 1

    def __contains__(self, moment: object) -> bool:
        """Tell whether a datetime is in it; what has no time is in no span with a bound."""
        if not isinstance(moment, datetime):
            return self == (None, None)
        first, last = self.bounds
        return first <= (moment - _EPOCH) / _MILLISECOND <= last


def _milliseconds(setting: str, value: datetime | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidQueryError(setting, value, "give a datetime")
    return -((_EPOCH - value.astimezone()) // _MILLISECOND)  # rounded up
