"""One of something for each event loop: connections belong to the loop in which they were opened."""

from __future__ import annotations

import asyncio
from functools import update_wrapper
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Decorates a function without arguments: it is called once for each event loop, and its value is kept.

    What belongs to a loop that is closed is dropped when the next loop asks.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}
        update_wrapper(self, make)

    def __call__(self) -> T:
        """Give that of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            for closed in [each for each in list(self._made) if each.is_closed()]:
                self._made.pop(closed, None)
            self._made[loop] = self._make()
        return self._made[loop]

    def take(self) -> T | None:
        """Give that of the running loop, if there is one, to be closed; the next call makes another."""
        return self._made.pop(asyncio.get_running_loop(), None)
