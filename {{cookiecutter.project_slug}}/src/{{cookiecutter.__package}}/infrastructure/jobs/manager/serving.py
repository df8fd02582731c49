"""Queues, and the workers that serve them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..keys import DEFAULT_QUEUE
from ..queues import Queues
from ..statistics import Statistics
from ..workers import Workers
from .connected import Connected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..queues import QueueRecord
    from ..records import WorkerRecord
    from ..statistics import Overview


class Serving(Connected):
    """What a manager does with queues and workers."""

    async def queue_length(self, queue: str = DEFAULT_QUEUE) -> int:
        """Count the jobs that wait in a queue, for whatever reason; see `Queues.length`."""
        return await Queues(await self.connect()).length(queue)

    async def purge_queue(self, queue: str = DEFAULT_QUEUE) -> int:
        """Cancel all jobs that wait in a queue, and give their number; see `Queues.purge`."""
        return await Queues(await self.connect()).purge(queue)

    async def pause(self, queue: str = DEFAULT_QUEUE) -> None:
        """Start nothing more of a queue until `resume` is called; jobs that run go on. See `Queues.pause`."""
        await Queues(await self.connect()).pause(queue)

    async def resume(self, queue: str = DEFAULT_QUEUE) -> None:
        """Let a paused queue go on, at once."""
        await Queues(await self.connect()).resume(queue)

    async def list_queues(self) -> Sequence[QueueRecord]:
        """Describe all queues: what waits in each, and for how long; see `Queues.list`."""
        return await Queues(await self.connect()).list()

    async def get_queue(self, queue: str = DEFAULT_QUEUE) -> QueueRecord:
        """Describe one queue; it need not have had a job."""
        return await Queues(await self.connect()).get(queue)

    async def list_workers(self) -> Sequence[WorkerRecord]:
        """Describe all workers that are alive, whichever queues they serve; see `Workers.list`."""
        return await Workers(await self.connect()).list()

    async def get_worker(self, worker_id: str) -> WorkerRecord:
        """Describe one worker.

        Raises:
            WorkerNotFoundError: none of that id is alive.
        """
        return await Workers(await self.connect()).get(worker_id)

    async def quiet_worker(self, worker_id: str) -> None:
        """Let a worker finish what it runs and start nothing more; see `Workers.quiet`.

        Raises:
            WorkerNotFoundError: none of that id is alive.
        """
        await Workers(await self.connect()).quiet(worker_id)

    async def stop_worker(self, worker_id: str) -> None:
        """Stop a worker, as SIGTERM does; see `Workers.stop`.

        Raises:
            WorkerNotFoundError: none of that id is alive.
        """
        await Workers(await self.connect()).stop(worker_id)

    async def overview(self) -> Overview:
        """Say how many jobs ended over the last hour and day, how well and how fast; see `Statistics.overview`."""
        return await Statistics(await self.connect()).overview()
