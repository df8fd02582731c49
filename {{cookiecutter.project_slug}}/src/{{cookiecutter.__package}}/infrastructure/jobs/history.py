"""Lists of jobs: those that have ended, and those that wait or run."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from . import keys
from .answers import answering
from .errors import InvalidJobError
from .filters import ENDED, LIVE, LIVE_STATUSES, JobFilter
from .lookup import LONGEST_LEASE, live_status, read_claim, read_payload, to_datetime
from .paging import Cursor, Page, SortedSets, pick
from .records import TERMINAL_STATUSES, HistoryRecord, JobPriority, JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from .paging import Entry
    from .pool import TaskPool

#: Lines that a search looks through in one step, for each status; and seconds for the whole search.
SEARCHED = 5_000
SEARCH_TIMEOUT = 10.0


class JobHistory:
    """The jobs that a Redis knows of."""

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self._sets = SortedSets(pool)

    async def list(
        self,
        status: JobStatus | str | Iterable[JobStatus | str] | None = None,
        *,
        task: str | None = None,
        queue: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[HistoryRecord]:
        """List jobs, a page at a time.

        First come those that have not ended, by when they are due; running ones stand where their leases end. Then come
        those that have, the latest first.

        A call looks at 1,000 jobs at most. So a page may hold fewer than `limit`, or none, and a cursor all the same:
        it is the last one when there is no cursor.

        Of the jobs that had ended when the first page was asked for, each is given once, whatever ends meanwhile. A job
        that has not ended moves: from one page to the next it may be passed over, or be given again, also as one that
        has ended. Where only running ones are asked for, those of arq's own workers are not found.

        Args:
            status: one, several, or None for all.
            task: name of their task.
            queue: name of their queue, of whichever priority they are.
            since: no earlier; that is about the end of jobs that have ended, and the enqueueing of all others.
            until: earlier than that.
            limit: jobs on one page, 1,000 at most.
            cursor: of the page before this one, which was asked for with the same filters.

        Raises:
            InvalidQueryError: an argument makes no sense; the message says which.
            QueueUnavailable: Redis does not answer.
        """
        query = JobFilter.of(status, task=task, queue=queue, since=since, until=until, limit=limit)
        return await self.page(query, cursor)

    async def page(self, query: JobFilter, cursor: str | None = None) -> Page[HistoryRecord]:
        """Give a page of what is asked for; see `list`."""
        place = Cursor.decode(cursor, query.parts)
        jobs: tuple[HistoryRecord, ...] = ()
        async with answering("list of jobs"):
            for part in query.parts[query.parts.index(place.part) :]:
                place = place if place.part == part else Cursor(part)
                if len(jobs) == query.limit:
                    return Page(jobs, place.encode())
                read = self._live if part == LIVE else self._ended
                found, last = await read(query, place, query.limit - len(jobs))
                jobs = (*jobs, *found)
                if last:
                    return Page(jobs, Cursor(part, last.score, _job_id(last, part)).encode())
        return Page(jobs, None)

    async def find(self, job_id: str) -> HistoryRecord | None:
        """Find what the history says of a job that has ended, of the latest of that id.

        It looks through all lines, a part at a time: for people, and for where nothing else is known of the job.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        pattern = re.sub(rb"([\\[\]*?])", rb"\\\1", _line_start(job_id)) + b"*"
        places = {status: 0 for status in JobStatus if status in TERMINAL_STATUSES}
        found: dict[float, HistoryRecord] = {}
        async with answering(f"history of job {job_id}", SEARCH_TIMEOUT):
            while places:
                async with self._pool.pipeline(transaction=False) as pipe:
                    for status, place in places.items():
                        pipe.zscan(keys.history(status), place, match=pattern, count=SEARCHED)
                    pages = await pipe.execute()
                for status, (_, lines) in zip(places, pages, strict=True):
                    found |= {ended: _read_line(status, line) for line, ended in lines}
                places = {status: place for status, (place, _) in zip(places, pages, strict=True) if place}
        return found[max(found)] if found else None

    async def counts(self) -> dict[JobStatus, int]:
        """Count the jobs that have ended, by their status, as far as they are kept."""
        statuses = [status for status in JobStatus if status in TERMINAL_STATUSES]
        async with answering("number of jobs"), self._pool.pipeline(transaction=False) as pipe:
            for status in statuses:
                pipe.zcard(keys.history(status))
            numbers = await pipe.execute()
        return dict(zip(statuses, numbers, strict=True))

    async def _ended(self, query: JobFilter, place: Cursor, limit: int) -> tuple[Sequence[HistoryRecord], Entry | None]:
        statuses = {keys.history(status): status for status in query.statuses & TERMINAL_STATUSES}
        look = query.look(ENDED)
        last, first = query.span.bounds
        after = (place.score, _line_start(place.job_id)) if place.score else None
        entries = await self._sets.read(list(statuses), look + 1, down=True, first=first, last=last, after=after)

        async def read(part: Sequence[Entry]) -> Sequence[HistoryRecord | None]:
            records = [_read_line(statuses[entry.key], entry.name) for entry in part]
            return [record if query.wants(record) else None for record in records]

        return await pick(entries, read, limit=limit, look=look)

    async def _live(self, query: JobFilter, place: Cursor, limit: int) -> tuple[Sequence[HistoryRecord], Entry | None]:
        async with self._pool.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.smembers(keys.QUEUES)
            (seconds, microseconds), lanes = await pipe.execute()
        now = seconds * 1000 + microseconds // 1000
        look = query.look(LIVE)
        first, last = _due_between(query.statuses, now)
        after = (place.score, place.job_id.encode()) if place.score else None
        entries = await self._sets.read(_sets(query, lanes), look + 1, first=first, last=last, after=after)

        async def read(part: Sequence[Entry]) -> Sequence[HistoryRecord | None]:
            records = await self._read_live(part, now)
            return [record if record and query.wants(record) else None for record in records]

        return await pick(entries, read, limit=limit, look=look)

    async def _read_live(self, entries: Sequence[Entry], now: int) -> Sequence[HistoryRecord | None]:
        job_ids = [entry.name.decode() for entry in entries]
        names = [name(job_id) for job_id in job_ids for name in (keys.job, keys.in_progress, keys.tries, keys.lost)]
        values = await self._pool.mget(names)
        return [self._live_record(entry, *values[4 * i : 4 * i + 4], now=now) for i, entry in enumerate(entries)]

    def _live_record(self, entry: Entry, *values: bytes | None, now: int) -> HistoryRecord | None:
        payload, claim, starts, losses = values
        if not payload:  # it has ended, or expired
            return None
        data = read_payload(self._pool, payload)
        outside = keys.outside("")
        parked, lane = entry.key.startswith(outside), entry.key.removeprefix(outside)
        due = float(entry.score)
        status = live_status(claim, starts, None if parked else due, now=now)
        worker, start_time = read_claim(claim)
        return HistoryRecord(
            job_id=entry.name.decode(),
            task=data["f"],
            queue=keys.queue_name(lane),
            status=status,
            tries=int(starts or 0) - int(losses or 0),
            enqueue_time=to_datetime(data["et"]) if data["et"] else None,
            priority=keys.priority(lane),
            due_time=to_datetime(int(due)) if status is not JobStatus.RUNNING else None,
            start_time=start_time,
            worker=worker,
        )


def _due_between(statuses: frozenset[JobStatus], now: int) -> tuple[float, float]:
    """Give the scores between which jobs of these statuses stand, so that a long queue need not be looked through."""
    live = statuses & LIVE_STATUSES
    first = now if live <= {JobStatus.RUNNING, JobStatus.SCHEDULED} else float("-inf")
    if live == {JobStatus.RUNNING}:
        return first, now + LONGEST_LEASE
    return first, now + 1 if live == {JobStatus.PENDING} else float("inf")


def _sets(query: JobFilter, known: Iterable[bytes]) -> list[str]:
    """Give the keys of the sorted sets in which such jobs may stand."""
    lanes = {*keys.lanes(keys.queue()), *(key.decode() for key in known)}
    with suppress(InvalidJobError):  # then it is the key of a plain arq client's, if anything
        lanes.update(keys.lanes(keys.queue(query.queue or keys.DEFAULT_QUEUE)))
    wanted = sorted(lane for lane in lanes if query.queue in {None, keys.queue_name(lane)})
    if query.statuses & {JobStatus.PENDING, JobStatus.RETRYING}:
        return wanted + [keys.outside(lane) for lane in wanted]
    return wanted


def _job_id(entry: Entry, part: str) -> str:
    return entry.name.decode() if part == LIVE else str(msgspec.json.decode(entry.name)[0])


def _line_start(job_id: str) -> bytes:
    """Give how the line of a job begins: it stands before that line, and after those of the jobs before."""
    return msgspec.json.encode([job_id])[:-1] + b","


def _read_line(status: JobStatus, line: bytes) -> HistoryRecord:
    """Read what `outcomes.history_line` wrote."""
    fields: list[Any] = msgspec.json.decode(line)
    job_id, task, queue, tries, enqueued, started, finished, worker, error, *more = fields
    return HistoryRecord(
        job_id=job_id,
        task=task,
        queue=queue,
        status=status,
        tries=tries,
        enqueue_time=to_datetime(enqueued) if enqueued else None,
        priority=JobPriority(more[0]) if more else JobPriority.NORMAL,  # lines of older releases do not tell
        start_time=to_datetime(started) if worker else None,
        finish_time=to_datetime(finished),
        worker=worker,
        error=error,
    )
