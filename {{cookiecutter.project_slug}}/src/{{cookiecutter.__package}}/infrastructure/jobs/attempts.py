"""One try of one claimed job: from its payload to what is to be recorded of it, with arq's hooks and log lines."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import arq.worker
from arq.cron import CronJob
from arq.jobs import SerializationError, deserialize_job_raw, serialize_result
from arq.utils import args_to_string, ms_to_datetime, timestamp_ms, truncate
from arq.worker import Function, JobExecutionFailed, Retry, RetryJob

from . import keys
from .commits import End, Return
from .records import JobStatus

if TYPE_CHECKING:
    from arq.typing import StartupShutdown

    from .claims import Claim
    from .execution import Execution
    from .worker import Worker

logger = logging.getLogger("arq.worker")

#: Milliseconds after which a job with an unknown task is looked at again; a newer worker may know it.
UNKNOWN_TASK_DELAY = 10_000
#: Milliseconds after which a job whose task nobody knows has failed.
UNKNOWN_TASK_LIMIT = 86_400_000
#: Milliseconds of lateness that the log mentions.
LATE = 1_200


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same for every job of a task: worked out once."""

    execution: Execution
    max_tries: int
    is_cron: bool
    #: Milliseconds for which a result is kept; 0: for ever, None: not at all.
    keep_result: int | None
    #: Milliseconds for which the id of an ended job stays claimed, so that a late worker starts no tick again.
    keep_claim: int

    @classmethod
    def of(cls, function: Function | CronJob, worker: Worker) -> Plan:
        """Combine what a task sets for itself with the worker's settings."""
        is_cron = isinstance(function, CronJob)
        return cls(
            execution=function.coroutine,  # type: ignore[arg-type] # see `with_policy`
            max_tries=worker.max_tries if function.max_tries is None else function.max_tries,
            is_cron=is_cron,
            keep_result=keep_result(worker, function.keep_result_forever, function.keep_result_s),
            keep_claim=round(arq.worker.keep_cronjob_progress * 1000) if is_cron else 0,  # type: ignore[attr-defined]
        )


def plan_of(worker: Worker, name: str) -> Plan | None:
    """Give the plan of a task, made at its first job; None if the worker does not know it."""
    plan = worker.plans.get(name)
    if plan is None and name in worker.functions:
        plan = worker.plans[name] = Plan.of(worker.functions[name], worker)
    return plan


def keep_result(worker: Worker, forever: bool | None = None, seconds: float | None = None) -> int | None:  # noqa: FBT001
    """Give the milliseconds for which a result is kept, where the task does not say otherwise; see `Plan`."""
    if worker.keep_result_forever if forever is None else forever:
        return 0
    return round((worker.keep_result_s if seconds is None else seconds) * 1000) or None


def number_of_try(claim: Claim, asked_try: int | None) -> int:
    """Give the number of this try; whoever enqueued the job may have asked to begin with another than 1."""
    return claim.attempt + max(0, (asked_try or 1) - 1)


class Attempt:
    """A claimed job on its way through the worker."""

    __slots__ = ("args", "claim", "enqueued", "job_try", "kwargs", "name", "plan", "started", "worker")

    def __init__(self, worker: Worker, claim: Claim) -> None:
        self.worker = worker
        self.claim = claim
        self.name = "<unknown>"
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.enqueued = 0
        self.job_try = claim.attempt
        self.plan: Plan | None = None
        self.started = timestamp_ms()

    @property
    def ref(self) -> str:
        """How the log calls the job."""
        return self.name if self.plan and self.plan.is_cron else f"{self.claim.job_id}:{self.name}"

    async def run(self) -> End | Return | None:
        """Run the job, if it can be run; None if it is no longer this worker's."""
        refused = self._open()
        if refused is not None:
            return refused
        if self.plan is None:
            return await self._unknown()
        ctx = {
            **self.worker.ctx,
            "job_id": self.claim.job_id,
            "job_try": self.job_try,
            "enqueue_time": ms_to_datetime(self.enqueued),
            "score": self.claim.due,
        }
        if self.worker.on_job_start:
            await self._hook(self.worker.on_job_start, ctx)
        outcome = await self._execute(self.plan, ctx)
        if self.worker.on_job_end:
            await self._hook(self.worker.on_job_end, ctx)
        if self.worker.after_job_end and outcome is not None and await self.worker.record(outcome):
            await self._hook(self.worker.after_job_end, ctx)
        return outcome

    def is_last(self) -> bool:
        """Tell whether no other try would follow a failure of this one."""
        try:
            name, _, _, asked_try, _ = deserialize_job_raw(
                self.claim.payload or b"", deserializer=self.worker.job_deserializer
            )
        except SerializationError:
            return False
        plan = plan_of(self.worker, name)
        return plan is not None and number_of_try(self.claim, asked_try) == plan.max_tries

    def _open(self) -> End | Return | None:
        """Read the payload; a job that cannot be run gives its outcome at once."""
        claim, worker = self.claim, self.worker
        if claim.payload is None:
            logger.warning("job %s expired", claim.job_id)
            return self._failed(JobExecutionFailed("job expired"))
        try:
            self.name, self.args, self.kwargs, asked_try, self.enqueued = deserialize_job_raw(
                claim.payload, deserializer=worker.job_deserializer
            )
        except SerializationError as error:
            logger.exception("deserializing job %s failed", claim.job_id)
            return self._failed(error)
        self.plan = plan_of(worker, self.name)
        if claim.aborted:
            logger.info("%6.2fs ⊘ %s aborted before start", (timestamp_ms() - self.enqueued) / 1000, self.ref)
            return self._failed(asyncio.CancelledError(), JobStatus.CANCELLED)
        self.job_try = number_of_try(claim, asked_try)
        if self.plan and self.job_try > self.plan.max_tries:
            seconds = (timestamp_ms() - self.enqueued) / 1000
            logger.warning("%6.2fs ! %s max retries %d exceeded", seconds, self.ref, self.plan.max_tries)
            why = ": its worker was lost" if claim.lapsed else ""
            return self._failed(JobExecutionFailed(f"max {self.plan.max_tries} retries exceeded{why}"))
        return None

    async def _unknown(self) -> End | Return:
        """Leave the job to a newer worker, as there is one during a deploy; for a day, or not at all in burst mode."""
        claim, worker = self.claim, self.worker
        now = timestamp_ms()
        async with worker.pool.pipeline(transaction=False) as pipe:
            pipe.set(keys.unknown(claim.job_id), now, nx=True, px=2 * UNKNOWN_TASK_LIMIT)
            pipe.get(keys.unknown(claim.job_id))
            _, since = await pipe.execute()
        if worker.burst or now - int(since) > UNKNOWN_TASK_LIMIT:
            await worker.pool.delete(keys.unknown(claim.job_id))
            logger.warning("job %s, function %r not found", claim.job_id, self.name)
            return self._failed(JobExecutionFailed(f"function {self.name!r} not found"))
        logger.warning("job %s, function %r not found, left to a worker that knows it", claim.job_id, self.name)
        return Return(claim, delay=UNKNOWN_TASK_DELAY, counts=False)

    async def _hook(self, hook: StartupShutdown, ctx: dict[str, Any]) -> None:
        try:
            await hook(ctx)
        except Exception:
            logger.exception("%s: the hook %s failed", self.ref, getattr(hook, "__qualname__", hook))

    async def _execute(self, plan: Plan, ctx: dict[str, Any]) -> End | Return | None:
        worker, claim = self.worker, self.claim
        if _logs():
            again = f" try={self.job_try}" if self.job_try > 1 else ""
            late = f" delayed={(self.started - claim.due) / 1000:0.2f}s" if self.started - claim.due > LATE else ""
            arguments = args_to_string(self.args, self.kwargs)
            logger.info("%6.2fs → %s(%s)%s%s", (self.started - self.enqueued) / 1000, self.ref, arguments, again, late)
        try:
            result = await plan.execution.run(claim, ctx, self.args, self.kwargs, worker=worker)
            # Values may have any `repr`: what it raises is the job's failure, as in arq.
            shown = "" if result is None or not worker.log_results or not _logs() else truncate(repr(result))
        except (Retry, RetryJob, asyncio.CancelledError) as error:
            return self._interrupted(error)
        except Exception as error:  # noqa: BLE001 - whatever the task raises is its outcome
            return self._raised(error)
        worker.jobs_complete += 1
        if _logs():
            logger.info("%6.2fs ← %s ● %s", self._seconds(), self.ref, shown)
        return self._end(JobStatus.SUCCESS, result)

    def _interrupted(self, error: BaseException) -> End | Return | None:
        """Tell why a try has not come to its end: it, the worker, or somebody else wanted so."""
        worker, claim = self.worker, self.claim
        cancelled = isinstance(error, asyncio.CancelledError)
        if claim.lost:
            logger.warning("%6.2fs ⊘ %s lease lost, given up: another worker may have it", self._seconds(), self.ref)
            return None
        if cancelled and claim.job_id in worker.aborting_tasks:
            worker.aborting_tasks.discard(claim.job_id)
            logger.info("%6.2fs ⊘ %s aborted", self._seconds(), self.ref)
            return self._failed(error, JobStatus.CANCELLED)
        if not worker.retry_jobs:
            return self._raised(error)
        worker.jobs_retried += 1
        if isinstance(error, Retry):
            delay = error.defer_score or 0
            logger.info("%6.2fs ↻ %s retrying job in %0.2fs", self._seconds(), self.ref, delay / 1000)
            return Return(claim, delay=delay)
        logger.info("%6.2fs ↻ %s cancelled, will be run again", self._seconds(), self.ref)
        if cancelled and worker.stopping:
            return Return(claim, counts=False, lapsed=claim.lapsed)
        return Return(claim)

    def _raised(self, error: BaseException) -> End:
        extra = getattr(error, "extra", None)
        logger.error(
            "%6.2fs ! %s failed, %s: %s",
            self._seconds(),
            self.ref,
            type(error).__name__,
            error,
            extra={"extra": extra() if callable(extra) else extra},
            exc_info=error,
        )
        return self._failed(error)

    def _failed(self, error: BaseException, status: JobStatus = JobStatus.FAILED) -> End:
        self.worker.jobs_failed += 1
        return self._end(status, error)

    def _end(self, status: JobStatus, result: Any) -> End:
        worker, claim, plan = self.worker, self.claim, self.plan
        kept, keep_claim = (plan.keep_result, plan.keep_claim) if plan else (keep_result(worker), 0)
        data: bytes | None = None
        if kept is not None:
            data = serialize_result(
                self.name,
                self.args,
                self.kwargs,
                self.job_try,
                self.enqueued,
                status is JobStatus.SUCCESS,
                result,
                self.started,
                timestamp_ms(),
                self.ref,
                claim.queue_key,
                job_id=claim.job_id,
                serializer=worker.job_serializer,
            )
        return End(claim, status, data or b"", kept or 0, keep_claim)

    def _seconds(self) -> float:
        return (timestamp_ms() - self.started) / 1000


def _logs() -> bool:
    return logger.isEnabledFor(logging.INFO)
