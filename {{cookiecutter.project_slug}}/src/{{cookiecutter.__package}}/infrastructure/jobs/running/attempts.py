"""One try of one claimed job: from its payload to what is to be recorded of it, with hooks and log lines."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from arq.jobs import DeserializationError
from arq.utils import ms_to_datetime, timestamp_ms
from arq.worker import JobExecutionFailed, Retry, RetryJob

from .. import keys, logs
from ..limits import may_start
from ..origins import enter_origin, read_origin
from ..outcomes import attempt_line
from ..records import FailureCause, JobStatus
from ..statistics import RETRIED
from ..workflows.parts import Part, take, why_given_up
from .commits import Return
from .endings import end_of
from .plans import plan_of
from .unknown import UNKNOWN_TASK_DELAY, may_wait

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arq.typing import StartupShutdown

    from ..policy import Hook
    from ..worker import Worker
    from .claims import Claim
    from .commits import End
    from .counters import Tally
    from .plans import Plan

logger = logging.getLogger("arq.worker")

#: Seconds that a task's own hook may take.
HOOK_TIMEOUT = 30.0


class Attempt:
    """A claimed job on its way through the worker."""

    __slots__ = (
        "args",
        "claim",
        "enqueued",
        "job_try",
        "kwargs",
        "name",
        "origin",
        "part",
        "plan",
        "started",
        "worker",
    )

    def __init__(self, worker: Worker, claim: Claim) -> None:
        self.worker = worker
        self.claim = claim
        self.name = "<unknown>"
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.enqueued = 0
        self.job_try = claim.attempt - claim.losses
        self.plan: Plan | None = None
        self.started = 0  # when the try began, in ms; 0: it has not
        self.origin: Mapping[str, str] = {}
        self.part = Part.of(claim.job_id)

    @property
    def ref(self) -> str:
        """How the log calls the job."""
        return self.name if self.plan and self.plan.is_cron else f"{self.claim.job_id}:{self.name}"

    async def run(self) -> End | Return | None:
        """Run the job, if it can be run; None if it is no longer this worker's."""
        try:
            self._open()
            if self.claim.special == "aborted":
                logs.cancelled(self, before_start=True)
                return self._cancelled(await self._why_aborted())
            await self._take()
        except DeserializationError as error:
            logger.exception("deserializing job %s failed", self.claim.job_id)
            return await self._fail(error, FailureCause.UNDECODABLE)
        except asyncio.CancelledError as error:
            return await self._interrupted(error)
        return await self._start()

    async def _start(self) -> End | Return | None:
        refusal = self._refusal()
        if refusal is None and self.plan is None:
            if await may_wait(self):
                return Return(self.claim, delay=UNKNOWN_TASK_DELAY, counts=False)
            refusal = JobExecutionFailed(f"function {self.name!r} not found"), FailureCause.UNKNOWN_TASK
        if refusal:
            return await self._fail(*refusal)
        try:
            may = not self.claim.group or await may_start(self)
        except asyncio.CancelledError as error:
            return await self._interrupted(error)
        return await self._try() if may else None

    def is_last(self) -> bool:
        """Tell whether the loss of this worker, too, would be the end of the job."""
        try:
            self._open()
        except DeserializationError:
            return False
        return self.plan is not None and self.claim.losses == self.plan.max_tries - 1

    async def give_up(self) -> End | Return:
        """Give the outcome of a try that was cancelled at its deadline, and does not end."""
        self._open()
        with suppress(DeserializationError):
            await self._take()
        self.started = self.claim.started - self.claim.ahead
        error = TimeoutError(f"{self.name} does not end although it is cancelled")
        logger.error("%s goes on although it is cancelled; it is given up, but takes up the worker's time", self.ref)
        execution = self.plan.execution if self.plan else None
        delay = execution.pause_after(self.job_try, error) if execution else None
        self.claim.overdue = True
        if delay is not None:
            return self._again(delay, error)
        return await self._raised(error)

    def _open(self) -> None:
        """Read the payload, as far as there is one."""
        claim = self.claim
        if claim.payload is None:
            return
        try:
            data = self.worker.job_deserializer(claim.payload)  # type: ignore[misc] # never None, see `Worker`
            self.name, self.args, self.kwargs, self.enqueued = data["f"], data["a"], data["k"], data["et"]
            asked_try = data["t"]
        except Exception as error:
            raise DeserializationError("unable to deserialize job") from error
        # Whoever enqueued the job may have asked to begin with another try than 1.
        self.job_try = claim.attempt - claim.losses + max(0, (asked_try or 1) - 1)
        self.origin = read_origin(data)
        if self.part:
            self.part = self.part.with_wishes(data.get("wf"))
        self.plan = plan_of(self.worker, self.name)
        if self.plan and self.plan.execution.limits:
            claim.group = self.name
        enter_origin(self.origin)
        logs.enter_job(self, keys.queue_name(claim.queue_key))

    async def _take(self) -> None:
        """Get what the job takes from its workflow; it counts as an argument from here on."""
        if self.part:
            worker = self.worker
            self.args, self.kwargs = await take(worker.pool, self.part, self.args, self.kwargs, worker.job_deserializer)

    async def _why_aborted(self) -> asyncio.CancelledError:
        if self.part is None:
            return asyncio.CancelledError()
        workflow_id = self.part.workflow_id
        return asyncio.CancelledError((await why_given_up(self.worker.pool, [workflow_id]))[workflow_id])

    def _refusal(self) -> tuple[JobExecutionFailed, FailureCause] | None:
        """Tell why the job may not be started any more, if that is so."""
        plan = self.plan
        if self.claim.payload is None or self.claim.special == "expired":
            logger.warning("job %s expired", self.claim.job_id)
            return JobExecutionFailed("job expired"), FailureCause.EXPIRED
        if plan is None:
            return None
        if self.claim.losses >= plan.max_tries:
            text, cause = f"max {plan.max_tries} retries exceeded: its worker was lost", FailureCause.LOST_WORKER
        elif self.job_try > plan.max_tries:
            text, cause = f"max {plan.max_tries} retries exceeded", FailureCause.EXCEPTION
        else:
            return None
        logger.warning("%6.2fs ! %s %s", (timestamp_ms() - self.enqueued) / 1000, self.ref, text)
        return JobExecutionFailed(text), cause

    def _context(self) -> dict[str, Any]:
        claim = self.claim
        return {
            **self.worker.ctx,
            "job_id": claim.job_id,
            "job_try": self.job_try,
            "enqueue_time": ms_to_datetime(self.enqueued),
            "score": claim.due,
            "replay_of": self.origin.get("o"),
            "fencing_token": f"{self.worker.presence.record.worker_id}:{self.claim.stamp}",
        }

    async def _try(self) -> End | Return | None:
        worker, ctx = self.worker, self._context()
        self.started = timestamp_ms()
        if worker.on_job_start:
            await self._hook(worker.on_job_start, ctx)
        outcome = await self._execute(ctx)
        if worker.on_job_end:
            await self._hook(worker.on_job_end, ctx)
        if worker.after_job_end and outcome is not None and await worker.record(outcome):
            await self._hook(worker.after_job_end, ctx)
        return outcome

    async def _hook(self, hook: StartupShutdown, ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        try:
            await hook(ctx, *args, **kwargs)
        except Exception:
            logger.exception("%s: the hook %s failed", self.ref, getattr(hook, "__qualname__", hook))

    async def _execute(self, ctx: dict[str, Any]) -> End | Return | None:
        assert self.plan is not None  # noqa: S101 - else it is refused
        worker, execution = self.worker, self.plan.execution
        logs.started(self, show_arguments=worker.log_arguments)
        try:
            result = await execution.run(self.claim, ctx, self.args, self.kwargs, runtime=worker.runtime)
            # Values may have any `repr`: what it raises is the job's failure, as in arq.
            logs.succeeded(self, result, show_result=worker.log_results)
        except (Retry, RetryJob, asyncio.CancelledError) as error:
            return await self._interrupted(error)
        except Exception as error:  # noqa: BLE001 - whatever the task raises is its outcome
            return await self._raised(error)
        worker.jobs_complete += 1
        if execution.own.on_success:
            await self._task_hook(execution.own.on_success, result)
        return self._ended(JobStatus.SUCCESS, result)

    async def _interrupted(self, error: BaseException) -> End | Return | None:
        """Tell why a try has not come to its end: it, the worker, or somebody else wanted so."""
        worker, claim = self.worker, self.claim
        if claim.lost:
            logs.lease_lost(self)
            return None
        cancelled = isinstance(error, asyncio.CancelledError)
        if claim.job_id in worker.aborting_tasks:  # also where the task has made another error of it
            logs.cancelled(self)
            return self._cancelled(error if cancelled else asyncio.CancelledError())
        if not worker.retry_jobs:
            return await self._raised(error)
        if isinstance(error, Retry):
            return self._again((error.defer_score or 0) / 1000, error.__cause__)
        worker.jobs_retried += 1
        logs.handed_back(self)
        log = self._log("handed_back")
        if cancelled and worker.stopping:
            return Return(claim, counts=False, lapsed=claim.lapsed, log=log)
        return Return(claim, log=log, tally=self._tally())

    def _again(self, delay: float, error: BaseException | None) -> Return:
        self.worker.jobs_retried += 1
        logs.retrying(self, delay, error)
        outcome = "timeout" if self.claim.overdue else "failed" if error else "retry"
        log = self._log(outcome, error)
        return Return(self.claim, delay=round(delay * 1000), log=log, tally=self._tally())

    def _tally(self) -> Tally | None:
        return (self.name, RETRIED, self.claim.queue_key, None) if self.worker.retention.statistics else None

    def _log(self, outcome: str, error: BaseException | None = None) -> str:
        if not self.started:
            return ""
        worker_id = self.worker.presence.record.worker_id
        return attempt_line(outcome, worker=worker_id, started=self.started, finished=timestamp_ms(), error=error)

    async def _raised(self, error: BaseException) -> End:
        logs.failed(self, error)
        return await self._fail(error, FailureCause.TIMEOUT if self.claim.overdue else FailureCause.EXCEPTION)

    async def _fail(self, error: BaseException, cause: FailureCause) -> End:
        hook = self.plan.execution.own.on_failure if self.plan else None
        if hook:
            await self._task_hook(hook, error)
        return self._ended(JobStatus.FAILED, error, cause)

    async def _task_hook(self, hook: Hook, outcome: Any) -> None:
        """Call a hook of the task, with what its job came to and the job's arguments."""
        assert self.plan is not None  # noqa: S101 - only a known task has hooks
        try:
            async with asyncio.timeout(HOOK_TIMEOUT):
                await self.plan.execution.call_hook(hook, self.claim, self._context(), outcome, self.args, self.kwargs)
        except Exception:
            logger.exception("%s: the hook %s failed", self.ref, getattr(hook, "__qualname__", hook))

    def _cancelled(self, error: BaseException) -> End:
        return self._ended(JobStatus.CANCELLED, error)

    def _ended(self, status: JobStatus, result: Any, cause: FailureCause | None = None) -> End:
        if status is not JobStatus.SUCCESS:
            self.worker.jobs_failed += 1
        return end_of(self, status, result, cause)
