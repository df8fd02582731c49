"""What is recorded of a job that has ended in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arq.utils import timestamp_ms

from .. import codec, logs
from ..outcomes import encode_result, history_line, result_data
from ..records import FailureCause, JobStatus
from ..workflows import parts
from .commits import End
from .plans import keep_result

if TYPE_CHECKING:
    from .attempts import Attempt


def end_of(attempt: Attempt, status: JobStatus, result: Any, cause: FailureCause | None = None) -> End:
    """Give the outcome of an attempt that was the job's last; a result that cannot be stored is a failure."""
    worker, claim, plan, part = attempt.worker, attempt.claim, attempt.plan, attempt.part
    kept, keep_claim = (plan.keep_result, plan.keep_claim) if plan else (keep_result(worker), 0)
    data = _data(attempt, result, success=status is JobStatus.SUCCESS, cause=cause)
    if cause is FailureCause.UNDECODABLE:
        data["p"] = claim.payload
    wanted = kept >= 0 or cause or (part and part.gives)
    serializer = worker.job_serializer or codec.serialize
    encoded = encode_result(data, serializer, attempt.ref) if wanted else b""
    if status is JobStatus.SUCCESS and not data["s"]:
        status, cause = JobStatus.FAILED, FailureCause.EXCEPTION
    dead = cause is not None and encoded != b"" and worker.retention.dead_letters > 0
    if dead and cause:
        logs.buried(attempt, cause)
    line = history_line(data) if worker.retention.history > 0 else ""
    end = End(claim, status, encoded, kept if encoded else -1, keep_claim, line, dead)
    if worker.retention.statistics:
        started = attempt.started
        # Redis's clock, or a client's, says when it was due.
        times = (started + claim.ahead - claim.due, data["ft"] - started) if started else None
        end.tally = attempt.name, "success" if data["s"] else status.value, claim.queue_key, times  # `value` is slow
    if part:
        why = "" if data["s"] else parts.verdict(attempt.name, status.value, data["r"])
        value = parts.encode_value(data, serializer) if part.gives and encoded else b""
        end.part = (part.workflow_id, part.number, why, value)
    return end


def _data(attempt: Attempt, result: Any, *, success: bool, cause: FailureCause | None) -> dict[str, Any]:
    claim, now = attempt.claim, timestamp_ms()
    return result_data(
        job_id=claim.job_id,
        task=attempt.name,
        args=attempt.args,
        kwargs=attempt.kwargs,
        queue_key=claim.queue_key,
        tries=attempt.job_try if attempt.started else attempt.job_try - 1,
        enqueued=attempt.enqueued,
        started=attempt.started or now,
        finished=now,
        success=success,
        result=result,
        worker=attempt.worker.presence.record.worker_id if attempt.started else None,
        cause=cause,
        origin=attempt.origin,
    )
