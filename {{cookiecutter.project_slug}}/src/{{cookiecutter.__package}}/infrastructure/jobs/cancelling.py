"""Cancelling jobs: many in one call, each with a record of its own."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from arq.utils import timestamp_ms

from . import codec, keys, scripts
from .lookup import read_payload
from .origins import read_origin
from .outcomes import history_line, result_data
from .workflows import parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from arq.connections import ArqRedis

#: Milliseconds for which it is known that a job was cancelled before it started.
CANCELLED_KEPT = 3_600_000


async def cancel_jobs(
    pool: ArqRedis,
    job_ids: Iterable[str],
    *,
    terminate: bool = False,
    reason: str | None = None,
    spared: list[str] | None = None,
) -> list[str]:
    """Cancel jobs that wait; those that run only if `terminate` is set, by cancelling them in their workers.

    That takes two round trips for every 500 jobs. Where a job was part of a workflow, what is left of that is cancelled
    as its policy says, which takes three more for every 500 of those.

    Args:
        pool: the client.
        job_ids: the jobs.
        terminate: ask for the end of running ones.
        reason: why, for their records.
        spared: gets the other queued jobs of their workflows, for the caller to end; by default they are ended here.

    Returns:
        For each job `cancelled`, `asked` (its worker is about to end it), `running` (and it may go on), or `unknown`:
        it has ended, or there is no such job.

    Raises:
        RedisError, OSError: there was no answer, so some may be cancelled.
    """
    answers: list[str] = []
    for batch in _batches(job_ids):
        found, (waiting, queued) = await _cancel(pool, batch, [reason] * len(batch), terminate=terminate)
        answers += found
        if spared is None:
            waiting += queued
        else:
            spared += queued
        await end_given_up(pool, waiting)
    return answers


async def end_given_up(pool: ArqRedis, job_ids: Iterable[str]) -> None:
    """Record the end of jobs whose workflows do without them; workers find what this does not come to."""
    for batch in _batches(job_ids):
        workflow_ids = [(keys.workflow_part(job_id) or ("", 0))[0] for job_id in batch]
        reasons = await parts.why_given_up(pool, set(workflow_ids))
        await _cancel(pool, batch, [reasons[workflow_id] for workflow_id in workflow_ids])


def read_given_up(found: Sequence[Sequence[bytes]]) -> tuple[list[str], list[str]]:
    """Read what a script says of the jobs that were given up: those that waited for others, and those in queues."""
    waiting, queued = ([job_id.decode() for job_id in job_ids] for job_ids in found or ((), ()))
    return waiting, queued


def _batches(job_ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(job_ids)
    while batch := list(islice(rest, scripts.BATCH)):
        yield batch


async def _cancel(
    pool: ArqRedis, job_ids: list[str], reasons: Sequence[str | None], *, terminate: bool = False
) -> tuple[list[str], tuple[list[str], list[str]]]:
    values = await pool.mget([name(job_id) for job_id in job_ids for name in (keys.job, keys.tries, keys.lost)])
    records = [
        _record(pool, job_id, *values[3 * number : 3 * number + 3], reason=reasons[number])
        for number, job_id in enumerate(job_ids)
    ]
    known = [record for record in records if record]
    if not known:
        return ["unknown"] * len(job_ids), ([], [])
    found, given_up = await scripts.script(pool, "cancel")(
        args=[
            int(terminate),
            CANCELLED_KEPT,
            scripts.packed([job for job, _ in known]),
            *[result for _, result in known],
        ]
    )
    rest = iter(found)
    answers = [next(rest).decode() if record else "unknown" for record in records]
    return answers, read_given_up(given_up)


def _record(
    pool: ArqRedis,
    job_id: str,
    payload: bytes | None,
    starts: bytes | None,
    losses: bytes | None,
    *,
    reason: str | None,
) -> tuple[tuple[object, ...], bytes] | None:
    """Give what the script takes of a job, and what is stored of it; None if it is not there."""
    if not payload:
        return None
    data = read_payload(pool, payload)
    queue_key = data.get("q") or pool.default_queue_name
    now = timestamp_ms()
    error = asyncio.CancelledError(reason) if reason else asyncio.CancelledError()
    ended = result_data(
        job_id=job_id,
        task=data["f"],
        args=data["a"],
        kwargs=data["k"],
        queue_key=queue_key,
        tries=int(starts or 0) - int(losses or 0),
        enqueued=data["et"],
        started=now,
        finished=now,
        success=False,
        result=error,
        origin=read_origin(data),
    )
    part = keys.workflow_part(job_id)
    more = (*part, parts.verdict(data["f"], "cancelled", error)) if part else ()
    return (job_id, queue_key, data["f"], history_line(ended), *more), (pool.job_serializer or codec.serialize)(ended)
