"""The slots of a worker: how many jobs it may start now, and from which queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import keys
from ..records import WorkerState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..worker import Worker
    from .claims import Claim


class Slots:
    """One slot for each job that is about to start, or runs."""

    def __init__(self, worker: Worker, ready: Collection[Claim], held: Mapping[str, Claim]) -> None:
        """Prepare.

        Args:
            worker: whose slots they are.
            ready: the jobs that are about to start.
            held: all jobs whose lease it holds, by their ids.
        """
        self._worker = worker
        self._ready = ready
        self._held = held

    @property
    def free(self) -> int:
        """How many jobs may be started."""
        worker = self._worker
        if not worker.allow_pick_jobs:
            return 0
        slots = worker.max_jobs - len(worker.tasks)
        if self.is_last_of_burst is not None:
            slots = min(slots, worker.max_burst_jobs - worker.jobs_started)
        return slots - len(self._ready)

    @property
    def is_last_of_burst(self) -> bool | None:
        """Whether a burst has started as many jobs as it is to start; None if there is no such number."""
        worker = self._worker
        limited = worker.burst and worker.max_burst_jobs >= 0
        return worker.jobs_started >= worker.max_burst_jobs if limited else None

    def filled(self) -> list[Claim]:
        """Give the jobs that fill slots, where it matters which."""
        if not self._worker.served.keeps_slots:
            return []
        return [*self._ready, *[self._held[job_id] for job_id in self._worker.tasks if job_id in self._held]]

    def open_queues(self) -> list[str]:
        """Give the keys of the queues from which a job could be started."""
        return self._worker.served.open(self.filled()) if self.free > 0 else []


async def are_drained(worker: Worker) -> bool:
    """Tell whether nothing is left in the queues that the worker serves, but what is in paused ones, or it is quiet."""
    if worker.state is WorkerState.QUIET:
        return True
    lanes = worker.served.lanes()
    async with worker.pool.pipeline(transaction=False) as pipe:
        pipe.smembers(keys.PAUSED)
        for lane in lanes:
            pipe.zcard(lane)
        paused, *numbers = await pipe.execute()
    return not any(
        number for lane, number in zip(lanes, numbers, strict=True) if keys.queue_of(lane).encode() not in paused
    )
