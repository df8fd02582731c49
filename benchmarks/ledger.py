"""Which job has been enqueued and run, and when: a file that all processes of a trial share as memory.

A job writes down that it runs in well under a microsecond, and the same for every peer: no Redis command, no log line,
no lock. The harness reads the file from outside. Times are those of the machine's monotonic clock, which all processes
share.
"""

from __future__ import annotations

import mmap
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes of a time.
WIDTH = 8
#: A count that has reached this stays there.
MOST = 255


class Ledger:
    """For each job of a trial: how often it ran, when it was enqueued and last started, in ns; 0 for never."""

    def __init__(self, path: Path) -> None:
        """Open a ledger that `create` has made."""
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.jobs = len(self._memory) // (1 + 2 * WIDTH)
        view = memoryview(self._memory)
        self._enqueued = view[: self.jobs * WIDTH].cast("Q")
        self._started = view[self.jobs * WIDTH : 2 * self.jobs * WIDTH].cast("Q")
        self._runs = view[2 * self.jobs * WIDTH :]

    @classmethod
    def create(cls, path: Path, jobs: int) -> Self:
        """Make an empty ledger for some jobs."""
        with path.open("wb") as file:
            file.truncate(jobs * (1 + 2 * WIDTH))
        return cls(path)

    def close(self) -> None:
        """Let go of the memory; the file stays."""
        for view in (self._enqueued, self._started, self._runs):
            view.release()

    def enqueue(self, job: int) -> None:
        """Write down that a job is being enqueued; called just before the call that does so."""
        self._enqueued[job] = time.monotonic_ns()

    def start(self, job: int) -> None:
        """Write down that a job starts; called by the job itself, first of all."""
        self._started[job] = time.monotonic_ns()
        self._runs[job] = min(self._runs[job] + 1, MOST)

    def first_not_run(self, after: int, before: int) -> int:
        """Find the first job in a range that has not run; `before` if all have."""
        base = 2 * self.jobs * WIDTH
        found = self._memory.find(b"\0", base + after, base + before)
        return before if found < 0 else found - base

    def tally(self) -> tuple[int, int, int]:
        """Count the jobs that never ran, that ran once, and that ran more often."""
        runs = bytes(self._runs)
        never, once = runs.count(0), runs.count(1)
        return never, once, self.jobs - never - once

    def started(self, first: int, last: int) -> list[int]:
        """Give when each job of a range started."""
        return list(self._started[first:last])

    def waits(self, first: int, last: int) -> list[float]:
        """Give the seconds from the call that enqueued a job to its start, for each job of a range."""
        pairs = zip(self._enqueued[first:last], self._started[first:last], strict=True)
        return [(started - enqueued) / 1e9 for enqueued, started in pairs]
