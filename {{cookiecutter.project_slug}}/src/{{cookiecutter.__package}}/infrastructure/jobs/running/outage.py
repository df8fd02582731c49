"""Redis being away: what a worker knows of it, and how long it waits before it asks again."""

from __future__ import annotations

import asyncio
import logging
import random
import time

logger = logging.getLogger("arq.worker")

#: Seconds between two tries to reach Redis: the first pause at most, and the longest.
PAUSE, LONGEST_PAUSE = 0.5, 2.0
#: Seconds after which an answer has been slow.
SLOW = 1.0
#: Seconds after Redis has come back for which lapsed leases are left to the workers that held them.
SPARE = 3.0


class Outage:
    """One worker's view; its threads share it."""

    def __init__(self) -> None:
        #: A call has failed, and no lease has been renewed since: leases may have lapsed through no fault of ours.
        self.noticed = False
        self._over = float("-inf")
        self._pause = PAUSE

    async def pause(self, error: Exception) -> None:
        """Wait after a call that failed, longer each time, with jitter so that workers do not come back all at once."""
        self.noticed = True
        seconds = self._pause * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        logger.warning("Redis does not answer, next try in %.1f s: %s", seconds, error)
        await asyncio.sleep(seconds)

    def answered(self, seconds: float) -> None:
        """Take note of an answer, and of how long it took: a Redis that stood still has let leases lapse."""
        self._pause = PAUSE
        if seconds > SLOW:
            self._over = time.monotonic()

    def end(self) -> None:
        """Leases have been renewed."""
        if self.noticed:
            self.noticed = False
            self._over = time.monotonic()

    def spares_lapsed(self) -> bool:
        """Tell whether other workers may still be about to renew leases that have lapsed."""
        return self.noticed or time.monotonic() - self._over < SPARE
