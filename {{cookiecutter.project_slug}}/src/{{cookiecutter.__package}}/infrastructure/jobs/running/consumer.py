"""What a worker does with its queues: claim, run, keep the leases, record, and give back what is left at the end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ..errors import JobError
from .attempts import Attempt
from .claims import Claimer
from .commits import Committer, End, Return
from .held import HeldJobs
from .leases import LeaseKeeper
from .slots import Slots, are_drained
from .suspects import Suspects
from .wakeup import WakeUp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ..worker import Worker
    from .claims import Claim

logger = logging.getLogger("arq.worker")

#: Seconds that cancelled jobs, and recording what became of them, may take when the worker ends.
STOP_WAIT = 5.0
#: The same after a second signal.
HURRY_WAIT = 0.5
#: Milliseconds after which a job is looked at again that could not be started.
AGAIN = 500
#: Seconds between two looks at what else there is to do, for a worker without a free slot that never pauses.
TICK = 0.5


class Consumer:
    """One run of a worker, from its first claim to the last commit."""

    def __init__(self, worker: Worker) -> None:
        """Prepare; jobs, settings and counters are those of the worker."""
        self._worker = worker
        token, lease = worker.presence.record.worker_id, worker.lease_s
        self._outage = worker.outage
        #: Jobs that are claimed and about to be started.
        self._ready: deque[Claim] = deque()
        self._held = HeldJobs(worker, self._ready)
        self._claimer = Claimer(worker.pool, token, lease=lease, served=worker.served)
        self._committer = Committer(worker.pool, token, outage=self._outage, recorded=self._held.recorded)
        self._suspects = Suspects(worker, self._committer)
        self._leases = LeaseKeeper(
            self._held.claims,
            token,
            lease=lease,
            outage=self._outage,
            on_lost=self._held.lose,
            sign_of_life=worker.presence.prolong,
        )
        self._slots = Slots(worker, self._ready, self._held.claims)
        self._wakeup = WakeUp(worker.pool, self._slots.open_queues)
        self._slot_freed = asyncio.Event()
        #: A claim that is under way; it is never cut short, for then nobody would know what it has claimed.
        self._claiming: asyncio.Task[None] | None = None
        #: Moment of the loop's clock at which the next job is due, as far as is known.
        self._next_due = 0.0
        self._stopping: asyncio.Timeout | None = None
        self._hurried = self._has_run = False
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Work until cancelled, or in burst mode until nothing is left to do; then wind down."""
        self._running = asyncio.current_task()
        self._leases.start(self._worker.pool)
        try:
            await self._work()
        finally:
            await self.wind_down()
            self._running, self._has_run = None, True

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # With a socket_timeout redis-py calls asyncio.wait_for, which in Python 3.11 may swallow a cancellation.
            if self._running and self._running.cancelling():
                raise asyncio.CancelledError
            began = loop.time()
            try:
                await self._worker.poll()
                if self._worker.burst and await self._burst_is_over():
                    return
            except (RedisError, OSError, JobError) as error:
                await self._outage.pause(error)
                continue
            self._outage.answered(loop.time() - began)
            await self._rest()

    async def claim(self, began: float) -> None:
        """Start as many due jobs as there are free slots; where none is to be expected, only look.

        Args:
            began: moment of the loop's clock since which Redis has been asked this or that.
        """
        if not (self._ready or self._claiming) and self._slots.free > 0 and await self._is_due():
            self._ask(began)
        if self._claiming and not self._ready:
            await asyncio.wait([self._claiming])  # which leaves it alone if this is cancelled
        if self._claiming and self._claiming.done():
            claiming, self._claiming = self._claiming, None
            claiming.result()
        if self._ready:
            if self._running and not self._claiming and self._next_due == 0:
                self._ask(began)  # so that Redis works on it while these jobs run
            self._start()
            await asyncio.sleep(0)

    async def _is_due(self) -> bool:
        loop = asyncio.get_running_loop()
        if self._next_due > loop.time():
            due = await self._claimer.peek()
            self._next_due = min(self._next_due, float("inf") if due is None else loop.time() + due)
            return due == 0
        return True

    def _ask(self, began: float) -> None:
        slots = min(self._slots.free, self._worker.queue_read_limit)
        if slots > 0:
            self._claiming = asyncio.get_running_loop().create_task(self._claim(slots, began))

    async def _claim(self, slots: int, began: float) -> None:
        spare_lapsed = self._outage.spares_lapsed()
        claims, due = await self._claimer.claim(
            slots, running=self._slots.filled(), spare_lapsed=spare_lapsed, began=began
        )
        self._next_due = float("inf") if due is None else due and asyncio.get_running_loop().time() + due
        for claim in claims:
            self._held.take(claim)
        if any(claim.lapsed for claim in claims):
            claims = await self._suspects.set_apart(claims)
        self._ready += claims
        if due != 0 and self._running:  # else the next claim is to be under way first
            self._start()

    def _start(self) -> None:
        """Start half as many jobs as may run at once: while one half runs, Redis gives the other."""
        if not self._worker.allow_pick_jobs:
            self._committer.put_back(self._ready)
        loop = asyncio.get_running_loop()
        for _ in range(min(len(self._ready), (self._worker.max_jobs + 1) // 2)):
            claim = self._ready.popleft()
            if claim.lost:
                self._held.drop(claim)
                self._suspects.ended(claim)
            else:
                if claim.special == "aborted":  # nobody is to take the wish before the end is recorded
                    self._worker.aborting_tasks.add(claim.job_id)
                self._worker.tasks[claim.job_id] = loop.create_task(self._run(claim, Attempt.run))

    async def record(self, outcome: End | Return) -> bool:
        """Record an outcome and wait for it; False if the lease was lost before."""
        outcome.claim.ended = True
        outcome.recorded = asyncio.get_running_loop().create_future()
        self._committer.add(outcome)
        return await outcome.recorded

    async def close(self) -> None:
        """End `run`, wherever it runs; what was started without it ends, too."""
        if self._running:
            if not self._running.cancelling():
                self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        elif self._worker.tasks or self._held.claims or not self._has_run:
            await self.wind_down()

    async def wind_down(self) -> None:
        """Cancel what still runs, give it back, and end; Redis and stubborn tasks are waited for only so long."""
        worker = self._worker
        try:
            async with asyncio.timeout(HURRY_WAIT if self._hurried else STOP_WAIT) as self._stopping:
                await self._cancel_all()
                await self._committer.flush()
        except TimeoutError:
            logger.warning(
                "%d leases are left to lapse: not everything could be recorded in time", len(self._held.claims)
            )
            self._committer.give_up()
            self._held.claims.clear()
        finally:
            self._stopping = None
        await self._leases.stop()
        await self._wakeup.stop()
        await asyncio.gather(self._committer.counters.close(), worker.presence.withdraw(worker.pool))

    def give_up(self, claim: Claim) -> None:
        """End the try of a job that was cancelled at its deadline, and goes on; what it still does counts no more."""
        task = self._worker.tasks.get(claim.job_id)
        if task is None or claim.ended or claim.lost or not self._held.is_held(claim):
            return
        twin = self._held.claims[claim.job_id] = replace(claim, deadline=None)
        claim.lost = True
        self._suspects.ended(claim)
        self._worker.tasks[claim.job_id] = asyncio.get_running_loop().create_task(self._run(twin, Attempt.give_up))

    def hurry(self) -> None:
        """Wait no longer than half a second when winding down."""
        self._hurried = True
        if self._stopping:
            self._stopping.reschedule(asyncio.get_running_loop().time() + HURRY_WAIT)

    async def _cancel_all(self) -> None:
        worker = self._worker
        if self._claiming:
            await asyncio.gather(self._claiming, return_exceptions=True)
        self._committer.put_back(self._ready)
        if not worker.tasks:
            return
        was_stopping, worker.stopping = worker.stopping, True
        for task in worker.tasks.values():
            if not task.cancelling():
                task.cancel()
        await asyncio.wait(worker.tasks.values(), timeout=(HURRY_WAIT if self._hurried else STOP_WAIT) / 2)
        for job_id, task in list(worker.tasks.items()):
            if not task.done():  # else it was cancelled before it had begun
                logger.warning("%s does not end although it is cancelled; it is handed back", job_id)
            del worker.tasks[job_id]
            held = self._held.claims.get(job_id)
            if held and not held.ended:
                self._held.drop(held)
                self._committer.add(Return(replace(held), counts=False, lapsed=held.lapsed))
                held.lost = True  # what it still does counts no more
        worker.stopping = was_stopping

    async def _run(self, claim: Claim, step: Callable[[Attempt], Awaitable[End | Return | None]]) -> None:
        worker = self._worker
        outcome: End | Return | None = None
        try:
            outcome = await step(Attempt(worker, claim))
        except asyncio.CancelledError:  # in a hook
            outcome = None if claim.ended else Return(claim, counts=not worker.stopping)
        except (RedisError, OSError) as error:  # what its task or a hook raises does not come here
            logger.warning("%s: put back, for Redis did not answer before it could start: %s", claim.job_id, error)
            outcome = Return(claim, delay=AGAIN, counts=False)
        except Exception:
            logger.exception("%s: something outside the task failed; it is put back", claim.job_id)
            outcome = Return(claim, delay=AGAIN)
        if worker.tasks.get(claim.job_id) is asyncio.current_task():
            del worker.tasks[claim.job_id]
            worker.aborting_tasks.discard(claim.job_id)  # whatever became of the wish, it was for this run
        self._suspects.ended(claim)
        self._slot_freed.set()
        if worker.burst or worker.served.keeps_slots:
            self._wakeup.set()
        if outcome is None or claim.lost:
            self._held.drop(claim)
        elif not outcome.recorded:
            self._committer.add(outcome)

    def serve(self, lanes: Iterable[str], *, look: bool = False) -> None:
        """Serve the queues of these lanes from now on, if the worker serves all; `look` for jobs at once."""
        self._next_due = 0.0 if look else self._next_due
        if self._worker.served.add(lanes):
            self._next_due = 0.0
            self._wakeup.listen_anew()

    def wake(self) -> None:
        """Rest no longer: there is something else to do than jobs."""
        self._slot_freed.set()
        self._wakeup.set()

    async def _rest(self) -> None:
        """Wait for a free slot, or for something to fill one with; never longer than `poll_delay`."""
        loop = asyncio.get_running_loop()
        poll_delay = self._worker.poll_delay_s
        if self._ready or self._claiming:
            return
        if self._slots.free <= 0:
            self._slot_freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(poll_delay or TICK):
                    await self._slot_freed.wait()
            return
        seconds = min(self._next_due - loop.time(), poll_delay)
        if seconds <= 0:
            await asyncio.sleep(0)
        elif await self._wakeup.wait(seconds):
            self._next_due = 0.0

    async def _burst_is_over(self) -> bool:
        worker = self._worker
        if self._slots.is_last_of_burst:
            await asyncio.gather(*worker.tasks.values())
        if worker.tasks or self._ready or self._claiming:
            return False
        await self._committer.flush()
        return self._slots.is_last_of_burst or await are_drained(worker)
