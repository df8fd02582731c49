"""Which jobs somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from .errors import InvalidQueryError
from .paging import LOOK, Span, check_limit
from .records import TERMINAL_STATUSES, JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .records import HistoryRecord

#: The parts of a list, in their order.
LIVE, ENDED = "live", "ended"
LIVE_STATUSES = frozenset(JobStatus) - TERMINAL_STATUSES


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What is asked for, checked."""

    statuses: frozenset[JobStatus]
    task: str | None
    queue: str | None
    span: Span
    limit: int

    @classmethod
    def of(
        cls,
        status: JobStatus | str | Iterable[JobStatus | str] | None,
        *,
        task: str | None,
        queue: str | None,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> Self:
        """Check what a caller says; see `JobHistory.list`.

        Raises:
            InvalidQueryError: something makes no sense; the message says what.
        """
        return cls(read_statuses(status), task, queue, Span.of(since, until), check_limit(limit))

    @property
    def parts(self) -> list[str]:
        """Give the parts of the list in which such jobs may stand."""
        live = [LIVE] if self.statuses & LIVE_STATUSES else []
        return [*live, ENDED] if self.statuses & TERMINAL_STATUSES else live

    def wants(self, record: HistoryRecord) -> bool:
        """Tell whether a job fits; the time of one that has ended has been looked at before."""
        return (
            record.status in self.statuses
            and self.task in {None, record.task}
            and self.queue in {None, record.queue}
            and (record.status in TERMINAL_STATUSES or record.enqueue_time in self.span)
        )

    def wants_found(self, record: HistoryRecord) -> bool:
        """Tell whether a job fits that was found by its id."""
        return self.wants(record) and (record.status in LIVE_STATUSES or record.finish_time in self.span)

    def look(self, part: str) -> int:
        """Give the number of jobs to look at: no more than are given, where all are wanted."""
        everything = self.task is None and self.queue is None
        if part == LIVE:
            everything = everything and self.statuses >= LIVE_STATUSES and self.span == (None, None)
        return self.limit if everything else LOOK


def read_statuses(status: JobStatus | str | Iterable[JobStatus | str] | None) -> frozenset[JobStatus]:
    """Read which statuses a caller means.

    Raises:
        InvalidQueryError: there is no such status.
    """
    if status is None:
        return frozenset(JobStatus)
    wanted = [status] if isinstance(status, str) else list(status)
    for name in wanted:
        if name not in set(JobStatus):
            raise InvalidQueryError("status", name, f"give one of {', '.join(JobStatus)}, or several of them")
    if not wanted:
        raise InvalidQueryError("status", status, "give one at least; None stands for all")
    return frozenset(map(JobStatus, wanted))
