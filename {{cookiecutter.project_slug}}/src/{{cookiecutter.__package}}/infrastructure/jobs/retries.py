"""When to try again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypedDict

from arq.utils import to_seconds

from . import checks

if TYPE_CHECKING:
    from collections.abc import Callable


#: Upper bound of the first pause, where neither a task nor a worker says otherwise.
DELAY = timedelta(seconds=10)


class RetryOptions(TypedDict, total=False):
    """The fields of `RetryConfig`, as named arguments."""

    max_tries: int
    delay: timedelta | float
    factor: float
    max_delay: timedelta | float
    jitter: bool
    retry_on: type[Exception] | tuple[type[Exception], ...]
    give_up_on: type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """How often, when and after which failures something is tried again.

    Args:
        max_tries: tries in all, the first among them.
        delay: upper bound of the pause after the first failure, in seconds or as a timedelta; by default the worker's
            `retry_delay`, and 10 seconds in a direct call.
        factor: what the upper bound grows by with each failure.
        max_delay: what it grows up to.
        jitter: whether a pause is a random part of its upper bound, which spreads what failed together, or all of it.
        retry_on: the exceptions after which another try may help; `TimeoutError` is the one of a missed deadline.
        give_up_on: those among them after which it does not.

    Raises:
        InvalidPolicyError: a value that makes no sense.
    """

    max_tries: int = 3
    delay: timedelta | float | None = None
    factor: float = 2.0
    max_delay: timedelta | float = timedelta(hours=1)
    jitter: bool = True
    retry_on: type[Exception] | tuple[type[Exception], ...] = (Exception,)
    give_up_on: type[Exception] | tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        """Bring the times to timedeltas and the exceptions to tuples."""
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(f"RetryConfig.{name}", getattr(self, name)))

    def retries(self, error: BaseException) -> bool:
        """Tell whether another try may help after this failure."""
        return isinstance(error, self.retry_on) and not isinstance(error, self.give_up_on)

    def pause(self, attempt: int) -> timedelta:
        """Give the pause after the failed try number `attempt` (from 1): exponential backoff with full jitter.

        A random point between nothing and the upper bound spreads jobs that failed together more evenly than any fixed
        pause (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
        """
        delay = to_seconds(DELAY if self.delay is None else self.delay)
        longest = to_seconds(self.max_delay)
        try:
            bound = min(longest, delay * self.factor ** (attempt - 1))
        except OverflowError:
            bound = longest if delay else 0.0
        return timedelta(seconds=bound * random.random() if self.jitter else bound)  # noqa: S311 - guards nothing


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "max_tries": checks.count,
    "delay": lambda setting, value: None if value is None else checks.duration(setting, value, zero=True),
    "factor": checks.factor,
    "max_delay": partial(checks.duration, zero=True),
    "jitter": checks.flag,
    "retry_on": checks.exceptions,
    "give_up_on": checks.exceptions,
}
