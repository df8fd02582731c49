"""The deadlines of running jobs: one timer for all of them, set to the first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .claims import Claim

#: Seconds after its deadline for which the lease of a job is still renewed, so that it can end in order.
GRACE = 10.0


class Deadlines:
    """Cancels jobs that take too long; a timer for each job would cost a sixth of the time of a short one."""

    def __init__(self) -> None:
        self._running: dict[Claim, tuple[asyncio.Task[object], float]] = {}
        self._over: set[Claim] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._first = float("inf")

    def set(self, claim: Claim, task: asyncio.Task[object], moment: float) -> None:
        """Cancel the task at this moment of the loop's clock, unless another is set, or it is done with before."""
        self._running[claim] = task, moment
        claim.deadline = moment + GRACE
        if moment < self._first:
            self._wait_for(moment)

    def done(self, claim: Claim) -> bool:
        """Tell whether the job's time was over; from now on it has no deadline."""
        self._running.pop(claim, None)
        if claim not in self._over:
            return False
        self._over.discard(claim)
        return True

    def _wait_for(self, moment: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._first = moment
        self._timer = asyncio.get_running_loop().call_at(moment, self._ring)

    def _ring(self) -> None:
        self._timer, self._first = None, float("inf")
        now = asyncio.get_running_loop().time()
        for claim, (task, moment) in list(self._running.items()):
            if moment <= now:
                del self._running[claim]
                self._over.add(claim)
                task.cancel()
        if self._running:
            self._wait_for(min(moment for _, moment in self._running.values()))
