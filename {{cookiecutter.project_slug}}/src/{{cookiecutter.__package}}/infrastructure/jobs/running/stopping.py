"""How a worker is told to stop: by signals, of which the first lets running jobs finish and the second does not."""

from __future__ import annotations

import asyncio
import logging
from signal import Signals
from typing import TYPE_CHECKING

import arq.worker

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from .consumer import Consumer

logger = logging.getLogger("arq.worker")


class StoppingWorker(arq.worker.Worker):
    """arq's worker with a way to stop that neither loses jobs nor waits for ever."""

    #: Running jobs that are cancelled are handed back, because the worker ends.
    stopping = False
    _consumer: Consumer | None = None
    #: Where plain functions run.
    _threads: ThreadPoolExecutor | None = None
    _hurry: asyncio.Event

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
            return True
        logger.info("%s again: handing back %d running jobs at once", Signals(signum).name, len(self.tasks))
        self._hurry.set()
        if self._consumer:
            self._consumer.hurry()
        return False

    async def _sleep_until_tasks_complete(self) -> None:
        hurry = self.loop.create_task(self._hurry.wait())
        while self.tasks and not hurry.done():
            await asyncio.wait([*self.tasks.values(), hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
