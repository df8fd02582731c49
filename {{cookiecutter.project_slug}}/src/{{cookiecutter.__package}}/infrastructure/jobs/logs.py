"""What the log says of jobs: a line for each step, and the job's id on every line that is written while it runs."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import structlog
from arq.utils import args_to_string, timestamp_ms, truncate

from .secrets import masked, masked_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from .records import FailureCause
    from .running.attempts import Attempt

#: arq's own logger, for lines that arq's users know.
logger = logging.getLogger("arq.worker")
#: Milliseconds of lateness that the log mentions.
LATE = 1_200
#: Further fields of the lines about jobs; times are in seconds.
FIELDS = ["job_event", "waited", "duration", "delay", "cause"]

_fields: ContextVar[Mapping[str, Any]] = ContextVar("job_fields", default={})  # noqa: B039 - never changed


def add_job_fields(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put `job_id`, `task`, `job_try`, `queue` on each line that is logged while a job runs (a structlog processor)."""
    for name, value in _fields.get().items():
        event.setdefault(name, value)
    return event


#: What brings the fields of jobs onto each line: for the processors of structlog.
PROCESSORS = [add_job_fields, structlog.stdlib.ExtraAdder(FIELDS)]


def enter_job(attempt: Attempt, queue: str) -> None:
    """Make all that is logged from here on, in this asyncio task and its threads, tell the job."""
    _fields.set(
        {"job_id": attempt.claim.job_id, "task": attempt.name, "job_try": attempt.job_try, "queue": queue},
    )


def started(attempt: Attempt, *, show_arguments: bool) -> None:
    """Tell the start of a try."""
    if not logger.isEnabledFor(logging.INFO):
        return
    waited = attempt.started - attempt.claim.due
    again = f" try={attempt.job_try}" if attempt.job_try > 1 else ""
    late = f" delayed={waited / 1000:0.2f}s" if waited > LATE else ""
    function = attempt.plan.execution.function if attempt.plan else None
    arguments = arguments_text(function, attempt.args, attempt.kwargs) if show_arguments else ""
    seconds = (attempt.started - attempt.enqueued) / 1000
    logger.info(
        "%6.2fs → %s(%s)%s%s", seconds, attempt.ref, arguments, again, late, extra=_extra("started", waited=seconds)
    )


def succeeded(attempt: Attempt, result: Any, *, show_result: bool) -> None:
    """Tell the success of a job; a value whose `repr` raises makes this raise."""
    if not logger.isEnabledFor(logging.INFO):
        return
    shown = truncate(repr(masked(result))) if show_result and result is not None else ""
    seconds = _seconds(attempt)
    logger.info("%6.2fs ← %s ● %s", seconds, attempt.ref, shown, extra=_extra("succeeded", duration=seconds))


def retrying(attempt: Attempt, delay: float, error: BaseException | None) -> None:
    """Tell that there will be another try in `delay` seconds: since this one failed with `error`, or asked for it."""
    seconds = _seconds(attempt)
    extra = _extra("retrying", duration=seconds, delay=delay)
    if error is None:
        logger.info("%6.2fs ↻ %s retrying job in %0.2fs", seconds, attempt.ref, delay, extra=extra)
    else:
        text = "%6.2fs ↻ %s failed in try %d, next in %.2fs: %s: %s"
        words = (seconds, attempt.ref, attempt.job_try, delay, type(error).__name__, error)
        logger.warning(text, *words, exc_info=error, extra=extra)


def handed_back(attempt: Attempt) -> None:
    """Tell that a try was cut short and the job goes back to its queue."""
    seconds = _seconds(attempt)
    logger.info(
        "%6.2fs ↻ %s cancelled, will be run again", seconds, attempt.ref, extra=_extra("handed_back", duration=seconds)
    )


def cancelled(attempt: Attempt, *, before_start: bool = False) -> None:
    """Tell that somebody ended the job."""
    seconds = (timestamp_ms() - attempt.enqueued) / 1000 if before_start else _seconds(attempt)
    when = " before start" if before_start else ""
    logger.info("%6.2fs ⊘ %s aborted%s", seconds, attempt.ref, when, extra=_extra("cancelled", duration=seconds))


def lease_lost(attempt: Attempt) -> None:
    """Tell that the job may be another worker's."""
    seconds = _seconds(attempt)
    text = "%6.2fs ⊘ %s lease lost, given up: another worker may have it"
    logger.warning(text, seconds, attempt.ref, extra=_extra("lease_lost", duration=seconds))


def failed(attempt: Attempt, error: BaseException) -> None:
    """Tell that the last try failed, with the traceback."""
    extra, seconds = getattr(error, "extra", None), _seconds(attempt)
    more = {"extra": extra() if callable(extra) else extra, **_extra("failed", duration=seconds)}
    text = "%6.2fs ! %s failed, %s: %s"
    logger.error(text, seconds, attempt.ref, type(error).__name__, error, extra=more, exc_info=error)


def buried(attempt: Attempt, cause: FailureCause) -> None:
    """Tell that the job is a dead letter now."""
    text = "%s is a dead letter: %s in try %d"
    logger.error(text, attempt.ref, cause.value, attempt.job_try, extra=_extra("dead_letter", cause=cause.value))


def arguments_text(function: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Show arguments as in a call, secrets masked by the names of the parameters and of keys inside."""
    shown_args, shown_kwargs = masked_arguments(function, args, kwargs)
    return args_to_string(shown_args, shown_kwargs)


def _extra(event: str, **fields: Any) -> dict[str, Any]:
    return {"job_event": event, **fields}


def _seconds(attempt: Attempt) -> float:
    return (timestamp_ms() - attempt.started) / 1000 if attempt.started else 0.0
