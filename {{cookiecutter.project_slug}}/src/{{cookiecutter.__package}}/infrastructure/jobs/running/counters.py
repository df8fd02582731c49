"""Counting what jobs came to, for `Statistics`: in memory, and once a second in Redis."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from redis.exceptions import RedisError

from .. import keys, scripts
from ..statistics import RETRIED, bin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis.asyncio import Redis

logger = logging.getLogger("arq.worker")

#: What is counted of a job: its task, what it came to (its status, or `RETRIED`), its lane, and the ms for which it has
#: waited and run, if it has; clocks may have made these negative.
Tally = tuple[str, str, str, tuple[int, int] | None]
#: Seconds for which is counted before it is written.
INTERVAL = 1.0
#: Seconds that writing the rest may take when the worker ends.
PATIENCE = 1.0

_json = msgspec.json.Encoder().encode


class Counters:
    """What one worker has counted and not written yet; while there is nothing, nothing is done."""

    def __init__(self, client: Redis) -> None:
        self._script = scripts.script(client, "count")
        self._counted: Counter[Tally] = Counter()
        self._closing = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def add(self, tallies: Iterable[Tally]) -> None:
        """Count jobs of which it was recorded what they came to, and write that within a second or so."""
        self._counted.update(tallies)  # this is done for every job, and in C
        if self._counted and self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Write what is left, if Redis takes it in time."""
        self._closing.set()
        if self._writer and (await asyncio.wait([self._writer], timeout=PATIENCE))[1]:
            self._writer.cancel()

    async def _write(self) -> None:
        while self._counted:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._closing.wait()
            counted, self._counted = self._counted, Counter()
            try:
                await self._script(args=[_json(sums) for sums in _summed(counted)])
            except (RedisError, OSError) as error:  # the worker's own next call says so, and louder
                logger.debug("statistics wait: %s", error)
                self._counted.update(counted)
                if self._closing.is_set():
                    break
        self._writer = None


@lru_cache(maxsize=10_000)
def _bin(kind: str, ms: int) -> str:
    return f"{kind}:{bin_of(ms)}"


def _summed(counted: Mapping[Tally, int]) -> tuple[Mapping[str, Mapping[str, int]], Mapping[str, int]]:
    """Give what the script takes: by task, then by counter; and how many jobs have ended, by queue."""
    tasks: defaultdict[str, Counter[str]] = defaultdict(Counter)
    queues: Counter[str] = Counter()
    for (task, outcome, lane, times), number in counted.items():
        counters = tasks[task]
        counters[outcome] += number
        if times:
            counters[_bin("w", times[0])] += number
            counters[_bin("r", times[1])] += number
        if outcome != RETRIED:
            queues[keys.queue_of(lane)] += number
    return tasks, queues
