"""Policies that hold in direct calls."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

import pytest
from arq import Retry

from {{ cookiecutter.__package }}.infrastructure.jobs.decorators import background_task, retry, timeout
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidPolicyError
from {{ cookiecutter.__package }}.infrastructure.jobs.retries import RetryConfig
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task

if TYPE_CHECKING:
    from collections.abc import Callable


class Flaky:
    """Raises these errors one after the other, then gives back what it is called with."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: int) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the pauses between direct tries, without making them."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


async def called(flaky: Flaky, decorator: Callable[[Callable[..., Any]], Callable[..., Any]], kind: str) -> Any:
    """Call a decorated function of this kind, made from the flaky one."""

    @decorator
    async def wait(value: int) -> int:
        return flaky(value)

    @decorator
    def block(value: int) -> int:
        return flaky(value)

    return await wait(3) if kind == "async def" else block(3)


kinds = pytest.mark.parametrize("kind", ["async def", "def"])


@kinds
@pytest.mark.parametrize("decorator", [retry, background_task(retry=3), lambda f: retry(timeout(60)(f))])
async def test_a_direct_call_is_tried_again(decorator: Any, kind: str, pauses: list[float]) -> None:
    """In an ordinary function too, which is no task: up to three calls, with pauses between them."""
    flaky = Flaky(ValueError("one"), ValueError("two"))
    assert await called(flaky, decorator, kind) == 3
    assert flaky.calls == 3
    assert len(pauses) == 2


@kinds
async def test_the_pauses_are_those_of_the_policy(kind: str, pauses: list[float]) -> None:
    """The first pause is `delay`, then it grows by `factor`."""
    config = RetryConfig(max_tries=4, delay=1, factor=3, jitter=False)
    await called(Flaky(*[ValueError()] * 3), retry(config), kind)
    assert pauses == [1, 3, 9]


@kinds
async def test_the_last_error_is_raised_as_it_is(kind: str, pauses: list[float]) -> None:
    """Not wrapped, so that callers can catch it."""
    first, last = ValueError("first"), KeyError("last")
    with pytest.raises(KeyError) as caught:
        await called(Flaky(first, last), retry(2), kind)
    assert caught.value is last
    assert last.__context__ is None
    assert len(pauses) == 1


@kinds
@pytest.mark.parametrize("options", [{"give_up_on": ValueError}, {"retry_on": OSError}, {"max_tries": 1}])
async def test_what_another_call_does_not_help_is_raised_at_once(
    options: dict[str, Any], kind: str, pauses: list[float]
) -> None:
    """`retry_on` and `give_up_on` hold in direct calls."""
    flaky = Flaky(ValueError())
    with pytest.raises(ValueError, match=r"^$"):
        await called(flaky, retry(**options), kind)
    assert (flaky.calls, pauses) == (1, [])


@kinds
async def test_a_wish_to_be_retried_sets_the_pause(kind: str, pauses: list[float]) -> None:
    """`arq.Retry` counts as a try, waits for its `defer`, and needs no place in `retry_on`."""
    config = RetryConfig(retry_on=OSError)
    assert await called(Flaky(Retry(defer=60), Retry()), retry(config), kind) == 3
    assert pauses == [60, 0]
    with pytest.raises(Retry):
        await called(Flaky(Retry(), Retry(), Retry(defer=5)), retry(config), kind)


@kinds
async def test_without_retry_a_wish_to_be_retried_is_an_error(kind: str, pauses: list[float]) -> None:
    """A direct call of a function that has only a timeout is made once."""
    with pytest.raises(Retry):
        await called(Flaky(Retry(defer=60)), timeout(60), kind)
    assert pauses == []


@pytest.mark.parametrize("decorator", [timeout(0.001), background_task(timeout=0.001)])
async def test_a_direct_call_ends_at_its_deadline(decorator: Any) -> None:
    """`asyncio.TimeoutError`, and the function is cancelled where it waits."""
    cancelled = False

    async def hang() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    with pytest.raises(asyncio.TimeoutError):
        await decorator(hang)()
    assert cancelled


async def test_each_try_has_the_whole_time() -> None:
    """A deadline that was missed is a failure like any other: the next try starts with a new one."""
    tries = 0

    @timeout(0.001)
    @retry(delay=0)
    async def hang() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            await asyncio.Event().wait()
        return "done"

    assert await hang() == "done"
    assert tries == 3


def test_nothing_stops_a_plain_function() -> None:
    """`@timeout` leaves its direct call alone."""

    @timeout(0.000_001)
    def block() -> str:
        return "done"

    assert block() == "done"


def test_a_decorated_function_is_seen_for_what_it_is() -> None:
    """Through all decorators, an `async def` is one and a `def` is none; name, text and parameters stay."""

    async def wait(ctx: Any, to: str) -> None:
        """Wait."""

    def block(ctx: Any, to: str) -> None:
        """Block."""

    for function in wait, block:
        decorated = retry(timeout(5)(background_task(queue="mail")(function)))
        assert inspect.iscoroutinefunction(decorated) is inspect.iscoroutinefunction(function)
        assert inspect.isfunction(decorated)
        assert (decorated.__qualname__, decorated.__doc__) == (function.__qualname__, function.__doc__)
        assert inspect.signature(decorated) == inspect.signature(function)


def test_a_task_stands_on_top() -> None:
    """Below another decorator it would no longer be a task that can be enqueued."""
    made = task(len)
    for decorator in retry, timeout(5), background_task:
        with pytest.raises(InvalidPolicyError, match="is a Task; put @task on top"):
            decorator(made)


def test_a_configuration_stands_alone() -> None:
    """Fields beside it would be overlooked."""
    with pytest.raises(InvalidPolicyError, match="comes with delay, factor"):
        retry(RetryConfig(), delay=1, factor=2)  # type: ignore[call-overload]


def test_a_forgotten_value_is_told() -> None:
    """`@timeout` without a time does not silently replace the function."""

    def function() -> None: ...

    with pytest.raises(InvalidPolicyError, match=r"^timeout=<function .*give seconds"):
        timeout(function)  # type: ignore[arg-type]
