"""A circuit breaker: who has found Redis away spares others the waiting."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import JobError, QueueFull, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

#: Seconds for which nobody asks a Redis that did not answer: every so often one caller waits in vain while it is away,
#: and at most so long it goes unnoticed that it is back.
PAUSE = 2.0


class Circuit:
    """Closed, everybody may call; the first failure opens it, and nobody does for `PAUSE` seconds.

    Then it is half open: one caller tries, while the others still do not wait. Its success closes the circuit.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._opened: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether a call would be turned away."""
        return self._opened is not None and (self._probing or self._clock() - self._opened < PAUSE)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Let the caller's block run, and learn from how it ends.

        `QueueUnavailable` opens the circuit, unless it is a queue that is full; any other end of the block but a
        cancellation closes it.

        Raises:
            QueueUnavailable: the circuit is open; the block is not run.
        """
        if self.is_open:
            raise QueueUnavailable("Redis has not answered in the last seconds, so it was not asked; try again later")
        probing = self._probing = self._opened is not None
        try:
            yield
        except JobError as error:
            if isinstance(error, QueueUnavailable) and not isinstance(error, QueueFull):
                self._open(error)
            else:  # it answers, if only to refuse
                self._close()
            raise
        else:
            self._close()
        finally:
            if probing:
                self._probing = False

    def _open(self, error: QueueUnavailable) -> None:
        if self._opened is None:
            logger.warning("Redis is away, and is asked again every %g s: %s", PAUSE, error)
        self._opened = self._clock()

    def _close(self) -> None:
        if self._opened is not None:
            logger.info("Redis is back")
        self._opened = None
