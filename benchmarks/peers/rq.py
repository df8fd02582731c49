"""RQ with its simple worker.

Settings: `SimpleWorker`, which runs jobs in its own process: about six times as fast as the default in RQ's own notes
on performance (its README and docs/benchmark.md), which recommend it for "extremely short-lived" jobs; `result_ttl=0`,
by which results are not kept. An RQ worker runs one job at a time, so there are not 100: its documentation says to
start more workers. Bulk: `Queue.enqueue_many`, a pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks import workload
from benchmarks.contract import redis_url

if TYPE_CHECKING:
    from collections.abc import Sequence

TASKS = {"noop": workload.noop, "pause": workload.pause}


class Adapter:
    """RQ."""

    backlog: Sequence[tuple[str, ...]] = [
        ("LLEN", "rq:queue:default"),
        ("LLEN", "rq:queue:default:intermediate"),
        ("ZCARD", "rq:wip:default"),
    ]

    def __init__(self) -> None:
        self.queue = Queue(connection=Redis.from_url(redis_url()))

    async def connect(self) -> None:
        """Reach Redis."""
        self.queue.connection.ping()

    async def enqueue(self, task: str, job: int) -> None:
        """Enqueue one call."""
        self.queue.enqueue(TASKS[task], job, result_ttl=0)

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Enqueue in a pipeline."""
        self.queue.enqueue_many([Queue.prepare_data(TASKS[task], (job,), result_ttl=0) for job in jobs])

    def work(self) -> None:
        """Run RQ's worker."""
        SimpleWorker([self.queue], connection=self.queue.connection).work(logging_level="WARNING")
