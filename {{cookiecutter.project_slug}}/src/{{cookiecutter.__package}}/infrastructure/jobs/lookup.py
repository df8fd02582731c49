"""What is known of a job, and waiting for its end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from arq.jobs import DeserializationError, Job
from arq.jobs import JobStatus as ArqStatus
from arq.utils import timestamp_ms

from . import codec, keys
from .errors import RemoteError, UnreadableError
from .records import TERMINAL_STATUSES, JobRecord, JobStatus, Progress

if TYPE_CHECKING:
    from arq.connections import ArqRedis

    from .pool import TaskPool

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
        pipe.exists(keys.in_progress(job_id))
        pipe.get(keys.tries(job_id))
        pipe.get(keys.progress(job_id))
        result, payload, running, tries, progress = await pipe.execute()
    report = Progress(**codec.deserialize(progress)) if progress else None
    if result:
        return _finished(job_id, codec.deserialize(result), report)
    if not payload:
        return None
    data = read_payload(client, payload)
    queue_key = data.get("q") or client.default_queue_name
    due = None if running else await client.zscore(queue_key, job_id)
    return JobRecord(
        job_id=job_id,
        task=data["f"],
        status=_waiting_status(running=bool(running), due=due, tries=int(tries or 0)),
        args=data["a"],
        kwargs=data["k"],
        queue=keys.queue_name(queue_key),
        enqueue_time=_to_datetime(data["et"]),
        tries=int(tries or 0),
        progress=report,
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


def _waiting_status(*, running: bool, due: float | None, tries: int) -> JobStatus:
    if running:
        return JobStatus.RUNNING
    if due is None or due <= timestamp_ms():
        return JobStatus.RETRYING if tries else JobStatus.PENDING
    return JobStatus.RETRYING if tries else JobStatus.SCHEDULED


def _finished(job_id: str, data: dict[str, Any], progress: Progress | None) -> JobRecord:
    status, error = JobStatus.SUCCESS, None
    if not data["s"]:
        cause = data["r"]
        status = JobStatus.CANCELLED if isinstance(cause, asyncio.CancelledError) else JobStatus.FAILED
        named = isinstance(cause, BaseException) and not isinstance(cause, RemoteError)
        error = f"{type(cause).__name__}: {cause}".removesuffix(": ") if named else str(cause)
        if isinstance(cause, DeserializationError) and cause.__cause__:
            error += f": {cause.__cause__}"
    return JobRecord(
        job_id=job_id,
        task=data["f"],
        status=status,
        args=data["a"],
        kwargs=data["k"],
        queue=keys.queue_name(data["q"]),
        result=data["r"] if data["s"] else None,
        error=error,
        enqueue_time=_to_datetime(data["et"]),
        start_time=_to_datetime(data["st"]) if data["t"] else None,
        finish_time=_to_datetime(data["ft"]),
        tries=data["t"],
        progress=progress,
    )


def _to_datetime(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
