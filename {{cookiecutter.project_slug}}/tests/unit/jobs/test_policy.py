"""What a task sets for itself."""

from __future__ import annotations

import functools
import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs.decorators import background_task, retry, timeout
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidPolicyError
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import (
    RateLimit,
    TaskPolicy,
    Unique,
    function_of,
    policy_of,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.retries import RetryConfig
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task

if TYPE_CHECKING:
    from collections.abc import Callable


async def send(ctx, to: str, *, urgent: bool = False) -> None: ...


def count(ctx, /, first: int, second: int = 0) -> None: ...


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def test_each_option_has_one_form() -> None:
    """Times become seconds, a number of tries becomes a `RetryConfig`; nothing that is not set has a value."""
    assert TaskPolicy.of({"timeout": timedelta(minutes=1), "retry": 5, "keep_result": 0}) == TaskPolicy(
        timeout=60.0, retry=RetryConfig(max_tries=5), keep_result=0.0
    )
    assert TaskPolicy.of({"unique": timedelta(hours=1)}).unique == timedelta(hours=1)
    assert TaskPolicy.of({"unique": Unique.PENDING}).unique is Unique.PENDING
    assert RateLimit(100, per=60) == RateLimit(100, per=timedelta(minutes=1))
    assert (TaskPolicy().retry, TaskPolicy().timeout, TaskPolicy().in_process) == (None, None, False)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", ""),
        ("name", 5),
        ("retry", 0),
        ("retry", "often"),
        ("timeout", 0),
        ("timeout", -5),
        ("timeout", "60"),
        ("timeout", timedelta(0)),
        ("queue", ""),
        ("unique", True),
        ("unique", "pending"),
        ("unique", timedelta(0)),
        ("concurrency", 0),
        ("rate_limit", 10),
        ("keep_result", -1),
        ("keep_result", float("nan")),
        ("on_success", "notify"),
        ("on_failure", 3),
        ("in_process", 1),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(setting: str, value: Any) -> None:
    """The error names the option and the value, and says what to give."""
    with pytest.raises(InvalidPolicyError, match=r"=.*: give ") as caught:
        task(**{setting: value})
    assert setting in str(caught.value) or "max_tries" in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("values", [{"jobs": 0}, {"per": 0}, {"per": timedelta(0)}, {"jobs": 1.5}])
def test_a_rate_limit_that_lets_nothing_through_is_refused(values: dict[str, Any]) -> None:
    """At least one job within some time."""
    with pytest.raises(InvalidPolicyError, match=rf"^RateLimit\.{next(iter(values))}="):
        RateLimit(**{"jobs": 10, "per": 1} | values)


def test_policies_on_one_function_are_one_policy() -> None:
    """Whatever their order, the worker sees all options and the original function."""
    expected = TaskPolicy(retry=RetryConfig(max_tries=7), timeout=5, queue="mail", concurrency=2)
    one = retry(max_tries=7)(timeout(5)(background_task(queue="mail", concurrency=2)(send)))
    other = background_task(queue="mail", concurrency=2)(timeout(5)(retry(max_tries=7)(send)))
    top = task(queue="mail", concurrency=2)(retry(RetryConfig(max_tries=7))(timeout(timedelta(seconds=5))(send)))
    assert policy_of(one) == policy_of(other) == policy_of(top) == top.policy == expected
    assert function_of(one) is function_of(other) is function_of(top) is top.function is send


def test_a_function_without_policy_leaves_everything_to_the_worker() -> None:
    """A plain function is its own original, also in a bare `@background_task`."""
    assert policy_of(send) == policy_of(background_task(send)) == policy_of(background_task()(send)) == TaskPolicy()
    assert function_of(send) is function_of(background_task(send)) is send
    partial = functools.partial(send, urgent=True)
    assert function_of(partial) is partial


def test_a_decorated_method_stays_bound() -> None:
    """The original function of a bound method is bound to the same object."""

    class Mailer:
        @timeout(5)
        async def send(self, ctx: Any, to: str) -> None: ...

    mailer = Mailer()
    assert policy_of(mailer.send).timeout == 5
    original: Any = function_of(mailer.send)
    assert inspect.unwrap(original) is original
    assert original.__self__ is mailer


@pytest.mark.parametrize("above", [task, task(), retry, timeout(5), background_task(queue="mail"), policy_of])
@pytest.mark.parametrize("policed", [retry(send), task(send)])
def test_a_policy_below_another_decorator_is_an_error(above: Any, policed: Any) -> None:
    """A worker could not keep to it without leaving the other decorator out."""
    for hidden in logged(policed), logged(logged(policed)):
        with pytest.raises(InvalidPolicyError, match=r"policy of send=.*below another decorator.* move @task"):
            above(hidden)


def test_another_decorator_below_a_policy_is_kept() -> None:
    """It belongs to the function that the worker runs."""
    inner = logged(count)
    assert function_of(task(retry(timeout(5)(inner)))) is inner


@pytest.mark.parametrize(
    "twice",
    [
        lambda: retry(max_tries=5)(retry(send)),
        lambda: task(retry=5)(retry(send)),
        lambda: background_task(retry=5)(background_task(timeout=5, retry=3)(send)),
    ],
)
def test_one_option_is_not_set_twice(twice: Callable[[], object]) -> None:
    """Which one holds would depend on the order."""
    with pytest.raises(InvalidPolicyError, match=r"^retry of send=.*max_tries=5.*already.*max_tries=3.*once"):
        twice()


def test_a_process_of_its_own_is_for_plain_functions() -> None:
    """An `async def` has a loop of its worker's to run in."""
    assert task(in_process=True)(count).policy.in_process
    with pytest.raises(InvalidPolicyError, match="in_process of send=True: is for a plain def"):
        task(in_process=True)(send)


@pytest.mark.parametrize("decorator", [task, retry, background_task, background_task(timeout=5)])
def test_what_is_no_function_is_refused(decorator: Any) -> None:
    """A task by its name, say, cannot be decorated."""
    with pytest.raises(InvalidPolicyError, match=r"'send'"):
        decorator("send")


async def matching(ctx, error, to: str, *, urgent: bool = False) -> None: ...
async def general(ctx, error, *args: Any, **kwargs: Any) -> None: ...
async def short(ctx, error, to: str) -> None: ...
async def longer(ctx, error, to: str, subject: str, *, urgent: bool = False) -> None: ...
async def without_error(ctx) -> None: ...


@pytest.mark.parametrize("event", ["on_success", "on_failure"])
def test_a_hook_must_take_the_arguments_of_its_task(event: str) -> None:
    """A hook is called rarely, so that it does not fit is found where it is set; `*args, **kwargs` fit every task."""
    for fits in matching, general:
        assert getattr(task(**{event: fits})(send).policy, event) is fits  # type: ignore[call-overload]
    second = "result" if event == "on_success" else "error"
    for hook, problem in (short, "urgent"), (longer, "subject"), (without_error, "positional"):
        expected = rf"^{event} of send=.*{hook.__name__}.*{problem}.*called with \(ctx, {second}\) and the arguments"
        with pytest.raises(InvalidPolicyError, match=expected):
            task(**{event: hook})(send)  # type: ignore[call-overload]
        with pytest.raises(InvalidPolicyError, match=expected):
            getattr(task(send), event)(hook)


def test_a_hook_takes_positional_arguments_as_the_task_does() -> None:
    """A parameter that has no name for the caller needs none in the hook."""

    def only(ctx: Any, first: int, /, second: int = 0) -> None: ...
    def tell(ctx: Any, error: Exception, number: int, /, second: int = 0) -> None: ...

    assert task(on_failure=tell)(only).policy.on_failure is tell
