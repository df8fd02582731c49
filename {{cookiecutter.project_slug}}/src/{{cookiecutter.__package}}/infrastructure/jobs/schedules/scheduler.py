"""A worker's part in schedules: it writes those of its code to Redis, and enqueues ticks when they come.

arq's `cron()` is among them: arq's own way would go by the clock of each worker. What each worker is to do for itself
stays as it is in arq: what runs at its start, and jobs that are not `unique`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Any

from arq.utils import to_unix_ms
from redis.exceptions import RedisError, ResponseError

from ..errors import InvalidPolicyError, InvalidScheduleError
from ..messages import encode_payload
from ..pool import MAX_PAYLOAD, TaskPool
from ..records import Misfire
from .ticks import ArqRecurrence
from .timetable import Entry, Ticker, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta, tzinfo

    from arq.cron import CronJob

    from ..worker import Worker
    from .client import Schedule

logger = logging.getLogger("arq.worker")

#: Seconds between two looks, where the next tick is later and no change is told.
LOOK = 5.0


def arq_entries(cron_jobs: Iterable[CronJob], *, lane: str, timezone: tzinfo) -> list[Entry]:
    """Give arq's cron jobs as schedules, save those that each worker enqueues for itself.

    Ticks that no worker was there for are passed over, as in arq.

    Raises:
        InvalidScheduleError: one would never happen.
    """
    seen: Counter[str] = Counter()
    entries = []
    for cron_job in cron_jobs:
        seen[cron_job.name] += 1
        number = seen[cron_job.name]
        try:
            recurrence = ArqRecurrence.of(cron_job, timezone)
        except InvalidPolicyError as error:
            raise InvalidScheduleError(cron_job.name, error) from None
        if cron_job.unique:
            entries.append(
                Entry(
                    id=cron_job.name if number == 1 else f"{cron_job.name}#{number}",
                    task=cron_job.name,
                    recurrence=recurrence,
                    misfire=Misfire.SKIP,
                    lane=lane,
                    job_id=cron_job.job_id,
                    arq=True,
                )
            )
    return entries


def _check_names(entries: Iterable[Entry]) -> None:
    for name, number in Counter(entry.id for entry in entries).items():
        if number > 1:
            raise InvalidScheduleError(name, f"WorkerSettings has {number} of that name; give them different ones")


class Scheduler:
    """What one worker does about schedules."""

    def __init__(
        self,
        worker: Worker,
        schedules: Iterable[Schedule] | None,
        *,
        cron_jobs: Sequence[CronJob] | None,
        max_payload: int = MAX_PAYLOAD,
    ) -> None:
        """Check what the code says.

        Args:
            worker: whose part this is.
            schedules: what the code schedules.
            cron_jobs: the same by arq's `cron()`. If it says neither, what other code has written stays.
            max_payload: bytes that a job may take.

        Raises:
            InvalidScheduleError: two have the same name, or one would never happen.
            UnknownTaskError: no such task is registered.
            InvalidJobError: the arguments do not fit the task.
            UnserializableError: an argument cannot be stored.
            PayloadTooLargeError: the arguments are larger than a job may be.
        """
        self._worker = worker
        zone = worker.timezone or UTC
        self._entries = arq_entries(cron_jobs or (), lane=worker.queue_name, timezone=zone)
        self._entries += [schedule.entry(worker.registry) for schedule in schedules or ()]
        _check_names(self._entries)
        coding: dict[str, Any] = {"serializer": worker.job_serializer, "limit": max_payload}
        for entry in self._entries:
            encode_payload(entry.task, entry.args, entry.kwargs, queue_key=worker.queue_name, more={}, **coding)
        #: What the code is called in Redis; it has no say if it names neither.
        self._owner = "" if schedules is None and cron_jobs is None else worker.queue_name
        self._written = False
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()
        #: Cron jobs that have still to run because the worker has started.
        self._starting: list[CronJob] = []

    def reset(self) -> None:
        """Be as new: the worker is started, perhaps once more, and with another connection."""
        self._begun.clear()
        for made in ("_ticker", "_pool"):
            self.__dict__.pop(made, None)

    def wake(self) -> None:
        """Look at once: something has changed."""
        self._changed.set()

    async def begin(self) -> None:
        """Write what the code says, and enqueue what is due; what Redis refuses now, `keep` tries again.

        Only the first call does so since the worker was started.
        """
        if self._begun.is_set():
            return
        try:
            await self.look()
        except (RedisError, OSError) as error:
            logger.warning("schedules wait: %s", error)
        finally:
            self._begun.set()

    async def keep(self) -> None:
        """Enqueue ticks as they come, from `begin` on until cancelled."""
        await self._begun.wait()
        while True:
            self._changed.clear()
            try:
                wait = await self.look()
            except ResponseError as error:  # for instance a Redis that is full: the ticks have still to come
                logger.warning("schedules wait, Redis refuses: %s", error)
                wait = LOOK
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def look(self) -> float:
        """Enqueue what is due; give the seconds after which to look again."""
        while True:
            if self._owner and not self._written:
                await write(self._pool, self._entries, owner=self._owner)
            upcoming = await self._ticker.run_due()
            self._written = self._ticker.written
            if self._written or not self._owner:  # else Redis was emptied, and has lost them
                return LOOK if upcoming is None else min(upcoming, LOOK)

    @cached_property
    def _ticker(self) -> Ticker:
        return Ticker(self._pool, owner=self._owner)

    @cached_property
    def _pool(self) -> TaskPool:
        worker = self._worker
        if isinstance(worker.pool, TaskPool):
            return worker.pool
        # A worker may have been given arq's client.
        options: dict[str, Any] = {"registry": worker.registry, "job_serializer": worker.job_serializer}
        return TaskPool(worker.pool.connection_pool, job_deserializer=worker.job_deserializer, **options)

    async def run_cron(self, now: datetime, window: timedelta) -> None:
        """Enqueue arq's cron jobs that are this worker's own affair, where they are due within the window."""
        for cron_job in self._worker.cron_jobs:
            if cron_job.next_run is None:
                if not cron_job.run_at_startup:
                    cron_job.calculate_next(now)
                    continue
                cron_job.next_run = now
                self._starting.append(cron_job)
            own = not cron_job.unique or any(cron_job is each for each in self._starting)
            if own and cron_job.next_run < now + window:
                await self._enqueue(cron_job, cron_job.next_run, now)
                self._starting = [each for each in self._starting if each is not cron_job]
                cron_job.calculate_next(cron_job.next_run)
            elif cron_job.next_run < now:
                cron_job.calculate_next(now)

    async def _enqueue(self, cron_job: CronJob, tick: datetime, now: datetime) -> None:
        own_id = f"{cron_job.name}:{to_unix_ms(tick)}" if cron_job.unique else None
        await self._pool.enqueue_job(
            cron_job.name,
            _exempt=True,  # a tick is not left out because a queue is full
            _job_id=cron_job.job_id or own_id,
            _queue_name=self._worker.queue_name,
            _defer_until=tick if tick > now else None,
        )


async def keep_scheduled(worker: Worker) -> None:
    """Enqueue ticks as they come (a service of the worker)."""
    await worker.scheduler.keep()


async def on_schedule(worker: Worker, _schedule_id: str) -> None:
    """Look at once (a handler of signals)."""
    worker.scheduler.wake()
