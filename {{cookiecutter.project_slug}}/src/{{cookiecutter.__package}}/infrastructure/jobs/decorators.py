"""Policies on plain functions: a worker keeps to them, and a direct call does as far as it can."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from arq.worker import Retry

from .errors import InvalidPolicyError
from .policy import POLICY, TaskPolicy, combined, function_of
from .retries import RetryConfig
from .task import Task

if TYPE_CHECKING:
    from datetime import timedelta

    from .policy import PolicyOptions
    from .retries import RetryOptions

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


@overload
def retry(function: FunctionT, /) -> FunctionT: ...
@overload
def retry(config: RetryConfig | int, /) -> Callable[[FunctionT], FunctionT]: ...
@overload
def retry(**options: Unpack[RetryOptions]) -> Callable[[FunctionT], FunctionT]: ...
def retry(config: Any = None, /, **options: Any) -> Any:
    """Try a function again after it has failed: `@retry`, `@retry(max_tries=5)`, or `@retry(config)`.

    In a worker, the job is retried. In a direct call, the function is called again after the same pauses, during which
    an `async def` lets others run and a plain `def` blocks; `arq.Retry(defer=...)` waits for that long. The last error
    is raised as it is.

    Raises:
        InvalidPolicyError: an option makes no sense, or `retry` is set twice.
    """
    if callable(config):
        return _decorated(config, TaskPolicy(retry=RetryConfig()))
    if config is not None and options:
        raise InvalidPolicyError("retry", config, f"comes with {', '.join(options)}; put that into the RetryConfig")
    policy = TaskPolicy(retry=RetryConfig(**options) if config is None else config)
    return lambda function: _decorated(function, policy)


def timeout(seconds: float | timedelta) -> Callable[[FunctionT], FunctionT]:
    """Let a function take so many seconds, or a timedelta, and no longer.

    In a worker, a try that takes longer has failed. A direct call of an `async def` raises `asyncio.TimeoutError`; one
    of a plain `def` takes as long as it does, for nothing can stop it. Together with `@retry`, each try has this time.

    Raises:
        InvalidPolicyError: it is no time, or `timeout` is set twice.
    """
    policy = TaskPolicy.of({"timeout": seconds})
    return lambda function: _decorated(function, policy)


@overload
def background_task(function: FunctionT, /) -> FunctionT: ...
@overload
def background_task(**options: Unpack[PolicyOptions]) -> Callable[[FunctionT], FunctionT]: ...
def background_task(function: Any = None, /, **options: Any) -> Any:
    """Set what `TaskPolicy` holds, and leave the function a function: `@background_task(timeout=60, retry=5, ...)`.

    `retry` and `timeout` hold in a direct call too, see the decorators of these names; all others only in a worker.
    Bare, it marks a task and leaves everything to the worker.

    Raises:
        InvalidPolicyError: an option makes no sense, or is set twice.
    """
    policy = TaskPolicy(**options)
    return _decorated(function, policy) if function is not None else lambda function: _decorated(function, policy)


def _decorated(function: FunctionT, policy: TaskPolicy) -> FunctionT:
    """Give one wrapper round the original function under all policies so far, so that their order does not matter."""
    if isinstance(function, Task):
        raise InvalidPolicyError("function", function, "is a Task; put @task on top of the other decorators")
    policy = combined(function, policy)
    original = function_of(function)
    decorated: Any = (_async if inspect.iscoroutinefunction(original) else _plain)(original, policy)
    setattr(decorated, POLICY, policy)
    return decorated  # type: ignore[no-any-return]


def _async(function: Callable[..., Any], policy: TaskPolicy) -> Callable[..., Any]:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.timeout(policy.timeout):
                    return await function(*args, **kwargs)
            except Exception as error:
                pause = _pause(policy.retry, attempt, error)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    return call


def _plain(function: Callable[..., Any], policy: TaskPolicy) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            try:
                return function(*args, **kwargs)
            except Exception as error:
                pause = _pause(policy.retry, attempt, error)
                if pause is None:
                    raise
            time.sleep(pause)

    return call


def _pause(config: RetryConfig | None, attempt: int, error: Exception) -> float | None:
    """Give the seconds until the next try; None if there is none."""
    if config is None or attempt >= config.max_tries:
        return None
    if isinstance(error, Retry):
        return (error.defer_score or 0) / 1000
    return config.pause(attempt).total_seconds() if config.retries(error) else None
