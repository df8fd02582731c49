"""What the processes of test_processes.py run; their side of a test can import only what stands in a module."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from {{ cookiecutter.__package }}.infrastructure.jobs import Retry, parse_redis_url
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def pid(ctx: Mapping[str, Any]) -> int:  # noqa: ARG001 - every task gets the context
    return os.getpid()


def group(ctx: Mapping[str, Any]) -> tuple[int, int]:  # noqa: ARG001
    return os.getpid(), os.getpgid(0)


def context(ctx: Mapping[str, Any]) -> dict[str, Any]:
    return dict(ctx)


def echo(ctx: Mapping[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, ...]:  # noqa: ARG001
    return args, kwargs


def spins(ctx: Mapping[str, Any], told: str) -> None:  # noqa: ARG001
    """Burn CPU for ever; say in a file which process does."""
    Path(told).with_suffix(".new").write_text(str(os.getpid()))
    Path(told).with_suffix(".new").rename(told)
    while True:
        pass


def sits(ctx: Mapping[str, Any], told: str) -> None:  # noqa: ARG001
    """As `spins`, without burning."""
    Path(told).with_suffix(".new").write_text(str(os.getpid()))
    Path(told).with_suffix(".new").rename(told)
    time.sleep(3600)


def meets(ctx: Mapping[str, Any], mine: str, other: str) -> int:
    """Leave a file, and wait for that of the other."""
    Path(mine).touch()
    while not Path(other).exists():
        time.sleep(0.01)
    return pid(ctx)


def dies(ctx: Mapping[str, Any], how: int) -> None:  # noqa: ARG001
    """End this process: with a status, or by a signal (negative)."""
    if how < 0:
        os.kill(os.getpid(), -how)
    os._exit(how)


def leaves(ctx: Mapping[str, Any]) -> None:  # noqa: ARG001
    sys.exit(5)


class OddError(Exception):
    """Cannot be made again by pickle."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.handle = open(os.devnull)  # noqa: PTH123, SIM115 - cannot be pickled at all


def fails(ctx: Mapping[str, Any]) -> None:  # noqa: ARG001
    try:
        int("x")
    except ValueError as error:
        raise OddError(7, "odd") from error


def runs_out(ctx: Mapping[str, Any]) -> None:  # noqa: ARG001
    raise EOFError("the file ends too soon")


def asks_again(ctx: Mapping[str, Any]) -> None:  # noqa: ARG001
    raise Retry(defer=60)


def returns_a_function(ctx: Mapping[str, Any]) -> Any:  # noqa: ARG001
    return lambda: None


def logs(ctx: Mapping[str, Any]) -> None:  # noqa: ARG001
    logging.getLogger("burners").info("from the %s", "library")
    logging.getLogger("burners").debug("not asked for")
    try:
        int("x")
    except ValueError:
        structlog.get_logger("burners").exception("from the project", number=7)


def reports(ctx: Any) -> None:
    ctx.progress(3, 4, "nearly")
    ctx["job_timeout"] = 3600
    ctx["note"] = "of its own"


@task(in_process=True)
def decorated(ctx: Mapping[str, Any], number: int) -> int:  # noqa: ARG001
    return number + 1


async def asynchronous(ctx: Mapping[str, Any]) -> None: ...


def wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def other(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return other


def _hidden(ctx: Mapping[str, Any]) -> str:  # noqa: ARG001
    return "hidden"


hides = wrapping(_hidden)


class Holder:
    """Holds functions that are tasks."""

    @staticmethod
    def inside(ctx: Mapping[str, Any]) -> str:  # noqa: ARG004
        return "inside"

    def method(self, ctx: Mapping[str, Any]) -> None: ...


@task(in_process=True)
def burns(ctx: Mapping[str, Any], told: str) -> None:
    spins(ctx, told)


@task(in_process=True)
def sleeps(ctx: Mapping[str, Any], told: str) -> None:
    sits(ctx, told)


#: For `arq integration.jobs.burners.SETTINGS`.
SETTINGS: dict[str, Any] = {
    "redis_settings": parse_redis_url(os.environ.get("REDIS_URL", "redis://localhost:6379")),
    "functions": [burns, sleeps],
    "job_completion_wait": 0,
    "allow_no_persistence": True,
}
