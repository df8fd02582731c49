"""The atomic steps, one Lua script each: what they do, take and give stands in the files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

from . import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

#: Jobs in one call: Lua can pass on a few thousand values, and no call may keep Redis for long.
BATCH = 500
#: What every script finds defined: the prefixes of its keys, and the keys that are always the same.
NAMES = {
    "PAYLOADS": keys.job(""),
    "CLAIMS": keys.in_progress(""),
    "TRIES": keys.tries(""),
    "RESULTS": keys.result(""),
    "PROGRESS": keys.progress(""),
    "WAKE": keys.wake(""),
    "UNKNOWN": keys.unknown(""),
    "LOST": keys.lost(""),
    "ATTEMPTS": keys.attempts(""),
    "EXPIRING": keys.expiring(""),
    "CANCELLED": keys.cancelled(""),
    "HISTORY": keys.history(""),
    "DEAD_LETTERS": keys.dead_letter(""),
    "DEAD_ATTEMPTS": keys.dead_attempts(""),
    "DEAD": keys.DEAD,
    "QUEUES": keys.QUEUES,
    "PAUSED": keys.PAUSED,
    "QUIET": keys.QUIET,
    "LIMITS": keys.limits(""),
    "STARTS": keys.starts(""),
    "PLACES": keys.places(""),
    "PARKED": keys.parked(""),
    "OUTSIDE": keys.outside(""),
    "HOMES": keys.homes(""),
    "TURNS": keys.turns(""),
    "PARKED_TASKS": keys.PARKED_TASKS,
    "ABORTS": keys.ABORTS,
    "EVENTS": keys.EVENTS,
    "SCHEDULES": keys.SCHEDULES,
    "SCHEDULE": keys.schedule(""),
    "SCHEDULE_OWNERS": keys.SCHEDULE_OWNERS,
    "WORKFLOWS": keys.workflow(""),
    "VALUES": keys.workflow_values(""),
    "STATISTICS": keys.statistics(""),
}

#: The scripts that start or end jobs of tasks with limits.
LIMITING = {"acquire", "sweep", "commit", "requeue", "cancel"}
#: The scripts that end jobs of workflows.
ADVANCING = {"commit", "cancel", "halt"}
#: The scripts that count, and those that read what was counted.
COUNTING = {"cancel", "count", "overview", "queues"}

_encode = msgspec.msgpack.Encoder().encode


def _text(name: str) -> str:
    return files(__package__).joinpath("scripts", f"{name}.lua").read_text()


def _line(name: str) -> str:
    return " ".join(line.partition("--")[0].strip() for line in _text(name).splitlines()) + " "


@cache
def _source(name: str) -> str:
    defined = ", ".join(f"'{value}'" for value in NAMES.values())
    shared = _line("shared") + (_line("limits") if name in LIMITING else "")
    shared += _line("workflows") if name in ADVANCING else ""
    shared += _line("statistics") if name in COUNTING else ""
    # All on the first line, so that Redis's line numbers are those of the file.
    return f"local {', '.join(NAMES)} = {defined} {shared}{_text(name)}"


def script(client: Redis, name: str) -> AsyncScript:
    """Give the script of that name; its first call loads it where the server does not have it yet."""
    return client.register_script(_source(name))


def packed(jobs: Sequence[Sequence[Any]]) -> bytes:
    """Give the jobs of one call as one argument; packing each value by itself would take most of a worker's time."""
    return _encode(jobs)
