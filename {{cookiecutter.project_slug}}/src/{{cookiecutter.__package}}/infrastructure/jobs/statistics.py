"""What jobs came to in the last hour and day, how long they waited and ran; no job is looked at to tell that.

Workers count in memory what they have recorded, and add it once a second to two hashes, one for five minutes and one
for an hour, see `running.counters` and `scripts/statistics.lua`. Of each task there is a JSON object of counters: how
its jobs ended, by status; `retried`; and how many waited or ran for about so long, by `w:` or `r:` and the number of a
bin.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from . import scripts
from .answers import answering
from .records import JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

#: Seconds of the spans that are counted apart, for the last hour and the last day; as in `scripts/statistics.lua`.
MINUTES, HOUR, DAY = 300, 3600, 86400
#: Bins for each doubling of a time: what is read of one is at most a tenth off.
BINS = 4
#: The last bin: 35 years.
LAST_BIN = 160
#: The counter of tries that failed, or asked for another, and were followed by one.
RETRIED = "retried"

_decode = msgspec.json.Decoder(dict[str, int]).decode


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of all times, so many percent were as short as this, in seconds, give or take a tenth; None: there were none."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """What the jobs of one task came to."""

    task: str
    #: Jobs that ended so.
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    #: Tries that failed, or asked for another, and were not the last.
    retried: int = 0
    #: From when the last try was due until it began, and from there until its end; of jobs that were started.
    wait: Percentiles = Percentiles()
    run: Percentiles = Percentiles()


@dataclass(frozen=True, slots=True)
class Period:
    """What jobs came to in some time, all together and by task."""

    #: How long it was until now.
    seconds: int
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    #: By name; those that nothing was counted of are left out.
    tasks: tuple[TaskStatistics, ...] = ()

    @property
    def throughput(self) -> float:
        """Jobs that ended, in a second."""
        return (self.succeeded + self.failed + self.cancelled) / self.seconds


@dataclass(frozen=True, slots=True)
class Overview:
    """What jobs came to lately."""

    #: The last hour; it begins up to five minutes earlier.
    hour: Period
    #: The last day; it begins up to an hour earlier.
    day: Period


class Statistics:
    """What the workers of a Redis have counted.

    Asking is one round trip and always the same number of commands. What it costs grows with the number of tasks, not
    with that of jobs.
    """

    def __init__(self, pool: Redis) -> None:
        self._read = scripts.script(pool, "overview")

    async def overview(self) -> Overview:
        """Tell what jobs came to in the last hour and day; the last second or two may be missing.

        A worker that is killed takes with it what it has counted since it last wrote, a second ago at most. Where the
        answer to what it wrote was lost, it writes that again, so that a second may count twice. Jobs of arq's own
        workers are not counted.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        async with answering("statistics"):
            now, minutes, hours = await self._read()
        return await asyncio.to_thread(_overview, now, minutes, hours)  # with many tasks it takes a while


def bin_of(ms: int) -> int:
    """Give the number of the bin for a time in ms; 0 for less than one, and for what clocks made negative."""
    return min(round(BINS * math.log2(ms + 1)), LAST_BIN) if ms > 0 else 0


def seconds_of(number: int) -> float:
    """Give the time that a bin stands for, the middle of those that it holds."""
    return float((2 ** (number / BINS) - 1) / 1000)


def _overview(now: int, minutes: Sequence[Sequence[bytes]], hours: Sequence[Sequence[bytes]]) -> Overview:
    return Overview(_period(HOUR + now % MINUTES, minutes), _period(DAY + now % HOUR, hours))


def _period(seconds: int, hashes: Sequence[Sequence[bytes]]) -> Period:
    """Add up what was counted in some spans; each is names and values in turn."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for flat in hashes:
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            kind, _, task = name.decode().partition(":")
            if kind == "task":
                counted[task].update(_decode(value))
    total: Counter[str] = Counter()
    for counters in counted.values():
        total.update(counters)
    tasks = tuple(
        TaskStatistics(task, **_ends(counters), wait=_percentiles(counters, "w:"), run=_percentiles(counters, "r:"))
        for task, counters in sorted(counted.items())
    )
    return Period(seconds, **_ends(total), tasks=tasks)


def _ends(counters: Mapping[str, int]) -> dict[str, int]:
    return {
        "succeeded": counters.get(JobStatus.SUCCESS, 0),
        "failed": counters.get(JobStatus.FAILED, 0),
        "cancelled": counters.get(JobStatus.CANCELLED, 0),
        "retried": counters.get(RETRIED, 0),
    }


def _percentiles(counters: Mapping[str, int], prefix: str) -> Percentiles:
    bins = sorted((int(name[len(prefix) :]), number) for name, number in counters.items() if name.startswith(prefix))
    if not bins:
        return Percentiles()
    ends = list(accumulate(number for _, number in bins))
    return Percentiles(*(seconds_of(bins[bisect_left(ends, percent * ends[-1] / 100)][0]) for percent in (50, 95, 99)))
