"""Being told that the server is to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.api.stopping import told_to_stop

if TYPE_CHECKING:
    from collections.abc import Iterator

each_signal = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.fixture(autouse=True)
def server() -> Iterator[list[int]]:
    """Handle signals as a server does, and give those that have come."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    yield came
    for number, handler in before.items():
        signal.signal(number, handler)


@each_signal
async def test_the_server_is_told_as_well(server: list[int], number: signal.Signals) -> None:
    """The function is called in the event loop, and the server stops as it would have."""
    told = asyncio.Event()
    with told_to_stop(told.set):
        signal.raise_signal(number)
        async with asyncio.timeout(60):
            await told.wait()
    assert server == [number]


@each_signal
async def test_nothing_is_left(server: list[int], number: signal.Signals) -> None:
    """After the block the server alone is told; and what somebody else has put in the place stays."""
    before = signal.getsignal(number)
    with told_to_stop(lambda: pytest.fail("it is too late")):
        pass
    assert signal.getsignal(number) is before
    signal.raise_signal(number)
    assert server == [number]
    with told_to_stop(print):
        signal.signal(number, signal.SIG_IGN)
    assert signal.getsignal(number) is signal.SIG_IGN


@each_signal
async def test_what_nobody_handles_stays_so(number: signal.Signals) -> None:
    """A signal that ends the process at once, or is taken no notice of, still does, or is."""
    for handler in (signal.SIG_DFL, signal.SIG_IGN):
        signal.signal(number, handler)
        with told_to_stop(print):
            assert signal.getsignal(number) is handler


async def test_a_thread_cannot_be_told() -> None:
    """An application that is served by another thread than the main one starts all the same."""

    async def serve() -> str:
        with told_to_stop(print):
            return threading.current_thread().name

    assert await asyncio.to_thread(asyncio.run, serve()) != threading.main_thread().name
