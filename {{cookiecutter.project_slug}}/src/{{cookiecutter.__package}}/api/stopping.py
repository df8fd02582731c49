"""Being told that the server is to stop, while it still serves requests.

A server waits for its open requests before it lets the application shut down. One that would go on for minutes, such as
a stream of events, has to be told before: at the very signal.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The signals by which servers are told to stop.
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def told_to_stop(stop: Callable[[], object]) -> Iterator[None]:
    """Call a function in the running event loop when the process is told to stop; the server is told as well."""
    if threading.current_thread() is not threading.main_thread():  # nobody else may ask for signals
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(stop)
        server = before[signal.Signals(number)]
        if callable(server):
            server(number, frame)

    for number, server in before.items():
        if callable(server):  # else the process ends at once, or takes no notice
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, server in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, server)
