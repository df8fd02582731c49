"""How moments, durations, and arguments of tasks are written on the command line."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..infrastructure.jobs import JobPriority

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw]?)")


def duration(text: str) -> timedelta:
    """Read `90`, `90s`, `1.5m`, `2h`, `7d` or `1w`; a number alone is seconds.

    Raises:
        typer.BadParameter: it is something else.
    """
    found = DURATION.fullmatch(text.strip())
    try:
        if found:
            return timedelta(seconds=float(found[1]) * SECONDS[found[2] or "s"])
    except OverflowError:
        pass
    raise typer.BadParameter(f"{text!r} is no duration; write it like 90s, 5m, 2h or 7d")


def moment(text: str) -> datetime:
    """Read a time of ISO 8601, local unless it names a zone, or a duration: so long ago.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        if DURATION.fullmatch(text.strip()):
            return datetime.now(UTC) - duration(text)
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError, typer.BadParameter):
        problem = f"{text!r} is no time; write it like 2026-11-21T09:30, or like 2h or 7d for so long ago"
        raise typer.BadParameter(problem) from None


def value(text: str) -> Any:
    """Read an argument as JSON where it is JSON, and else as the text that it is."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def named(pairs: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` each; a later one of the same name wins.

    Raises:
        typer.BadParameter: a pair has no `=`, or no name that an argument could have before it.
    """
    arguments = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{pair!r} is no named argument; write it like name=value")
        arguments[name] = value(text)
    return arguments


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def priority_of(name: str | None) -> JobPriority | None:
    """Read the name of a priority.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    from ..infrastructure.jobs import JobPriority  # noqa: PLC0415 - `--help` has to be quick

    try:
        return None if name is None else JobPriority[name.upper()]
    except KeyError:
        known = ", ".join(priority.name.lower() for priority in JobPriority)
        raise typer.BadParameter(f"{name!r} is no priority; give one of {known}") from None
