"""The jobs whose lease a worker holds: those that are about to start, that run, and whose outcome is being recorded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .aborts import cancel

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..worker import Worker
    from .claims import Claim

logger = logging.getLogger("arq.worker")


class HeldJobs:
    """The claims of one worker by the ids of their jobs."""

    def __init__(self, worker: Worker, ready: Collection[Claim]) -> None:
        """Prepare; `ready` are those that are about to start."""
        self._worker = worker
        self._ready = ready
        self.claims: dict[str, Claim] = {}

    def take(self, claim: Claim) -> None:
        """Hold a job, also where an earlier try of it outlived its lease, and does not end."""
        if claim.job_id in self.claims:
            self.lose([self.claims[claim.job_id]])
        self.claims[claim.job_id] = claim

    def is_held(self, claim: Claim) -> bool:
        """Tell whether it is this claim by which the job is held."""
        return self.claims.get(claim.job_id) is claim

    def drop(self, claim: Claim) -> None:
        """Hold the job no longer."""
        if self.is_held(claim):
            del self.claims[claim.job_id]

    def recorded(self, claim: Claim, ours: bool) -> None:  # noqa: FBT001 - as the committer tells it
        """Hold the job no longer, now that its outcome was recorded, or refused because the lease was not ours."""
        self.drop(claim)
        if not ours and not claim.lost:
            claim.lost = True
            self._worker.jobs_lost += 1
            logger.warning("job %s: its lease was lost, so its outcome is not recorded", claim.job_id)

    def lose(self, claims: Sequence[Claim]) -> None:
        """Cancel the jobs that others may have by now."""
        for claim in claims:
            task = self._worker.tasks.get(claim.job_id)
            # One that neither waits nor runs is being recorded, which will show; and another try may have begun.
            if claim.lost or not self.is_held(claim) or not (task or claim in self._ready):
                continue
            claim.lost = True
            self._worker.jobs_lost += 1
            if task:
                cancel(task)
