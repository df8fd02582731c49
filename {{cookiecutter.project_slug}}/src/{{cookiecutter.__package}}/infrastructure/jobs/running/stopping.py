"""How a worker stops: by signals, of which the first lets running jobs finish and the second does not, or by orders."""

from __future__ import annotations

import asyncio
import logging
from signal import Signals
from typing import TYPE_CHECKING

import arq.worker

from ..records import WorkerState

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from .consumer import Consumer
    from .presence import Presence

logger = logging.getLogger("arq.worker")


class StoppingWorker(arq.worker.Worker):
    """arq's worker with a way to stop that neither loses jobs nor waits for ever."""

    #: Running jobs that are cancelled are handed back, because the worker ends.
    stopping = False
    _consumer: Consumer | None = None
    #: Where plain functions run.
    _threads: ThreadPoolExecutor | None = None
    _hurry: asyncio.Event
    presence: Presence
    _next_tick = float("-inf")

    def begin(self) -> None:
        """Be as new: `arq --watch` runs one worker again and again."""
        self.stopping, self.allow_pick_jobs = False, True
        self._hurry.clear()
        self._show()

    @property
    def state(self) -> WorkerState:
        """What it does about jobs."""
        if self.stopping:
            return WorkerState.STOPPING
        return WorkerState.RUNNING if self.allow_pick_jobs else WorkerState.QUIET

    def quiet(self) -> None:
        """Start nothing more, for as long as it lives; in burst mode it ends when nothing runs."""
        self.allow_pick_jobs = False
        self._show()

    def stop(self) -> None:
        """End as on SIGTERM."""
        stop = self.handle_sig_wait_for_completion if self._job_completion_wait else self.handle_sig
        stop(Signals.SIGTERM)

    def handle_sig(self, signum: Signals) -> None:
        """Cancel what runs and end; what was cancelled is handed back."""
        if self._is_first(signum):
            super().handle_sig(signum)

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Claim nothing more, give running jobs `job_completion_wait` seconds, hand back the rest and end."""
        if self._is_first(signum):
            super().handle_sig_wait_for_completion(signum)

    def _is_first(self, signum: Signals) -> bool:
        if not self.stopping:
            self.stopping = True
            self._show()
            return True
        logger.info("%s again: handing back %d running jobs at once", Signals(signum).name, len(self.tasks))
        self._hurry.set()
        if self._consumer:
            self._consumer.hurry()
        return False

    def _show(self) -> None:
        """Give a sign of life at once: the state is another."""
        self.presence.reset()
        self._next_tick = float("-inf")
        if self._consumer:
            self._consumer.wake()

    async def _sleep_until_tasks_complete(self) -> None:
        hurry = self.loop.create_task(self._hurry.wait())
        while self.tasks and not hurry.done():
            await asyncio.wait([*self.tasks.values(), hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
