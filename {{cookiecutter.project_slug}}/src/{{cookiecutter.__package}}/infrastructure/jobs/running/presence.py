"""A worker's sign of life: a record of its own, and the key that `arq --check` reads; both expire by themselves."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
from redis.exceptions import OutOfMemoryError, RedisError

from .. import keys
from ..queues import count_jobs
from ..records import WorkerRecord
from ..workers import read_workers
from .orders import obey
from .served import learn_lanes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ..worker import Worker

logger = logging.getLogger("arq.worker")

#: Seconds that signing off may take.
PATIENCE = 1.0
#: Seconds after which a worker's id is forgotten that has not signed off; by the clocks of others, which may be wrong.
GONE = 3600


def new_worker_id() -> str:
    """Give an id that no other worker has: host, process, and a random part for workers of one process."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


def release() -> str:
    """Give the version of the project that this package belongs to."""
    try:
        return version(str(__package__).partition(".")[0])
    except PackageNotFoundError:
        return "unknown"


class Presence:
    """What one worker tells of itself."""

    def __init__(self, worker_id: str, queue_key: str, *, health_key: str | None, interval: float) -> None:
        """Prepare.

        Args:
            worker_id: from `new_worker_id`.
            queue_key: the worker's first queue, whose workers share the health key.
            health_key: the key that `arq --check` reads; None: that of the queue.
            interval: seconds between two signs of life; each expires a second later.
        """
        self.record = WorkerRecord(
            worker_id=worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=time.time(),
            queues=[keys.queue_name(queue_key)],
            version=release(),
        )
        self._worker_key = keys.worker(worker_id)
        self._health_key = health_key or keys.health(queue_key)
        self._interval = interval
        self._lifetime_ms = int(interval + 1) * 1000
        self._begun = self._told = float("-inf")

    def reset(self) -> None:
        """Give the next sign of life at once: the worker is started, perhaps once more, or its state has changed."""
        self._begun = float("-inf")

    async def tell_now_and_then(self, worker: Worker) -> None:
        """Give a sign of life, if it is time for one, and learn what nobody has told: orders, new lanes, and jobs.

        A job may come back from a worker that was lost, or only one that is busy by now may know when it is due.
        """
        if time.monotonic() - self._begun < self._interval:
            return
        self._begun = time.monotonic()
        changed, line = await self.tell(worker)
        await obey(worker)
        await learn_lanes(worker, look=self.record.queued > 0)
        if changed:
            logger.info("recording health: %s", line)

    async def tell(self, worker: Worker) -> tuple[bool, str]:
        """Write the worker's record and arq's line of health.

        Returns:
            Whether the counts have changed since the last time, and the line.
        """
        client = worker.pool
        record = replace(
            self.record,
            queues=[keys.queue_name(key) for key in worker.served.keys],
            state=worker.state,
            running=len(worker.tasks),
            complete=worker.jobs_complete,
            failed=worker.jobs_failed,
            retried=worker.jobs_retried,
            lost=worker.jobs_lost,
            queued=await count_jobs(client, worker.served.used_lanes()),
        )
        changed = self._told > 0 and record != self.record
        self.record = replace(record, seen=time.time())
        line = (
            f"{datetime.now():%b-%d %H:%M:%S} j_complete={record.complete} j_failed={record.failed} "  # noqa: DTZ005
            f"j_retried={record.retried} j_ongoing={record.running} queued={record.queued}"
        )
        async with client.pipeline(transaction=False) as pipe:
            pipe.psetex(self._health_key, self._lifetime_ms, line)
            pipe.psetex(self._worker_key, self._lifetime_ms, msgspec.json.encode(asdict(self.record)))
            if self._told < 0:  # the first time
                pipe.zremrangebyscore(keys.WORKERS, "-inf", (time.time() - GONE) * 1000)
            pipe.zadd(keys.WORKERS, self._expiry())
            try:
                await pipe.execute()
            except OutOfMemoryError as error:
                logger.warning("Redis is full: %s", error)
                await self.prolong(client)
        self._told = time.monotonic()
        return changed, line

    async def prolong(self, client: Redis) -> None:
        """Keep the last sign of life while the event loop is too busy to give another."""
        if time.monotonic() - self._told < self._lifetime_ms / 1000 - 1:
            return
        async with client.pipeline(transaction=False) as pipe:
            pipe.pexpire(self._health_key, self._lifetime_ms)
            pipe.pexpire(self._worker_key, self._lifetime_ms)
            pipe.zadd(keys.WORKERS, self._expiry(), xx=True)
            await pipe.execute(raise_on_error=False)  # a full Redis refuses the last

    async def withdraw(self, client: Redis) -> None:
        """Take this worker's record away, and what it was ordered."""
        self._told = float("inf")
        with _gone_on_its_own():
            async with asyncio.timeout(PATIENCE), client.pipeline(transaction=False) as pipe:
                pipe.delete(self._worker_key, keys.order(self.record.worker_id))
                pipe.zrem(keys.WORKERS, self.record.worker_id)
                await pipe.execute()

    async def last_one_out(self, client: Redis) -> None:
        """Take the shared sign of life away, unless another worker of the queue lives."""
        with _gone_on_its_own():
            async with asyncio.timeout(PATIENCE):
                if not any(record.queues[0] == self.record.queues[0] for record in await read_workers(client)):
                    await client.delete(self._health_key)

    def _expiry(self) -> dict[str, float]:
        return {self.record.worker_id: time.time() * 1000 + self._lifetime_ms}


@contextmanager
def _gone_on_its_own() -> Iterator[None]:
    """Pass over a Redis that does not answer: every sign of life expires."""
    try:
        yield
    except (RedisError, OSError) as error:  # OSError includes the timeout
        logger.debug("not signed off, Redis does not answer: %s", error)
