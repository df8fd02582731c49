"""What a task sets for itself: its policy, which stands on the function that was decorated."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, TypedDict

from . import checks
from .errors import InvalidPolicyError
from .retries import RetryConfig

if TYPE_CHECKING:
    from .context import TaskContext
    from .records import JobPriority

#: The attribute of a decorated function, or of a `Task`, that holds its policy.
POLICY = "__task_policy__"

#: Called after the last try of a job with its context, its result or its error, and its arguments.
Hook = Callable[..., Any]


class Unique(StrEnum):
    """For how long a job keeps out another one of the same task with the same arguments."""

    #: While it waits for its first start.
    PENDING = "pending"
    #: Until it has ended.
    FINISHED = "finished"


@dataclass(frozen=True)
class RateLimit:
    """How many jobs of a task may start within a time, in all workers together: never more in any span of it.

    Args:
        jobs: how many; Redis remembers the time of as many starts.
        per: within how many seconds, or a timedelta.

    Raises:
        InvalidPolicyError: a value that makes no sense.
    """

    jobs: int
    per: timedelta | float

    def __post_init__(self) -> None:
        """Bring the time to a timedelta."""
        checks.count("RateLimit.jobs", self.jobs)
        object.__setattr__(self, "per", checks.duration("RateLimit.per", self.per))


class PolicyOptions(TypedDict, total=False):
    """The fields of `TaskPolicy`, as named arguments of `@task` and `@background_task`, in all forms that they take."""

    name: str
    retry: RetryConfig | int
    timeout: timedelta | float
    queue: str
    priority: JobPriority
    unique: Unique | timedelta
    concurrency: int
    rate_limit: RateLimit
    keep_result: timedelta | float
    on_success: Callable[Concatenate[TaskContext, Any, ...], Any]
    on_failure: Callable[Concatenate[TaskContext, Exception, ...], Any]
    in_process: bool


@dataclass(frozen=True, kw_only=True)
class TaskPolicy:
    """What a task sets for itself; what is None is left to the worker.

    Args:
        name: what the task is called; by default the qualified name of the function.
        retry: when it is tried again; a number is short for `RetryConfig(max_tries=number)`.
        timeout: seconds (or a timedelta) that a try may take.
        queue: name of the queue that its jobs go to, unless the call names another.
        priority: how urgent its jobs are, unless the call says otherwise.
        unique: for how long a job keeps out others with the same arguments; a timedelta counts from its enqueueing.
        concurrency: how many of its jobs may run at once, in all workers together.
        rate_limit: how many of its jobs may start within a time, in all workers together.
        keep_result: seconds (or a timedelta) for which a result is kept; 0: not at all.
        on_success: called with `(ctx, result, *args, **kwargs)` when a job has succeeded.
        on_failure: called with `(ctx, error, *args, **kwargs)` when the last try of a job has failed.
        in_process: whether the function, a plain `def`, runs in a process of its own rather than in a thread.

    Raises:
        InvalidPolicyError: a value that makes no sense.
    """

    name: str | None = None
    retry: RetryConfig | None = None
    timeout: float | None = None
    queue: str | None = None
    priority: JobPriority | None = None
    unique: Unique | timedelta | None = None
    concurrency: int | None = None
    rate_limit: RateLimit | None = None
    keep_result: float | None = None
    on_success: Hook | None = None
    on_failure: Hook | None = None
    in_process: bool = False

    @classmethod
    def of(cls, options: PolicyOptions) -> TaskPolicy:
        """Make a policy from what a decorator was given."""
        given: dict[str, Any] = dict(options)
        return cls(**given)

    def __post_init__(self) -> None:
        """Bring each value to the form that its annotation says."""
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))


def _retry(setting: str, value: object) -> RetryConfig:
    if isinstance(value, RetryConfig):
        return value
    if isinstance(value, int):
        return RetryConfig(max_tries=value)
    raise InvalidPolicyError(setting, value, "give a RetryConfig, or the number of tries")


def checked_unique(setting: str, value: object) -> Unique | timedelta:
    """Give for how long a job keeps out others.

    Raises:
        InvalidPolicyError: it says nothing of that kind.
    """
    if isinstance(value, timedelta):
        return checks.duration(setting, value)
    if isinstance(value, Unique):
        return value
    raise InvalidPolicyError(setting, value, "give Unique.PENDING, Unique.FINISHED, or a timedelta")


def _rate_limit(setting: str, value: object) -> RateLimit:
    if isinstance(value, RateLimit):
        return value
    raise InvalidPolicyError(setting, value, "give a RateLimit, as in RateLimit(100, per=60)")


def _hook(setting: str, value: object) -> Hook:
    if callable(value):
        return value
    raise InvalidPolicyError(setting, value, "give a function")


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "name": checks.text,
    "retry": _retry,
    "timeout": checks.seconds,
    "queue": checks.queue,
    "priority": checks.priority,
    "unique": checked_unique,
    "concurrency": checks.count,
    "rate_limit": _rate_limit,
    "keep_result": partial(checks.seconds, zero=True),
    "on_success": _hook,
    "on_failure": _hook,
    "in_process": checks.flag,
}


def policy_of(function: Callable[..., Any]) -> TaskPolicy:
    """Give what a `Task`, or a decorated function, sets for itself.

    Raises:
        InvalidPolicyError: another decorator stands above the policy and would hide it from the worker.
    """
    policy = getattr(function, POLICY, None)
    if not isinstance(policy, TaskPolicy):
        return TaskPolicy()
    if hasattr(_beneath(function), POLICY):
        problem = "stands below another decorator, where no worker sees it; move @task, @retry, ... to the top"
        raise InvalidPolicyError(f"policy of {label(function)}", policy, problem)
    return policy


def function_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the original function of a `Task` or of a decorated function: what a worker runs under the policy."""
    if not hasattr(function, POLICY):
        return function
    original = _beneath(function)
    return MethodType(original, function.__self__) if inspect.ismethod(function) else original


def _beneath(decorated: Any) -> Callable[..., Any]:
    return decorated.__wrapped__  # type: ignore[no-any-return]


def combined(function: Callable[..., Any], policy: TaskPolicy) -> TaskPolicy:
    """Give the policy that the function has so far together with another one.

    Raises:
        InvalidPolicyError: both set the same, or the function cannot be run like that.
    """
    own, name = policy_of(function), label(function)
    if not callable(function):
        raise InvalidPolicyError("function", function, "is no function")
    added = {}
    for field in fields(policy):
        before, value = getattr(own, field.name), getattr(policy, field.name)
        if value == field.default:
            continue
        if before != field.default:
            raise InvalidPolicyError(f"{field.name} of {name}", value, f"it is already {before!r}; set it once")
        added[field.name] = value
    both = replace(own, **added)
    if both.in_process and inspect.iscoroutinefunction(function):
        raise InvalidPolicyError(f"in_process of {name}", value=True, problem="is for a plain def, not an async def")
    for event in "on_success", "on_failure":
        if event in added:
            _check_hook(event, added[event], function)
    return both


def _check_hook(event: str, hook: Hook, function: Callable[..., Any]) -> None:
    """Refuse a hook that the arguments of the task do not fit: its first failure is a bad time to find that out."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    named = [p for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    needed = [p for p in named if p.default is p.empty]
    positional = [None for p in parameters if p.kind is p.POSITIONAL_ONLY]
    try:
        for given in named, needed:
            inspect.signature(hook).bind(None, None, *positional, **{p.name: None for p in given})
    except TypeError as error:
        second = "result" if event == "on_success" else "error"
        problem = f"{error}; it is called with (ctx, {second}) and the arguments of the task"
        raise InvalidPolicyError(f"{event} of {label(function)}", hook, problem) from None


def label(function: Callable[..., Any]) -> str:
    """Give what an error calls a function."""
    return str(getattr(function, "__qualname__", function))
