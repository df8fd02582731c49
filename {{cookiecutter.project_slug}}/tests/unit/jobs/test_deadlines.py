"""Deadlines of running jobs, on the loop's own clock."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from {{ cookiecutter.__package }}.infrastructure.jobs.running import deadlines as deadlines_module
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claim
from {{ cookiecutter.__package }}.infrastructure.jobs.running.deadlines import GRACE, Deadlines

if TYPE_CHECKING:
    import pytest


def new_claim(job_id: str = "a") -> Claim:
    return Claim(job_id, b"", 1, 0, 0, "arq:queue", "", 0, "1:0")


async def hang(deadlines: Deadlines, claim: Claim, seconds: float) -> bool:
    """Wait for ever under a deadline; tell whether it was the deadline that ended the waiting."""
    task: Any = asyncio.current_task()
    deadlines.set(claim, task, asyncio.get_running_loop().time() + seconds)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        task.uncancel()
    return deadlines.done(claim)


async def test_whoever_is_over_time_is_cancelled() -> None:
    """Each at its own moment, whatever the order in which they were set."""
    deadlines = Deadlines()
    tasks = [asyncio.create_task(hang(deadlines, new_claim(), seconds)) for seconds in (0.03, 0.01, 3600, 0.02)]
    ended: list[int] = []
    for task in tasks:
        task.add_done_callback(lambda task: ended.append(tasks.index(task)))
    assert all(await asyncio.gather(tasks[0], tasks[1], tasks[3]))
    await asyncio.sleep(0)
    assert ended == [1, 3, 0]
    assert not tasks[2].done()
    tasks[2].cancel()
    assert await tasks[2] is False  # somebody else's wish is no deadline


async def test_a_deadline_can_be_moved() -> None:
    """The last moment that was set counts, sooner or later than the one before; the lease is kept a little longer."""
    deadlines, claim = Deadlines(), new_claim()
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(hang(deadlines, claim, 3600))
    await asyncio.sleep(0)
    moment = loop.time()
    deadlines.set(claim, task, moment)
    assert claim.deadline == moment + GRACE
    assert await task is True

    other = asyncio.create_task(hang(deadlines, claim, 0.01))
    await asyncio.sleep(0)
    deadlines.set(claim, other, loop.time() + 3600)
    assert await hang(deadlines, new_claim("b"), 0.02) is True  # the first moment has passed
    assert not other.done()
    other.cancel()
    assert await other is False


async def test_what_is_done_is_left_alone() -> None:
    """A job that ended in time has no deadline any more."""
    deadlines, claim = Deadlines(), new_claim()
    task = asyncio.create_task(asyncio.Event().wait())
    deadlines.set(claim, task, asyncio.get_running_loop().time() + 0.01)
    assert deadlines.done(claim) is False
    assert await hang(deadlines, new_claim("b"), 0.02) is True
    assert not task.done()
    task.cancel()


async def test_who_goes_on_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that has been cancelled at its deadline, and has not ended a little later, is told of once."""
    monkeypatch.setattr(deadlines_module, "PATIENCE", 0.01)
    stuck: list[Claim] = []
    reported = asyncio.Event()

    def on_stuck(claim: Claim) -> None:
        stuck.append(claim)
        reported.set()

    deadlines, claim = Deadlines(on_stuck), new_claim()
    free = asyncio.Event()

    async def deaf() -> bool:
        task: Any = asyncio.current_task()
        deadlines.set(claim, task, asyncio.get_running_loop().time())
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()
        return deadlines.done(claim)

    task = asyncio.create_task(deaf())
    await reported.wait()
    assert await hang(deadlines, new_claim("b"), 0.03) is True  # the timer goes on for others
    assert stuck == [claim]
    free.set()
    assert await task is True
