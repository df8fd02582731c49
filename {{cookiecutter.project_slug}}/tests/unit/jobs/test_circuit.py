"""The circuit: who asks a Redis that does not answer, and when."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobError, QueueUnavailable
from {{ cookiecutter.__package }}.infrastructure.jobs.circuit import PAUSE, Circuit


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(clock)


def fail(circuit: Circuit, error: BaseException) -> None:
    """Let a call through that ends so."""
    with pytest.raises(type(error)) as caught, circuit.call():
        raise error
    assert caught.value is error


def admits(circuit: Circuit) -> bool:
    """Tell whether a call is let through; one that is comes to no end that the circuit learns from."""
    if circuit.is_open:
        with pytest.raises(QueueUnavailable, match="was not asked"), circuit.call():
            pytest.fail("it was let through")
        return False
    with suppress(asyncio.CancelledError), circuit.call():
        raise asyncio.CancelledError
    return True


def test_the_first_failure_opens_it_for_some_seconds(circuit: Circuit, clock: Clock) -> None:
    """Nobody is let through until the pause is over; then somebody is."""
    assert admits(circuit)
    fail(circuit, QueueUnavailable("gone"))
    assert not admits(circuit)
    clock.now += PAUSE - 0.001
    assert not admits(circuit)
    clock.now += 0.001
    assert admits(circuit)


def test_one_caller_tries_while_the_others_do_not_wait(circuit: Circuit, clock: Clock) -> None:
    """After the pause one call is let through; until it has ended, all others are turned away."""
    fail(circuit, QueueUnavailable("gone"))
    clock.now += PAUSE
    with circuit.call():
        assert not admits(circuit)
        assert not admits(circuit)
    assert admits(circuit)
    with circuit.call(), circuit.call():
        assert admits(circuit)


def test_a_try_that_fails_begins_the_pause_anew(circuit: Circuit, clock: Clock) -> None:
    """Every pause is followed by one try."""
    fail(circuit, QueueUnavailable("gone"))
    for _ in range(3):
        clock.now += PAUSE
        fail(circuit, QueueUnavailable("still gone"))
        assert not admits(circuit)


def test_a_try_that_is_cancelled_leaves_the_next_to_another(circuit: Circuit, clock: Clock) -> None:
    """A caller that went away says nothing about Redis, and does not keep others from trying."""
    fail(circuit, QueueUnavailable("gone"))
    clock.now += PAUSE
    fail(circuit, asyncio.CancelledError())
    with circuit.call():
        pass
    assert admits(circuit)


def test_a_refusal_is_an_answer(circuit: Circuit, clock: Clock) -> None:
    """A Redis that refuses a job is there: the circuit stays closed, or is closed by it."""
    fail(circuit, JobError("out of memory"))
    assert admits(circuit)
    fail(circuit, QueueUnavailable("gone"))
    clock.now += PAUSE
    fail(circuit, JobError("out of memory"))
    assert admits(circuit)


def test_it_says_when_redis_goes_and_when_it_is_back(
    circuit: Circuit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """An outage is two lines in the log, however many calls it meets."""
    caplog.set_level("INFO")
    for _ in range(3):
        fail(circuit, QueueUnavailable("gone"))
        clock.now += PAUSE
    with circuit.call():
        pass
    with circuit.call():
        pass
    assert [record.message for record in caplog.records] == [
        f"Redis is away, and is asked again every {PAUSE:g} s: gone",
        "Redis is back",
    ]
