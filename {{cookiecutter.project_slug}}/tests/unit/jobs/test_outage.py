"""What a worker knows of Redis having been away."""

from __future__ import annotations

import asyncio

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs.running import outage as module
from {{ cookiecutter.__package }}.infrastructure.jobs.running.outage import (
    LONGEST_PAUSE,
    PAUSE,
    SLOW,
    Outage,
)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the lengths of the pauses, which take no time."""
    lengths: list[float] = []

    async def sleep(seconds: float) -> None:
        lengths.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return lengths


async def test_pauses_grow_up_to_a_limit(pauses: list[float]) -> None:
    """Each is between half of its upper bound and the whole; an answer begins anew."""
    outage = Outage()
    for _ in range(6):
        await outage.pause(ConnectionError("away"))
    bounds = [min(PAUSE * 2**number, LONGEST_PAUSE) for number in range(6)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    outage.answered(0.001)
    await outage.pause(ConnectionError("away"))
    assert pauses[-1] <= PAUSE


async def test_lapsed_leases_are_spared_for_a_while(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is away, and for some seconds after; also when it was only slow."""
    clock = 0.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    outage = Outage()
    assert not outage.spares_lapsed()
    await outage.pause(ConnectionError("away"))
    clock = 100.0
    assert outage.noticed
    assert outage.spares_lapsed()
    outage.end()
    assert outage.spares_lapsed()
    clock = 100.0 + module.SPARE
    assert not outage.spares_lapsed()
    outage.answered(SLOW / 2)
    assert not outage.spares_lapsed()
    outage.answered(SLOW * 2)
    assert outage.spares_lapsed()
    assert len(pauses) == 1
