"""Programs that run beside this one: started with their output in a file, waited for by what they do, surely ended."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

HOST = "127.0.0.1"
#: Where free ports are looked for: below those that systems give to outgoing connections, which come and go.
PORTS = range(20_000, 32_000)
#: Seconds between two looks at something that is waited for.
LOOK = 0.05
#: How a user, a platform or a closed terminal asks a program to end.
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Lines of a log that an error shows.
TAIL = 20


class ProcessError(Exception):
    """A program did not do what it was started for; the message ends with the end of its log."""

    def __init__(self, problem: str, log: Path | None = None) -> None:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:] if log and log.exists() else []
        super().__init__("\n".join([problem, *(f"    {line}" for line in lines)]))


def free_port() -> int:
    """Find a port that nobody listens on."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            # As servers do: a port that only waits for its last connection to be forgotten is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise ProcessError(f"none of the ports {PORTS.start} to {PORTS.stop - 1} is free")


def answers_ping(port: int) -> bool:
    """Tell whether a Redis on this machine answers, which it does once it has read its data."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and its like off while something is cleared away."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Process:
    """One program, in a session of its own, so that Ctrl-C in the terminal reaches only who started it."""

    def __init__(
        self, name: str, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path
    ) -> None:
        """Start it; its output is appended to `log`."""
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs, negative when a signal ended it."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """What it has printed so far, before and after a restart with the same log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, not to its children."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Wait until it has ended, and give its exit status."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.name} has not ended within {seconds:g} s", self.log) from None

    def stop(self, seconds: float = 40, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it and its children to end, and give its exit status; what has not ended in time is killed."""
        if self.status is None:
            self._send_to_all(number)
        with suppress(ProcessError):
            self.wait(seconds)
        return self.kill()

    def kill(self) -> int:
        """End it at once with all its children (`kill -9`), if it still runs."""
        self._send_to_all(signal.SIGKILL)
        return self._process.wait()

    def _send_to_all(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # when the group is gone; macOS says so with the second
            os.killpg(self.pid, number)


def wait_for(
    ask: Callable[[], T | None], *, what: str, within: float = 30, beside: Iterable[Process] = (), pause: float = LOOK
) -> T:
    """Ask until the answer is true, and give it.

    Args:
        ask: a question that does not block.
        what: what the answer tells, for the error.
        within: seconds until it is given up.
        beside: processes that must be running all the while.
        pause: seconds between two questions.

    Raises:
        ProcessError: the time is over, or one of the processes has ended.
    """
    deadline = time.monotonic() + within
    processes = list(beside)
    while not (answer := ask()):
        for process in processes:
            if process.status is not None:
                raise ProcessError(f"{process.name} ended with status {process.status}; no {what}", process.log)
        if time.monotonic() > deadline:
            log = processes[0].log if processes else None
            raise ProcessError(f"no {what} within {within:g} s (last answer: {answer!r})", log)
        time.sleep(pause)
    return answer


def run(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path, what: str, seconds: float = 600
) -> None:
    """Run a program to its end.

    Raises:
        ProcessError: it fails, or takes longer.
    """
    process = Process(what, command, cwd=cwd, env=env, log=log)
    try:
        status = process.wait(seconds)
    finally:
        process.stop(seconds=5)
    if status:
        raise ProcessError(f"{what} failed with exit status {status}", log)
