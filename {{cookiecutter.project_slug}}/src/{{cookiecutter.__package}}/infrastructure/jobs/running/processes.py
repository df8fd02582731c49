"""The processes that CPU-bound functions run in: reused, killed at the deadline, and never left behind.

Each is an interpreter of its own, joined by a pipe to the thread of the worker that waits for it. Through the pipe go
the call, what the function logs and reports, and what has come of it. `child` is the other side.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

from .. import codec
from ..errors import ProcessDiedError, UnimportableTaskError
from ..policy import function_of
from . import child

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..context import TaskContext

#: What of a task's context goes along.
PLAIN = {type(None), bool, int, float, str, bytes, datetime, date, time, timedelta}
#: Seconds that an idle process gets to end by itself.
WAIT = 1.0

#: Gives the result, or raises the error.
Outcome = Callable[..., Any]


def place_of(function: Callable[..., Any]) -> str:
    """Give where another process finds the function: `module:qualified.name`.

    Raises:
        UnimportableTaskError: it would not find it there, or it is no plain function.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if module is None or name is None:
        raise UnimportableTaskError(function, "is no function")
    if inspect.iscoroutinefunction(function):
        raise UnimportableTaskError(function, "is `async def`")
    if "<" in name:  # <lambda>, <locals>
        raise UnimportableTaskError(function, "is a lambda, or defined inside another function")
    if module == "__main__":
        raise UnimportableTaskError(function, "is defined in the program that was started, not in a module of its own")
    try:
        found = attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        found = None
    if found is None or function_of(found) is not function:
        raise UnimportableTaskError(function, "is not what its module holds under that name")
    return f"{module}:{name}"


class ProcessPool:
    """The processes of one worker; each is started when it is first needed, and used again."""

    def __init__(self, size: int | None = None) -> None:
        """Prepare.

        Args:
            size: how many functions may run at once; by default as many as there are CPUs.
        """
        self._free = asyncio.Semaphore(size or os.cpu_count() or 1)
        self._idle: list[_Process] = []

    async def run(
        self, function: Callable[..., Any], ctx: TaskContext, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Run a plain function in a process, and give what it returns; a cancellation kills the process.

        The function gets a context of the plain values of `ctx`: text, numbers, times.

        Raises:
            UnimportableTaskError: the process would not find the function.
            ProcessDiedError: the process has ended before the function has.
            Exception: what the function raised, with the traceback from there as a note.
        """
        place = place_of(function)
        plain = {name: value for name, value in ctx.items() if type(value) in PLAIN}
        async with self._free:
            process = self._take()
            try:
                outcome = await asyncio.to_thread(process.call, (place, plain, args, dict(kwargs)), ctx)
            except BaseException:
                process.kill()
                raise
            self._idle.append(process)
        return outcome()

    def close(self) -> None:
        """End the processes; those that are at work end when their jobs are cancelled."""
        for process in self._idle:
            process.hang_up()
        while self._idle:
            self._idle.pop().end()

    def _take(self) -> _Process:
        while self._idle:
            process = self._idle.pop()
            if process.is_alive():
                return process
        return _Process()


class _Process:
    """One process, as the worker sees it."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, self._other_end = spawn.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        self._process = spawn.Process(target=child.serve, args=(self._other_end, level), name="arq-task", daemon=True)
        self._lock = threading.Lock()
        self._killed = False

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            if self._process.pid is not None:
                self._process.kill()

    def hang_up(self) -> None:
        self._pipe.close()

    def end(self) -> None:
        self._process.join(WAIT)
        self.kill()
        self._process.join()

    def call(self, request: tuple[str, dict[str, Any], tuple[Any, ...], dict[str, Any]], ctx: TaskContext) -> Outcome:
        """Run a function; this thread waits for it."""
        self._start()
        try:
            self._pipe.send(request)
            while (message := self._pipe.recv())[0] not in _OUTCOMES:
                _heard(ctx, *message)
        except (EOFError, ConnectionError) as error:
            self._process.join()
            raise ProcessDiedError(request[0], self._process.exitcode) from error
        return partial(_OUTCOMES[message[0]], message[1])

    def _start(self) -> None:
        with self._lock:
            if self._killed:
                raise ChildProcessError("cancelled before it had started")
            if self._process.pid is not None:
                return
            # A signal that is meant for the worker would end the new process before it can say that it is not.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, child.FOR_THE_WORKER)
            try:
                self._process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._other_end.close()


def _heard(ctx: TaskContext, kind: str, *values: Any) -> None:
    """Pass on what a function says while it runs."""
    if kind == "progress":
        ctx.progress(*values)
    elif kind == "timeout":
        (ctx["job_timeout"],) = values
    else:
        (record,) = values
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def _raised(stored: bytes) -> NoReturn:
    error = codec.deserialize(stored)["error"]
    error.add_note(f"In its process:\n{error.remote_traceback}")
    raise error


_OUTCOMES: dict[str, Outcome] = {"result": lambda value: value, "error": _raised}
