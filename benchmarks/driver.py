"""The program that runs an adapter in its peer's environment: `python -m benchmarks.driver PEER producer|worker`.

It speaks JSON lines. First it says that it is ready. A worker then waits for one line, and works; a producer answers
each order (`Order` says what is in one) with the seconds that it took. What libraries print goes to standard error.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any, TypedDict

from benchmarks.workload import ledger

if TYPE_CHECKING:
    from typing import TextIO

    from benchmarks.contract import Peer

#: Jobs handed to a bulk call at once.
CHUNK = 1_000


class Order(TypedDict):
    """What a producer is told: enqueue the jobs `first` to `last` (not included) of a task.

    `rate` is None for as fast as possible, one by one; a number for that many a second, at random moments (the gaps
    are exponential, the same in every run); "bulk" for all at once.
    """

    task: str
    first: int
    last: int
    rate: float | str | None


def main() -> None:
    """Run as the command line says."""
    name, role = sys.argv[1:]
    channel = take_stdout()
    logging.basicConfig(level=logging.WARNING)
    peer: Peer = importlib.import_module(f"benchmarks.peers.{name}").Adapter()
    hello = {"backlog": peer.backlog}
    if role == "producer":
        asyncio.run(produce(peer, channel, hello))
        return
    ledger()
    tell(channel, hello)
    if sys.stdin.readline():
        peer.work()


def take_stdout() -> TextIO:
    """Keep standard output for the harness, and send what others print to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def tell(channel: TextIO, answer: dict[str, Any]) -> None:
    """Say one thing."""
    print(json.dumps(answer), file=channel, flush=True)


async def produce(peer: Peer, channel: TextIO, hello: dict[str, Any]) -> None:
    """Follow orders until there are no more."""
    await peer.connect()
    tell(channel, hello)
    # The loop has nothing else to do between two orders, except for what the peer does in the background.
    while line := await asyncio.to_thread(sys.stdin.readline):
        order: Order = json.loads(line)
        jobs = range(order["first"], order["last"])
        gc.collect()
        start = time.perf_counter()
        if order["rate"] == "bulk":
            for first in range(jobs.start, jobs.stop, CHUNK):
                await peer.enqueue_many(order["task"], range(first, min(first + CHUNK, jobs.stop)))
        elif order["rate"] is None:
            for job in jobs:
                ledger().enqueue(job)
                await peer.enqueue(order["task"], job)
        else:
            await pace(peer, order["task"], jobs, float(order["rate"]))
        tell(channel, {"seconds": time.perf_counter() - start})


async def pace(peer: Peer, task: str, jobs: range, rate: float) -> None:
    """Enqueue at random moments, so many a second; a job that is late is enqueued at once, and its wait starts then."""
    gaps = random.Random(0)  # noqa: S311 - the same gaps for every peer
    due = time.perf_counter()
    for job in jobs:
        due += gaps.expovariate(rate)
        # Not asyncio.sleep, which rounds up to a millisecond.
        time.sleep(max(0, due - time.perf_counter()))  # noqa: ASYNC251
        ledger().enqueue(job)
        await peer.enqueue(task, job)


if __name__ == "__main__":
    main()
