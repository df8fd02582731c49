"""What a worker is told while it runs: one connection listens on a few channels, each of which has a handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .orders import obey

if TYPE_CHECKING:
    from ..worker import Worker

#: What is done about a message; it is given the worker, and the message's text.
Handler = Callable[["Worker", str], Awaitable[None]]


async def listen_for_signals(worker: Worker) -> None:
    """Call the handlers in `worker.signals` (a service of the worker).

    What is said while the connection is away is missed, so whoever relies on a signal also looks now and then; orders
    are looked for as soon as it is there (again).
    """
    async with worker.pool.pubsub() as pubsub:
        await pubsub.subscribe(*worker.signals)
        async for message in pubsub.listen():
            if message["type"] == "message":
                await worker.signals[message["channel"].decode()](worker, message["data"].decode())
            else:
                await obey(worker)
