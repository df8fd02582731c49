"""What is known of a job, and waiting for its end."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from arq.jobs import Job
from arq.jobs import JobStatus as ArqStatus

from . import codec, keys
from .errors import UnreadableError
from .origins import origin_fields
from .outcomes import error_text
from .records import TERMINAL_STATUSES, AttemptRecord, FailureCause, JobRecord, JobStatus, Progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arq.connections import ArqRedis

    from .pool import TaskPool

#: Words of the value of a claim: worker, number of the start, its time in ms.
CLAIM_WORDS = 3
#: Milliseconds that a lease may last at most, for running jobs to be told from those that wait.
LONGEST_LEASE = 3_600_000
#: The part of a millisecond that marks the end of a lease.
LEASED = 0.5
#: What the task of a damaged job is called, as in arq.
UNKNOWN_TASK = "<unknown>"


def read_payload(client: ArqRedis, payload: bytes) -> dict[str, Any]:
    """Read what was enqueued; of a damaged job all that is known is that it is there."""
    try:
        return (client.job_deserializer or codec.deserialize)(payload)
    except UnreadableError:
        return {"f": UNKNOWN_TASK, "a": (), "k": {}, "et": 0, "q": None}


async def read_record(client: ArqRedis, job_id: str) -> JobRecord | None:
    """Read all that is known of a job: one round trip if it has ended, two if not."""
    async with client.pipeline(transaction=True) as pipe:
        pipe.get(keys.result(job_id))
        pipe.get(keys.job(job_id))
        pipe.get(keys.in_progress(job_id))
        pipe.get(keys.tries(job_id))
        pipe.get(keys.lost(job_id))
        pipe.get(keys.progress(job_id))
        pipe.lrange(keys.attempts(job_id), 0, -1)
        pipe.time()
        result, payload, claim, starts, losses, progress, attempts, time = await pipe.execute()
    report = Progress(**codec.deserialize(progress)) if progress else None
    earlier = tuple(map(read_attempt, attempts))
    if result:
        return ended_record(job_id, codec.deserialize(result), progress=report, earlier=earlier)
    if not payload:
        return None
    data = read_payload(client, payload)
    queue_key = data.get("q") or client.default_queue_name
    worker, start_time = read_claim(claim)
    due = None if claim else await client.zscore(queue_key, job_id)
    status = live_status(claim, starts, due, now=time[0] * 1000 + time[1] // 1000)
    if status is JobStatus.RUNNING:
        earlier = (*earlier, AttemptRecord("running", worker, start_time))
    return JobRecord(
        job_id=job_id,
        task=data["f"],
        status=status,
        args=data["a"],
        kwargs=data["k"],
        queue=keys.queue_name(queue_key),
        priority=keys.priority(queue_key),
        enqueue_time=to_datetime(data["et"]) if data["et"] else None,
        start_time=start_time,
        tries=int(starts or 0) - int(losses or 0),
        worker=worker,
        progress=report,
        attempts=earlier,
        **origin_fields(data),
    )


class TaskJob:
    """One job, looked up by its id."""

    def __init__(self, pool: TaskPool, job_id: str) -> None:
        self.job_id = job_id
        self._pool = pool

    def __repr__(self) -> str:
        """Show the id."""
        return f"<TaskJob {self.job_id}>"

    async def info(self) -> JobRecord | None:
        """Read what is known now; None once the job's result is no longer kept."""
        return await self._pool.record(self.job_id)

    async def updates(self) -> AsyncIterator[JobRecord]:
        """Give what is known of the job now, and again whenever that has changed, until it has ended."""
        last: JobRecord | None = None
        async with self._pool.events.of(self.job_id) as event:
            while True:
                info = await self.info()
                if info is None:
                    return
                if info != last:
                    yield info
                if info.status in TERMINAL_STATUSES:
                    return
                last = info
                await event.wait()

    async def wait(self, timeout: float | None = None) -> JobRecord | None:  # noqa: ASYNC109 - part of the interface
        """Wait until the job has ended.

        Args:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: the job has not ended in time.
        """
        async with asyncio.timeout(timeout), self._pool.events.of(self.job_id) as end:
            while True:
                info = await self.info()
                if info is None or info.status in TERMINAL_STATUSES:
                    return info
                await end.wait()


class WokenJob(Job):
    """arq's own `Job`, whose `result` wakes when the job has ended."""

    __slots__ = ()

    async def result(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - part of the interface
        *,
        poll_delay: float = 0.5,
        pole_delay: float | None = None,
    ) -> Any:
        """Wait for the result, as in arq; `poll_delay` counts only for jobs that a worker of arq's own class runs."""
        pool: Any = self._redis
        async with asyncio.timeout(timeout), pool.events.of(self.job_id, poll_delay or None) as end:
            while await self.status() not in {ArqStatus.complete, ArqStatus.not_found}:
                await end.wait()
        return await super().result(timeout, poll_delay=poll_delay, pole_delay=pole_delay)


def read_claim(claim: bytes | None) -> tuple[str | None, datetime | None]:
    """Read a claim: `worker:start:ms`, or whatever a worker of arq's own class has written."""
    words = claim.decode().rsplit(":", 2) if claim else []
    return (words[0], to_datetime(int(words[2]))) if len(words) == CLAIM_WORDS else (None, None)


def live_status(claim: bytes | None, starts: bytes | None, due: float | None, *, now: float) -> JobStatus:
    """Tell where a job is that has not ended.

    Args:
        claim: its claim, if there is one.
        starts: how often it was started, if that is known.
        due: when it is due, in ms; None: it stands in no queue, for it is parked.
        now: Redis's clock, in ms.
    """
    if claim:
        return JobStatus.RUNNING
    if int(starts or 0):
        return JobStatus.RETRYING
    # Parts of a millisecond are marks, see claim.lua; a half says that it has been claimed since its claim was read.
    is_due = due is None or int(due) <= now or due % 1 == LEASED
    return JobStatus.PENDING if is_due else JobStatus.SCHEDULED


def read_attempt(line: bytes) -> AttemptRecord:
    """Read how a try ended that was not the last."""
    entry = json.loads(line)
    started = entry.get("started")
    return AttemptRecord(
        entry["outcome"],
        entry.get("worker"),
        to_datetime(started) if started else None,
        to_datetime(entry["finished"]),
        entry.get("error"),
    )


def ended_record(
    job_id: str, data: dict[str, Any], *, progress: Progress | None = None, earlier: tuple[AttemptRecord, ...] = ()
) -> JobRecord:
    """Make the record of a job that has ended from its stored result."""
    status, error, cause = JobStatus.SUCCESS, None, None
    if not data["s"]:
        why = data["r"]
        status = JobStatus.CANCELLED if isinstance(why, asyncio.CancelledError) else JobStatus.FAILED
        error = error_text(why)
        if status is JobStatus.FAILED:
            cause = FailureCause(data["n"]) if "n" in data else None
    # It ended with a try if a worker ran that; arq's own workers do not say which.
    start_time = to_datetime(data["st"]) if data.get("w", data["t"]) else None
    finish_time = to_datetime(data["ft"])
    outcome = "timeout" if cause is FailureCause.TIMEOUT else status.value
    last = (AttemptRecord(outcome, data.get("w"), start_time, finish_time, error),) if start_time else ()
    return JobRecord(
        job_id=job_id,
        task=data["f"],
        status=status,
        args=data["a"],
        kwargs=data["k"],
        queue=keys.queue_name(data["q"]),
        priority=keys.priority(data["q"]),
        result=data["r"] if data["s"] else None,
        error=error,
        cause=cause,
        traceback=getattr(data["r"], "remote_traceback", None) or None,
        enqueue_time=to_datetime(data["et"]) if data["et"] else None,
        start_time=start_time,
        finish_time=finish_time,
        tries=data["t"],
        worker=data.get("w"),
        progress=progress,
        attempts=(*earlier, *last),
        **origin_fields(data),
    )


def to_datetime(milliseconds: int) -> datetime:
    """Give the time of so many ms since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
