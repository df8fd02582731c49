"""When schedules are due: by a cron expression, by an interval, or as arq's `cron()` says; ticks are ms since 1970."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import chain, count
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from arq.cron import Options, next_cron
from arq.utils import to_unix_ms
from cronsim import CronSim

from .. import checks
from ..errors import InvalidPolicyError
from .expressions import checked_expression, checked_options, checked_zone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arq.cron import CronJob

SHORTEST_INTERVAL, LONGEST_INTERVAL = timedelta(seconds=1), timedelta(days=3650)
UNITS = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1_000, "millisecond": 1}


class Due(NamedTuple):
    """The ticks that have come."""

    #: The newest of them, in their order.
    ticks: tuple[int, ...]
    #: Whether others came before these.
    dropped: bool
    #: The tick that comes next.
    upcoming: int


class Recurrence(ABC):
    """What comes again and again."""

    #: As people read it.
    text: str
    #: Name of the time zone by which it goes.
    timezone: str

    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """Give it as plain data; `recurrence` reads that."""

    @abstractmethod
    def after(self, moment: int) -> Iterator[int]:
        """Give the ticks that come later than that, without end."""

    def due(self, tick: int, now: int, *, most: int) -> Due:
        """Give the ticks from this one on that have come, and the one that comes next.

        No more of the time that has gone by is looked at than is needed: a year takes no longer than a day.

        Args:
            tick: the first of them; if it has not come yet, it is the next one.
            now: ms since 1970.
            most: of how many to tell.
        """
        span = UNITS["minute"]
        while True:
            since = max(tick, now - span)
            later = chain((tick,), self.after(tick)) if since == tick else self.after(since - 1)
            ticks: deque[int] = deque(maxlen=most)
            number = 0
            while (upcoming := next(later)) <= now:
                ticks.append(upcoming)
                number += 1
            if since == tick or number >= most:
                return Due(tuple(ticks), since > tick or number > most, upcoming)
            span *= 8


@dataclass(frozen=True)
class CronRecurrence(Recurrence):
    """A cron expression of five fields, by the wall clock of a time zone."""

    text: str
    timezone: str

    @classmethod
    def of(cls, expression: object, timezone: object) -> CronRecurrence:
        """Check what a caller says.

        Raises:
            InvalidPolicyError: it is none; the message names the field.
        """
        recurrence = cls(checked_expression(expression), checked_zone(timezone))
        if not any(recurrence.after(0)):
            raise InvalidPolicyError("cron", expression, "there is no such day, so it would never happen")
        return recurrence

    def stored(self) -> dict[str, Any]:
        """See the base."""
        return {"cron": self.text, "tz": self.timezone}

    def after(self, moment: int) -> Iterator[int]:
        """See the base. Each tick is later than the one before, also where two fall into an hour that is left out."""
        start = datetime.fromtimestamp(moment / 1000, self._zone)
        for tick in CronSim(self.text, start) if self._is_fixed else self._shown(start):
            milliseconds = to_unix_ms(tick)
            if milliseconds > moment:
                moment = milliseconds
                yield moment

    def _shown(self, start: datetime) -> Iterator[datetime]:
        """Give the moments at which the zone's clock shows such a time: twice in an hour that comes twice.

        cronsim's own way in a zone leaves some out, or never ends, where a change is not by whole hours, on the hour.
        """
        day = timedelta(days=1)
        in_a_day = (start.astimezone(UTC) + day).astimezone(self._zone)  # by then the clock may have gone back
        repeated: deque[datetime] = deque()
        for time in CronSim(self.text, min(each.replace(tzinfo=None) for each in (start, in_a_day - day))):
            first, second = (time.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            while repeated and repeated[0] < first:
                yield repeated.popleft()
            if first <= second:  # else it is left out
                yield first
            if first < second:
                repeated.append(second)

    @cached_property
    def _is_fixed(self) -> bool:
        """Whether it names times of the day, as Debian's cron tells it; in UTC that makes no difference."""
        return self.timezone == "UTC" or not any(field.startswith("*") for field in self.text.split()[:2])

    @cached_property
    def _zone(self) -> tzinfo:
        return _zone(self.timezone)


@dataclass(frozen=True)
class IntervalRecurrence(Recurrence):
    """The same time again and again, counted from the first tick, so that it does not drift."""

    every: int
    timezone = "UTC"

    @classmethod
    def of(cls, interval: object) -> IntervalRecurrence:
        """Check what a caller says.

        Args:
            interval: seconds, or a timedelta.

        Raises:
            InvalidPolicyError: it is none, or too short or too long.
        """
        duration = checks.duration("interval", interval)
        if not SHORTEST_INTERVAL <= duration <= LONGEST_INTERVAL:
            raise InvalidPolicyError("interval", interval, "give from 1 second to 3650 days")
        return cls(round(duration / timedelta(milliseconds=1)))

    @property
    def text(self) -> str:  # type: ignore[override] # it is read only
        """As people read it: `every 5 minutes`."""
        parts, rest = [], self.every
        for unit, length in UNITS.items():
            number, rest = divmod(rest, length)
            if number:
                parts.append(f"{number} {unit}{'s' if number > 1 else ''}")
        return f"every {' '.join(parts).removeprefix('1 ') if len(parts) == 1 else ' '.join(parts)}"

    def stored(self) -> dict[str, Any]:
        """See the base."""
        return {"every": self.every}

    def after(self, moment: int) -> Iterator[int]:
        """See the base: the first is a whole interval later."""
        return count(moment + self.every, self.every)

    def due(self, tick: int, now: int, *, most: int) -> Due:
        """See the base; here it need not be counted out."""
        number = max(0, (now - tick) // self.every + 1)
        upcoming = tick + number * self.every
        told = min(number, most)
        return Due(tuple(upcoming - self.every * back for back in range(told, 0, -1)), number > told, upcoming)


@dataclass(frozen=True)
class ArqRecurrence(Recurrence):
    """What arq's `cron()` says, as arq reads it."""

    options: dict[str, Any]
    timezone: str

    @classmethod
    def of(cls, cron_job: CronJob, timezone: tzinfo) -> ArqRecurrence:
        """Take over what a cron job says, in the time zone of its worker.

        Raises:
            InvalidPolicyError: it would never happen; the message names the field.
        """
        options = checked_options({name: getattr(cron_job, name) for name in Options.__dataclass_fields__})
        return cls(options, _zone_name(timezone))

    @property
    def text(self) -> str:  # type: ignore[override] # it is read only
        """As it was written, more or less: `cron(hour=3, minute=0)`."""
        usual = {"second": 0, "microsecond": 123_456}
        said = {name: value for name, value in self.options.items() if value != usual.get(name)}
        return f"cron({', '.join(f'{name}={value!r}' for name, value in said.items())})"

    def stored(self) -> dict[str, Any]:
        """See the base."""
        return {"arq": self.options, "tz": self.timezone}

    def after(self, moment: int) -> Iterator[int]:
        """See the base."""
        tick = datetime.fromtimestamp(moment / 1000, _zone(self.timezone))
        while True:
            tick = next_cron(tick, **self.options)
            milliseconds = to_unix_ms(tick)
            if milliseconds > moment:  # else it falls into an hour that is left out
                moment = milliseconds
                yield moment


def recurrence(stored: dict[str, Any]) -> Recurrence:
    """Read what `Recurrence.stored` gave."""
    if "cron" in stored:
        return CronRecurrence(stored["cron"], stored["tz"])
    if "every" in stored:
        return IntervalRecurrence(stored["every"])
    return ArqRecurrence(stored["arq"], stored["tz"])


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if name[0] in "+-":
        return datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo or UTC
    return ZoneInfo(name)


def _zone_name(zone: tzinfo) -> str:
    name = getattr(zone, "key", None) or datetime.now(zone).replace(microsecond=0).isoformat()[19:]
    return "UTC" if name == "+00:00" else name
