"""When schedules are due: by a cron expression, by an interval, or as arq's `cron()` says; ticks are ms since 1970."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from arq.cron import Options, next_cron
from arq.utils import to_unix_ms
from cronsim import CronSim, CronSimError

from .. import checks
from ..errors import InvalidPolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arq.cron import CronJob

#: The fields of an expression, and what may stand in each.
FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31, L (the last day) or LW (the last weekday)",
    "month": "1 to 12, or JAN to DEC",
    "day of week": "0 to 7 (0 and 7 are Sunday), SUN to SAT, MON#2 (the second Monday) or 5L (the last Friday)",
}
#: Characters of the longest expression that is looked at.
LONGEST = 500
SHORTEST_INTERVAL, LONGEST_INTERVAL = timedelta(seconds=1), timedelta(days=3650)
UNITS = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1_000, "millisecond": 1}


class Due(NamedTuple):
    """The ticks that have come."""

    #: The newest of them, in their order.
    ticks: tuple[int, ...]
    #: How many came before these.
    dropped: int
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

        Args:
            tick: the first of them; if it has not come yet, it is the next one.
            now: ms since 1970.
            most: of how many to tell; the others are counted.
        """
        ticks: deque[int] = deque(maxlen=most)
        number, later = 0, self.after(tick)
        while tick <= now:
            ticks.append(tick)
            number += 1
            tick = next(later)
        return Due(tuple(ticks), number - len(ticks), tick)


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
        recurrence = cls(_checked_expression(expression), _checked_zone(timezone))
        if not any(recurrence.after(0)):
            raise InvalidPolicyError("cron", expression, "there is no such day, so it would never happen")
        return recurrence

    def stored(self) -> dict[str, Any]:
        """See the base."""
        return {"cron": self.text, "tz": self.timezone}

    def after(self, moment: int) -> Iterator[int]:
        """See the base. Each tick is later than the one before, also where two fall into an hour that is left out."""
        for tick in CronSim(self.text, datetime.fromtimestamp(moment / 1000, self._zone)):
            milliseconds = to_unix_ms(tick)
            if milliseconds > moment:
                moment = milliseconds
                yield moment

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
        return Due(tuple(upcoming - self.every * back for back in range(told, 0, -1)), number - told, upcoming)


@dataclass(frozen=True)
class ArqRecurrence(Recurrence):
    """What arq's `cron()` says, as arq reads it."""

    options: dict[str, Any]
    timezone: str

    @classmethod
    def of(cls, cron_job: CronJob, timezone: tzinfo) -> ArqRecurrence:
        """Take over what a cron job says, in the time zone of its worker."""
        names = Options.__dataclass_fields__
        options = {name: _plain(getattr(cron_job, name)) for name in names}
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


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | list | tuple) else value


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if name[0] in "+-":
        return datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo or UTC
    return ZoneInfo(name)


def _zone_name(zone: tzinfo) -> str:
    name = getattr(zone, "key", None) or datetime.now(zone).replace(microsecond=0).isoformat()[19:]
    return "UTC" if name == "+00:00" else name


def _checked_zone(name: object) -> str:
    try:
        ZoneInfo(name)  # type: ignore[arg-type] # whatever it is
    except (KeyError, ValueError, TypeError, OSError):
        near = get_close_matches(str(name), available_timezones(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "give a name such as 'Europe/Berlin' or 'UTC'"
        raise InvalidPolicyError("timezone", name, f"there is no such time zone; {hint}") from None
    return str(name)


def _checked_expression(expression: object) -> str:
    if not isinstance(expression, str) or len(expression) > LONGEST:
        raise InvalidPolicyError("cron", expression, f"give a text of {len(FIELDS)} fields: {', '.join(FIELDS)}")
    parts = expression.split()
    if len(parts) != len(FIELDS):
        seconds = "; there is none for seconds, see `interval`" if len(parts) > len(FIELDS) else ""
        number = f"{len(parts)} field{'' if len(parts) == 1 else 's'}"
        fields = f"it has {number}, give {len(FIELDS)}: {', '.join(FIELDS)}{seconds}"
        raise InvalidPolicyError("cron", expression, fields)
    for position, part in enumerate(parts):
        for piece in part.split(","):
            if not _is_readable(piece, position):
                problem = _problem(piece, position)
                raise InvalidPolicyError("cron", expression, problem)
    text = " ".join(parts)
    try:
        CronSim(text, datetime.fromtimestamp(0, UTC))
    except CronSimError:  # though each field by itself can be read
        raise InvalidPolicyError("cron", expression, "there is no such day, so it would never happen") from None
    return text


def _is_readable(piece: str, position: int) -> bool:
    fields = ["*"] * len(FIELDS)
    fields[position] = piece
    try:
        CronSim(" ".join(fields), datetime.fromtimestamp(0, UTC))
    except (CronSimError, ValueError):
        return False
    return bool(piece)


def _problem(piece: str, position: int) -> str:
    field, values = list(FIELDS.items())[position]
    ends = re.fullmatch(r"(\w+)-(\w+)(/\d+)?", piece)
    if ends and _is_readable(ends[1], position) and _is_readable(ends[2], position):
        return f"{field} {piece!r}: the range runs backwards; give {ends[2]}-{ends[1]}, or two ranges"
    if re.fullmatch(r".+/0+", piece):
        return f"{field} {piece!r}: a step is 1 or more"
    return f"{field} {piece!r}: give {values}; also *, ranges such as 1-5, steps such as */2, and lists of these"
