"""One trial: an empty Redis, a ledger, a producer and workers of one peer; the clock and the checks are here."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from benchmarks.children import Child
from benchmarks.contract import LEDGER, REDIS_URL
from benchmarks.environments import TEMPLATE, base_environment
from benchmarks.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from benchmarks.environments import Environment
    from benchmarks.roster import Contender
    from benchmarks.server import Server

#: Seconds between two looks at the ledger, and at Redis.
LOOK, LOOK_AT_REDIS = 0.002, 0.0005
#: Seconds that a process may take until it is ready.
START = 60
#: Where ledgers are kept in memory, where the system has such a place.
MEMORY = Path("/dev/shm")  # noqa: S108 - files of random names, in a folder of a random name


class TrialError(Exception):
    """A trial has no valid figure: jobs were lost, ran twice, or took too long."""


class Trial:
    """A trial of one peer with so many jobs; as a context manager it leaves nothing running."""

    def __init__(
        self, contender: Contender, environment: Environment, server: Server, *, jobs: int, patience: float
    ) -> None:
        """Choose; `patience` is how many seconds anything may take."""
        self.contender = contender
        self.environment = environment
        self.server = server
        self.jobs = jobs
        self.patience = patience
        self._children: list[Child] = []
        self._backlog: list[tuple[str, ...]] = []

    def __enter__(self) -> Self:
        """Empty Redis and start the producer."""
        self._temporary = TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None, prefix="benchmarks-")
        self._folder = Path(self._temporary.name)
        self.ledger = Ledger.create(self._folder / "ledger", self.jobs)
        self.server.empty()
        try:
            self._start("producer")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End everything."""
        for child in self._children:
            child.kill()
        self.ledger.close()
        self._temporary.cleanup()

    def enqueue(self, task: str, first: int, last: int, rate: float | str | None) -> float:
        """Have jobs enqueued (see `driver.Order`), and give the seconds that it took."""
        producer = self._children[0]
        producer.say({"task": task, "first": first, "last": last, "rate": rate})
        return float(producer.hear(self.patience)["seconds"])

    def start_workers(self, count: int = 1) -> None:
        """Start worker processes; they have imported everything, and wait for `release`."""
        self._start(*(f"worker-{number}" for number in range(1, count + 1)))

    def release(self) -> None:
        """Let the workers work."""
        for worker in self._children[1:]:
            worker.say({})

    def wait_until_run(self, first: int, last: int) -> None:
        """Wait until every job of a range has run."""
        position = first

        def done() -> bool:
            nonlocal position
            position = self.ledger.first_not_run(position, last)
            return position == last

        self._wait(done, LOOK, lambda: f"only {position - first:,} of {last - first:,} jobs, in order, have run")

    def wait_until_settled(self) -> int:
        """Wait until nothing is left to do or to commit in Redis, and give the time of that."""
        self._wait(lambda: self.server.holds_none(self._backlog), LOOK_AT_REDIS, lambda: "Redis still holds jobs")
        return time.monotonic_ns()

    def check_once(self, *, all_jobs: bool = True) -> int:
        """Make sure that no job ran twice, and that all ran; give how many did.

        Raises:
            TrialError: it is not so.
        """
        never, once, more = self.ledger.tally()
        if more:
            raise TrialError(f"{more:,} of {self.jobs:,} jobs ran more than once")
        if never and all_jobs:
            raise TrialError(f"{never:,} of {self.jobs:,} jobs never ran")
        return once

    def _start(self, *names: str) -> None:
        env = {
            **base_environment(),
            "PYTHONPATH": str(TEMPLATE),
            REDIS_URL: self.server.url,
            LEDGER: str(self._folder / "ledger"),
            # What the project reads.
            "REDIS_URL": self.server.url,
            "REDIS_ALLOW_NO_PERSISTENCE": "true",
            "DATABASE_URL": f"sqlite:///{self._folder}/app.db",
            "LOG_LEVEL": "WARNING",
        }
        started = []
        for name in names:
            role, log = name.partition("-")[0], self._folder / f"{name}.log"
            child = Child(self.contender, role, environment=self.environment, env=env, log=log)
            self._children.append(child)
            started.append(child)
        for child in started:
            hello: dict[str, Any] = child.hear(START)
            self._backlog = [tuple(command) for command in hello["backlog"]]

    def _wait(self, done: Callable[[], bool], pause: float, problem: Callable[[], str]) -> None:
        deadline = time.monotonic() + self.patience
        while not done():
            if time.monotonic() > deadline:
                raise TrialError(f"{problem()} within {self.patience:g} s")
            for child in self._children:
                child.check()
            time.sleep(pause)
