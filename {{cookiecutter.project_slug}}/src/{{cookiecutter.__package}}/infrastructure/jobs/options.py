"""Options of a `JobManager`'s methods: what type checkers let through to `Batches`, `Schedule` and `Workflows`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from .drafts import DraftOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from .records import JobPriority, Misfire
    from .workflows.records import OnFailure


class BatchOptions(DraftOptions, total=False):
    """See `Batches.enqueue`."""

    progress: Callable[[int, int | None], Any] | None
    on_enqueued: Callable[[list[str]], Any] | None
    key: Callable[[Mapping[str, Any]], str] | None


class IntervalOptions(TypedDict, total=False):
    """See `Schedule`."""

    misfire: Misfire
    catch_up: int
    grace: float | timedelta
    overlap: bool
    queue: str | None
    priority: JobPriority | None


class ScheduleOptions(IntervalOptions, total=False):
    """See `Schedule`; an interval knows of no time zone."""

    timezone: str


class ChainOptions(TypedDict, total=False):
    """See `Workflows.chain`."""

    pass_result: bool
    queue: str | None
    priority: JobPriority | None


class GroupOptions(TypedDict, total=False):
    """See `Workflows.group`."""

    callback_args: Sequence[Any]
    callback_kwargs: Mapping[str, Any] | None
    on_failure: OnFailure | str
    queue: str | None
    priority: JobPriority | None
