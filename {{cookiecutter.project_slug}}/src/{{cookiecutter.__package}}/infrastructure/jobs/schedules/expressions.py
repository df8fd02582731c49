"""When schedules are due, as people write it: checked, and what is wrong with what is refused."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from arq.typing import WEEKDAYS
from cronsim import CronSim, CronSimError

from ..errors import InvalidPolicyError

#: The fields of an expression, and what may stand in each.
FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31, L (the last day) or LW (the last weekday)",
    "month": "1 to 12, or JAN to DEC",
    "day of week": "0 to 7 (0 and 7 are Sunday), SUN to SAT, MON#2 (the second Monday) or 5L (the last Friday)",
}
#: The least and the greatest number that arq's `cron()` can find.
ARQ_FIELDS = {
    "month": (1, 12),
    "day": (1, 31),
    "weekday": (0, 6),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
#: Characters of the longest expression that is looked at.
LONGEST = 500


def checked_expression(expression: object) -> str:
    """Give a cron expression with one space between its fields.

    Raises:
        InvalidPolicyError: it is none; the message names the field.
    """
    if not isinstance(expression, str):
        raise InvalidPolicyError("cron", expression, f"give a text of {len(FIELDS)} fields: {', '.join(FIELDS)}")
    if len(expression) > LONGEST:
        raise InvalidPolicyError("cron", f"{expression[:50]}...", f"it is too long, give {LONGEST} characters at most")
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
    return bool(piece) and not re.match(r"(\w+)-\1/", piece)  # cronsim takes 5-5/2 for 5/2


def _problem(piece: str, position: int) -> str:
    field, values = list(FIELDS.items())[position]
    if re.fullmatch(r".+/0+", piece):
        return f"{field} {piece!r}: a step is 1 or more"
    ends = re.fullmatch(r"(\w+)-(\w+)(/\d+)?", piece)
    if ends and ends[1] == ends[2]:
        return f"{field} {piece!r}: a range of one has no step, give {ends[1]}"
    if ends and _is_readable(forwards := f"{ends[2]}-{ends[1]}", position):
        return f"{field} {piece!r}: the range runs backwards; give {forwards}, or two ranges"
    return f"{field} {piece!r}: give {values}; also *, ranges such as 1-5, steps such as */2, and lists of these"


def checked_options(options: dict[str, Any]) -> dict[str, Any]:
    """Give what arq's `cron()` says with lists for its sets.

    Raises:
        InvalidPolicyError: it would never happen, and arq would look for it without end.
    """
    checked = {name: sorted(each) if isinstance(each, set | list | tuple) else each for name, each in options.items()}
    for name, (least, greatest) in ARQ_FIELDS.items():
        value = checked[name]
        if value is None or (name == "weekday" and isinstance(value, str) and value.lower() in WEEKDAYS):
            continue
        values = value if isinstance(value, list) else [value]
        if not values or any(each not in range(least, greatest + 1) for each in values):
            names = f"; or one of {', '.join(WEEKDAYS)}" if name == "weekday" else ""
            raise InvalidPolicyError(name, options[name], f"give {least} to {greatest}, or a set of these{names}")
    days, months = ([each] if isinstance(each, int) else each for each in (checked["day"], checked["month"]))
    if min(days or [1]) > max(monthrange(2024, month)[1] for month in months or [1]):
        raise InvalidPolicyError("day", options["day"], "there is no such day, so it would never happen")
    return checked


def checked_zone(name: object) -> str:
    """Give the name of a time zone.

    Raises:
        InvalidPolicyError: there is none of that name.
    """
    try:
        ZoneInfo(name)  # type: ignore[arg-type] # whatever it is
    except (KeyError, ValueError, TypeError, OSError):
        near = get_close_matches(str(name), available_timezones(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "give a name such as 'Europe/Berlin' or 'UTC'"
        raise InvalidPolicyError("timezone", name, f"there is no such time zone; {hint}") from None
    return str(name)
