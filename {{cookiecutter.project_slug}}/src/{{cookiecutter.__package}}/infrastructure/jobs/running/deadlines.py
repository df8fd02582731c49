"""The deadlines of running jobs: one timer for all of them, set to the first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .claims import Claim

#: Seconds after its deadline for which a job that has been cancelled may take to end.
PATIENCE = 5.0
#: Seconds after its deadline for which the lease of a job is still renewed, should the event loop be blocked.
GRACE = 10.0


class Deadlines:
    """Cancels jobs that take too long; a timer for each job would cost a sixth of the time of a short one."""

    def __init__(self, on_stuck: Callable[[Claim], object] = lambda _claim: None) -> None:
        """Prepare; `on_stuck` is told of a job that was cancelled at its deadline, and has not ended."""
        self._on_stuck = on_stuck
        self._running: dict[Claim, tuple[asyncio.Task[object], float]] = {}
        #: Cancelled at their deadline, and until when they may take to end.
        self._over: dict[Claim, float] = {}
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
        return self._over.pop(claim, None) is not None

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
                self._over[claim] = now + PATIENCE
                task.cancel()
        for claim, moment in list(self._over.items()):
            if moment <= now:
                self._over[claim] = float("inf")
                self._on_stuck(claim)
        moments = [*(moment for _, moment in self._running.values()), *self._over.values()]
        first = min(moments, default=float("inf"))
        if first < float("inf"):
            self._wait_for(first)
