"""The other side of `processes`: what runs in a process that functions are run in."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
from importlib import import_module
from logging.handlers import QueueHandler
from multiprocessing import parent_process
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import structlog
from arq.utils import to_seconds

from .. import codec
from ..policy import function_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

#: Signals that are for the worker alone, which then decides what becomes of its jobs.
FOR_THE_WORKER = (signal.SIGINT, signal.SIGTERM)


def serve(pipe: Connection, level: int) -> None:
    """Run one function after the other, until the worker ends; `level` is the lowest of the log lines to pass on."""
    _leave_group()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    channel = _Channel(pipe)
    _log_to(channel, level)
    while True:
        try:
            request = pipe.recv_bytes()
        except EOFError:  # the worker has closed the pipe
            return
        try:
            place, ctx, args, kwargs = pickle.loads(request)  # noqa: S301 - the worker's own
            channel.send("result", imported(place)(ProcessContext(ctx, channel), *args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever the function raises is its outcome
            channel.send("error", codec.serialize({"error": error}))


def imported(place: str) -> Callable[..., Any]:
    """Give the function at `module:qualified.name`, without what it is decorated with."""
    module, _, name = place.partition(":")
    return function_of(attrgetter(name)(import_module(module)))


class ProcessContext(dict[str, Any]):
    """What of a task's context is plain; progress and `job_timeout` go to the worker."""

    def __init__(self, values: dict[str, Any], channel: _Channel) -> None:
        super().__init__(values)
        self._channel = channel

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value; `job_timeout` moves the deadline as well."""
        if key == "job_timeout":
            self._channel.send("timeout", to_seconds(value))
        super().__setitem__(key, value)

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report how far the task is, see `TaskContext.progress`."""
        self._channel.send("progress", done, total, message)


class _Channel:
    """The pipe to the worker; all threads may use it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.RLock()

    def send(self, kind: str, *values: Any) -> None:
        with self._lock:
            self._pipe.send((kind, *values))


class _LogHandler(QueueHandler):
    def __init__(self, channel: _Channel) -> None:
        super().__init__(channel)  # type: ignore[arg-type] # only `enqueue` uses it

    def enqueue(self, record: logging.LogRecord) -> None:
        channel: Any = self.queue
        channel.send("log", record)


def _log_to(channel: _Channel, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_LogHandler(channel)]
    root.setLevel(level)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.render_to_log_kwargs,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _leave_group() -> None:
    """Leave the worker's process group: Ctrl-C in a terminal, and `honcho` as it ends, signal all of a group."""
    os.setpgrp()
    for number in FOR_THE_WORKER:
        signal.signal(number, signal.SIG_IGN)  # forgets what came while they were blocked
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_THE_WORKER)
    for number in FOR_THE_WORKER:
        signal.signal(number, signal.SIG_DFL)


def _end_with_parent() -> None:
    """End at once when the worker does, however it ends; a pipe tells only a process that reads it."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)
