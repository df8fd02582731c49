"""What a worker is ordered from outside, by `Workers.quiet` and `Workers.stop`: the order waits in a key of its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .. import keys
from ..workers import WorkerOrder

if TYPE_CHECKING:
    from ..worker import Worker

logger = logging.getLogger("arq.worker")


async def obey(worker: Worker) -> None:
    """Do what the worker was ordered, if anything; twice is the same as once."""
    order = await worker.pool.get(keys.order(worker.presence.record.worker_id))
    if order is None or worker.stopping:
        return
    if order == WorkerOrder.STOP.encode():
        logger.info("ordered to stop")
        worker.stop()
    elif worker.allow_pick_jobs:
        logger.info("ordered to be quiet ◆ %d running jobs are finished, no other is started", len(worker.tasks))
        worker.quiet()


async def on_order(worker: Worker, _order: str) -> None:
    """Obey at once (a handler of signals); what it misses is found with the next sign of life."""
    await obey(worker)
