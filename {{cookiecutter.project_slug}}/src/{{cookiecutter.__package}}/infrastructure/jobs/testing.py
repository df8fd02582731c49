"""For a project's own tests: the queue in memory, a worker that runs when told to, a clock that is moved by hand.

In `tests/conftest.py` stands one line, which makes the fixture `jobs`:

    jobs = jobs_fixture(WorkerSettings, close=[close_task_pool, close_cache], settle=settle_outbox)

A test that takes it needs no server and never waits:

    async def test_a_new_user_is_greeted(jobs, client):
        await client.post("/api/v1/users", json={"email": "ada@example.com", "name": "Ada"})
        await jobs.settle()
        jobs.assert_enqueued("send_welcome_email", user_email="ada@example.com")
        [job] = await jobs.run_jobs()
        assert job.status == "success"

It needs the packages fakeredis and time-machine, which a project has for its development only.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

import pytest_asyncio
import time_machine
from arq.worker import get_kwargs

from . import keys
from .batches import Batches
from .connections import RedisSettings, close_client
from .dead_letters import DeadLetters
from .execution import Execution
from .expectations import Expectations
from .fallback import Dispatcher
from .memory import MemoryServer, MemoryWorker
from .pool import TaskPool
from .records import JobStatus
from .workflows.client import Workflows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from .records import JobRecord

#: What enqueues: methods that nothing else of the engine calls.
EAGER: list[tuple[type, str]] = [
    (Dispatcher, "dispatch"),
    (TaskPool, "enqueue"),
    (TaskPool, "enqueue_many"),
    (TaskPool, "enqueue_job"),
    (Batches, "enqueue"),
    (Workflows, "chain"),
    (Workflows, "group"),
    (DeadLetters, "replay"),
    (DeadLetters, "replay_all"),
]
NOT_STARTED = {JobStatus.PENDING, JobStatus.SCHEDULED}
#: Runs of jobs that one call makes, unless told otherwise.
MAX_RUNS = 1000


async def nothing() -> None:
    """Do nothing."""


def jobs_fixture(
    worker_settings: Any,
    *,
    close: Sequence[Callable[[], Awaitable[None]]] = (),
    settle: Callable[[], Awaitable[None]] = nothing,
) -> Any:
    """Make the fixture `jobs`, a `MemoryJobs` for each test.

    Args:
        worker_settings: the class that workers are started with.
        close: functions that close the connections which the application keeps, so that it makes new ones: to the
            memory when the test begins, and to its real Redis when it has ended.
        settle: waits until jobs that were committed to the outbox have been published.
    """

    @pytest_asyncio.fixture
    async def jobs() -> AsyncIterator[MemoryJobs]:
        """Give the queue in memory."""
        async with MemoryJobs(worker_settings, close=close, settle=settle) as memory_jobs:
            yield memory_jobs

    return jobs


class Clock:
    """The time of day, as Python and the Redis in memory see it; it runs on by itself, and can be moved ahead.

    Deferred jobs, pauses between tries, leases and what is kept for a while follow it. What waits in the event loop
    does not: `asyncio.sleep`, and the time that a running task may take.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._traveller: time_machine.Traveller | None = None

    def advance(self, by: float | timedelta) -> None:
        """Move ahead by so many seconds.

        Raises:
            ValueError: that is back in time.
        """
        delta = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if delta < timedelta(0):
            raise ValueError(f"the clock cannot go back by {-delta}")
        if self._traveller is None:
            self._traveller = self._stack.enter_context(time_machine.travel(timedelta(0)))
        self._traveller.shift(delta)

    def stop(self) -> None:
        """Go back to the real time."""
        self._stack.close()
        self._traveller = None


class MemoryJobs(Expectations):
    """A queue in memory, in place of the Redis that the application is told of; see the module."""

    def __init__(
        self,
        worker_settings: Any,
        *,
        close: Sequence[Callable[[], Awaitable[None]]] = (),
        settle: Callable[[], Awaitable[None]] = nothing,
    ) -> None:
        """Prepare; see `jobs_fixture`."""
        self._settings: dict[str, Any] = {"ctx": {}, **get_kwargs(worker_settings)}
        #: The Redis in memory.
        self.server = MemoryServer()
        super().__init__(self.server, self._settings.get("functions", ()), self._settings.get("cron_jobs") or ())
        self.clock = Clock()
        #: What start-up would put into the context of every task: no worker's start-up or shutdown runs here.
        self.ctx: dict[Any, Any] = {}
        self._close = close
        self._settle = settle
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Lead the application's new connections here."""
        for close in self._close:
            await close()
            self._stack.push_async_callback(close)
        self._stack.enter_context(self.server.installed())
        self._stack.callback(self.clock.stop)
        self.pool = TaskPool.from_settings(RedisSettings())
        self._stack.push_async_callback(close_client, self.pool)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Give the application its own Redis back."""
        await self._stack.aclose()

    async def settle(self) -> None:
        """Wait until what was enqueued in transactions that are committed has left the outbox for the queue."""
        await self._settle()

    async def run_jobs(self, *, scheduled: bool = False, at_most: int = MAX_RUNS) -> list[JobRecord]:
        """Run what is due in any queue, and what that enqueues, by a worker with the project's settings.

        Neither ticks of cron jobs nor the worker's services are part of that.

        Args:
            scheduled: go on until the queues are empty; the clock is moved to when the next job is due, so that
                deferred jobs run, and further tries of those that fail.
            at_most: how many runs it may take, each try of a job counted: a job that enqueues itself is never done.

        Returns:
            The records of the jobs that were started, in that order, as they are afterwards. A job whose result is not
            kept leaves none.

        Raises:
            AssertionError: it would take more runs.
        """
        runs = 0
        records: dict[str, JobRecord] = {}
        while True:
            await self._settle()
            started = await self._work(at_most - runs)
            runs += len(started)
            # Now, for they expire by the clock.
            records |= {record.job_id: record for record in await self._records(started)}
            if runs > at_most:
                tasks = sorted({record.task for record in records.values()})
                raise AssertionError(f"more than {at_most} runs of jobs, of these tasks: {', '.join(tasks)}")
            if started:
                continue  # what they have enqueued in transactions may still be in the outbox
            due = self._next_due() if scheduled else None
            if due is None:
                return list(records.values())
            self.clock.advance(max(0.0, due - time.time() + 0.001))  # Redis counts whole ms

    @contextmanager
    def eager(self, *, raise_errors: bool = True) -> Iterator[list[JobRecord]]:
        """Meanwhile, run a job as soon as it is enqueued: it has ended when the call that enqueued it answers.

        A job has one try only. Deferred jobs wait as ever; jobs that were due before run with the first one.

        Args:
            raise_errors: raise what a task raises from the call that enqueued it; else only its record tells.

        Returns:
            In the block, a list that grows by the record of each job that has ended.
        """
        ended: list[JobRecord] = []
        with ExitStack() as stack:
            errors = stack.enter_context(_errors_seen())
            # Not `TaskPool.send`, through which they all go: the front door gives that only so much time.
            for owner, name in EAGER:
                eager = self._eager(getattr(owner, name), ended, errors if raise_errors else {})
                stack.enter_context(patch.object(owner, name, eager))
            yield ended

    @contextmanager
    def redis_away(self) -> Iterator[None]:
        """Meanwhile, answer nobody, as a Redis that is down."""
        self.server.connected = False
        try:
            yield
        finally:
            self.server.connected = True

    def _next_due(self) -> float | None:
        paused = {key.decode() for key in self._redis.smembers(keys.PAUSED)}
        due = [key for key in self.queue_keys() if keys.queue_of(key) not in paused]
        scores = [self._redis.zrange(key, 0, 0, withscores=True)[0][1] for key in due]
        return min(scores) / 1000 if scores else None

    def _eager(
        self, enqueue: Callable[..., Awaitable[Any]], ended: list[JobRecord], errors: dict[str, Exception]
    ) -> Callable[..., Awaitable[Any]]:
        @wraps(enqueue)
        async def enqueue_and_run(*args: Any, **kwargs: Any) -> Any:
            answer = await enqueue(*args, **kwargs)
            started = await self._work(retry_jobs=False)
            ended.extend(await self._records(started))
            for job_id in started:
                if job_id in errors:
                    raise errors.pop(job_id)
            return answer

        return enqueue_and_run

    async def _work(self, at_most: int = MAX_RUNS, **settings: Any) -> list[str]:
        """Run what is due; give the ids of the jobs that were started, again for each try."""
        if not self.server.connected:
            return []
        settings = {**self._settings, **settings, "ctx": {**self._settings["ctx"], **self.ctx}}
        worker = MemoryWorker(**settings, at_most=at_most)
        return await worker.run_all(self.queue_keys)

    async def _records(self, job_ids: list[str]) -> list[JobRecord]:
        """Give the records of the jobs that have run; one that was claimed and had to wait for others has not."""
        records = [await self.pool.record(job_id) for job_id in dict.fromkeys(job_ids)]
        return [record for record in records if record and record.status not in NOT_STARTED]


@contextmanager
def _errors_seen() -> Iterator[dict[str, Exception]]:
    """Give a dict that fills with what tasks raise, by the id of the job."""
    errors: dict[str, Exception] = {}
    run = Execution.run

    @wraps(run)
    async def watched(execution: Execution, claim: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await run(execution, claim, *args, **kwargs)
        except Exception as error:
            errors[claim.job_id] = error
            raise

    with patch.object(Execution, "run", watched):
        yield errors
