"""Jobs that may end the worker that runs them: found out without harm to those that ran beside them.

When a worker dies, any of its jobs may be the cause, so all are suspects; they are started again like others, until
one is in its last try. Then it runs while no other such job does, so that the one that ends its worker takes no other
job's last try with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .attempts import Attempt
from .commits import Committer, Return

if TYPE_CHECKING:
    from ..worker import Worker
    from .claims import Claim

#: Milliseconds after which a job that has to wait for such another is looked at again.
DELAY = 500


class Suspects:
    """The suspects of one worker."""

    def __init__(self, worker: Worker, committer: Committer) -> None:
        self._worker = worker
        self._committer = committer
        self._running: Claim | None = None

    async def set_apart(self, claims: list[Claim]) -> list[Claim]:
        """Put back the suspects that are in their last try, but for one, and give what may be started.

        The others are back in the queue when this returns: the one may end the process at once.
        """
        kept: list[Claim] = []
        for claim in claims:
            suspect = claim.lapsed and Attempt(self._worker, claim).is_last()
            if suspect and self._running:
                self._committer.add(Return(claim, delay=DELAY, counts=False, lapsed=True))
                continue
            kept.append(claim)
            if suspect:
                self._running = claim
        await self._committer.flush()
        return kept

    def ended(self, claim: Claim) -> None:
        """Let the next have its turn, if this was the one."""
        if self._running is claim:
            self._running = None
