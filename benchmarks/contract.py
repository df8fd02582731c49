"""What the harness asks of a peer's adapter, and what it tells it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Jobs that one worker process may run at a time.
CONCURRENCY = 100
#: Calls under way at once where a peer knows no bulk call; streaQ's own benchmark of its peers uses 32, SAQ's 20.
CALLERS = 32

#: Where the processes of a trial find the Redis and the ledger.
REDIS_URL = "BENCHMARK_REDIS_URL"
LEDGER = "BENCHMARK_LEDGER"


def redis_url() -> str:
    """Give the address of the Redis that is measured on."""
    return os.environ[REDIS_URL]


class Peer(Protocol):
    """A queue as the harness sees it; each adapter module calls its own `Adapter` and explains its settings.

    Attributes:
        backlog: Redis commands whose answers are all 0 (or empty) once no job waits, runs, or is yet to be committed.
    """

    backlog: Sequence[tuple[str, ...]]

    async def connect(self) -> None:
        """Get ready to enqueue; the clock does not run yet."""

    async def enqueue(self, task: str, job: int) -> None:
        """Enqueue one job of the task `noop` or `pause`; it has been accepted when this returns."""

    async def enqueue_many(self, task: str, jobs: range) -> None:
        """Enqueue jobs in the best way that the peer documents for many."""

    def work(self) -> None:
        """Run one worker process, for ever."""
