"""The same for many jobs: running them again, cancelling them, throwing them away, or counting what that would do."""

from __future__ import annotations

import sys
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from . import scripts
from .answers import answering
from .cancelling import cancel_jobs, end_given_up
from .dead_letters import DeadLetters
from .errors import DeadLetterNotFoundError, InvalidQueryError
from .filters import LIVE_STATUSES, read_statuses
from .history import JobHistory
from .letters import BULK_TIMEOUT, Letter, LetterFilter, LetterStore
from .records import JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from .pool import TaskPool
    from .records import FailureCause, HistoryRecord

#: Jobs that it is done with at most in one call, unless told otherwise.
LIMIT = 10_000
#: What a clock of a client may differ by, and how arq rounds.
ROUNDING = timedelta(milliseconds=1)


class BulkAction(StrEnum):
    """What can be done with many jobs."""

    RETRY = "retry"
    """Dead letters become jobs again."""
    CANCEL = "cancel"
    """Jobs that wait are ended, and running ones too if that is wanted."""
    DISCARD = "discard"
    """Dead letters are thrown away."""


class BulkOptions(TypedDict, total=False):
    """Which jobs are meant, and how; see `JobManager.bulk`."""

    status: JobStatus | str | Iterable[JobStatus | str] | None
    task: str | None
    queue: str | None
    since: datetime | None
    until: datetime | None
    cause: FailureCause | str | Iterable[FailureCause | str] | None
    terminate: bool
    dry_run: bool
    limit: int | None
    progress: Callable[[int], object] | None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of many jobs, or would have."""

    action: BulkAction
    #: Jobs that fit, of those that were looked at.
    matched: int = 0
    #: Those with which it was done.
    done: int = 0
    #: Those that stay as they are: a dead letter that cannot be replayed, a job that a worker has begun. All others
    #: have ended meanwhile, or somebody else has done the same.
    refused: int = 0
    #: Whether there are more that fit, beyond the limit.
    more: bool = False
    #: Whether nothing was done, only counted.
    dry_run: bool = False


class _Work(Protocol):
    """One of the actions: it finds jobs, some at a time, and deals with those of them that it is given."""

    def steps(self) -> AsyncGenerator[Sequence[Any], None]: ...

    async def deal_with(self, jobs: Sequence[Any], *, dry_run: bool) -> tuple[int, int]:
        """Give how many it is done with, and how many stay."""

    async def finish(self) -> None: ...


async def run_bulk(
    pool: TaskPool,
    action: BulkAction | str,
    *,
    status: JobStatus | str | Iterable[JobStatus | str] | None = None,
    terminate: bool = False,
    dry_run: bool = False,
    limit: int | None = LIMIT,
    progress: Callable[[int], object] | None = None,
    **filters: Any,
) -> BulkResult:
    """Do something with many jobs; see `JobManager.bulk`."""
    action = _action(action)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidQueryError("limit", limit, "give a whole number from 1, or None for all")
    work = _WORK[action](pool, status, filters, terminate=terminate)
    left = sys.maxsize if limit is None else limit
    matched = done = refused = 0
    more = False
    async with aclosing(work.steps()) as steps:
        async for step in steps:
            jobs = step
            while jobs and not (more := done >= left):
                part, jobs = jobs[: left - done], jobs[left - done :]
                ended, stayed = await work.deal_with(part, dry_run=dry_run)
                matched, done, refused = matched + len(part), done + ended, refused + stayed
                if progress:
                    progress(done)
            if more:
                break
    await work.finish()
    return BulkResult(action, matched, done, refused, more=more, dry_run=dry_run)


class _WithLetters:
    """What is the same for all that is done with dead letters."""

    def __init__(self, pool: TaskPool, status: Any, filters: dict[str, Any], *, terminate: bool) -> None:
        if read_statuses(status) - {JobStatus.FAILED} and status is not None:
            raise InvalidQueryError("status", status, "dead letters have failed, all of them; leave it out")
        if terminate:
            raise InvalidQueryError("terminate", terminate, "dead letters have ended; it is for `cancel`")
        self._filter = LetterFilter.of(filters)  # type: ignore[arg-type] # it refuses others
        self._store = LetterStore(pool)
        self._letters = DeadLetters(pool)
        #: Of a dry run: keys of the locks that would be taken by now.
        self._taken: set[str] = set()

    def steps(self) -> AsyncGenerator[Sequence[Letter], None]:
        return self._store.steps(self._filter)

    async def finish(self) -> None:
        """Leave nothing to do."""


class _Retry(_WithLetters):
    async def deal_with(self, jobs: Sequence[Letter], *, dry_run: bool) -> tuple[int, int]:
        if dry_run:
            would = await self._letters.would_replay(jobs, self._taken)
            return would.count(True), would.count(False)
        problems = await self._letters.replay_some(jobs)
        gone = sum(isinstance(problem, DeadLetterNotFoundError) for problem in problems)
        return problems.count(None), len(problems) - problems.count(None) - gone


class _Discard(_WithLetters):
    async def deal_with(self, jobs: Sequence[Letter], *, dry_run: bool) -> tuple[int, int]:
        return len(jobs) if dry_run else await self._letters.discard_some(jobs), 0


class _Cancel:
    def __init__(self, pool: TaskPool, status: Any, filters: dict[str, Any], *, terminate: bool) -> None:
        if (cause := filters.pop("cause", None)) is not None:
            raise InvalidQueryError("cause", cause, "only dead letters have one; leave it out")
        self._pool = pool
        self._filters = {"status": _to_cancel(status, terminate=terminate), **filters}
        self._terminate = terminate
        #: The rest of workflows that have lost a job, see `cancel_jobs`.
        self._spared: list[str] = []

    async def steps(self) -> AsyncGenerator[Sequence[str], None]:
        history = JobHistory(self._pool)
        async with answering("jobs"):
            seconds, microseconds = await self._pool.time()
        began = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
        seen: set[str] = set()  # a running job moves each time its lease is renewed
        cursor: str | None = None
        while True:
            page = await history.list(limit=scripts.BATCH, cursor=cursor, **self._filters)
            jobs = [job.job_id for job in page.jobs if job.job_id not in seen and _is_older(job, began)]
            seen.update(jobs)
            if jobs:
                yield jobs
            if (cursor := page.cursor) is None:
                return

    async def deal_with(self, jobs: Sequence[str], *, dry_run: bool) -> tuple[int, int]:
        if dry_run:
            return len(jobs), 0
        async with answering("jobs", BULK_TIMEOUT):
            answers = await cancel_jobs(self._pool, jobs, terminate=self._terminate, spared=self._spared)
        return answers.count("cancelled") + answers.count("asked"), answers.count("running")

    async def finish(self) -> None:
        async with answering("jobs", BULK_TIMEOUT):
            await end_given_up(self._pool, self._spared)


_WORK: dict[BulkAction, Callable[..., _Work]] = {
    BulkAction.RETRY: _Retry,
    BulkAction.CANCEL: _Cancel,
    BulkAction.DISCARD: _Discard,
}


def _action(action: BulkAction | str) -> BulkAction:
    try:
        return BulkAction(action)
    except ValueError:
        raise InvalidQueryError("action", action, f"give one of {', '.join(BulkAction)}") from None


def _to_cancel(status: Any, *, terminate: bool) -> frozenset[JobStatus]:
    possible = LIVE_STATUSES if terminate else LIVE_STATUSES - {JobStatus.RUNNING}
    wanted = possible if status is None else read_statuses(status)
    for impossible in sorted(wanted - possible):
        problem = "terminate=True ends those that run" if impossible is JobStatus.RUNNING else "they have ended"
        raise InvalidQueryError("status", impossible.value, problem)
    return wanted


def _is_older(job: HistoryRecord, began: datetime) -> bool:
    """Tell whether a job was there at that moment, by the clock of whoever enqueued it, or since it was due then."""
    moments = [moment for moment in (job.enqueue_time, job.due_time, job.start_time) if moment]
    return not moments or min(moments) <= began + ROUNDING
