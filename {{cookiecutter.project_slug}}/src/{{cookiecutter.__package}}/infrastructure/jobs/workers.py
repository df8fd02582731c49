"""The workers that are alive, and telling one of them to rest or to end."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from . import keys, scripts
from .answers import answering
from .errors import WorkerNotFoundError
from .records import WorkerRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

#: Milliseconds for which an order waits for a worker that is cut off, or stands still.
ORDER_KEPT = 3_600_000


class WorkerOrder(StrEnum):
    """What a worker can be told."""

    QUIET = "quiet"
    STOP = "stop"


class Workers:
    """The workers of a Redis, as far as they are of this engine; arq's own say nothing of themselves."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._order = scripts.script(client, "order")

    async def list(self) -> Sequence[WorkerRecord]:
        """Describe all that are alive, whichever queues they serve, the one that was started first in front.

        Each says so every 5 seconds, and counts as alive for 6. It is two round trips, however many there are.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        async with answering("workers"):
            return await read_workers(self._client)

    async def get(self, worker_id: str) -> WorkerRecord:
        """Describe one.

        Raises:
            WorkerNotFoundError: none of that id is alive.
            QueueUnavailable: Redis does not answer.
        """
        async with answering(f"worker {worker_id!r}"):
            data = await self._client.get(keys.worker(worker_id))
        if data is None:
            raise WorkerNotFoundError(worker_id)
        return _decoded(data)

    async def quiet(self, worker_id: str) -> None:
        """Let a worker start nothing more; it finishes what it runs, and lives on. That cannot be undone.

        What it does beside its jobs goes on, schedules and outbox among it. One in burst mode ends after its last job.
        The worker obeys at once, or when it is reached again: an order waits for an hour. Another one never gets it.

        Raises:
            WorkerNotFoundError: none of that id is alive.
            QueueUnavailable: Redis does not answer.
        """
        await self._tell(worker_id, WorkerOrder.QUIET)

    async def stop(self, worker_id: str) -> None:
        """Let a worker end, as SIGTERM does: what it runs gets `job_completion_wait`, and the rest is handed back.

        More than once is the same as once. It takes the place of an order to be quiet. Else as `quiet`.
        """
        await self._tell(worker_id, WorkerOrder.STOP)

    async def _tell(self, worker_id: str, order: WorkerOrder) -> None:
        async with answering(f"worker {worker_id!r}"):
            known = await self._order(keys=[keys.worker(worker_id), keys.order(worker_id)], args=[order, ORDER_KEPT])
        if not known:
            raise WorkerNotFoundError(worker_id)


async def read_workers(client: Redis) -> list[WorkerRecord]:
    """Read what all workers say of themselves, the one that was started first in front."""
    ids = await client.zrange(keys.WORKERS, 0, -1)
    records = await client.mget([keys.worker(worker_id.decode()) for worker_id in ids]) if ids else []
    return sorted((_decoded(data) for data in records if data), key=lambda record: (record.started, record.worker_id))


def _decoded(data: bytes) -> WorkerRecord:
    return msgspec.json.decode(data, type=WorkerRecord)
