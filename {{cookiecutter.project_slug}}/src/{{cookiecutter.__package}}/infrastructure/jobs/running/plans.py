"""What is the same for every job of a task: worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import arq.worker
from arq.cron import CronJob

if TYPE_CHECKING:
    from arq.worker import Function

    from ..execution import Execution
    from ..worker import Worker


@dataclass(frozen=True, slots=True)
class Plan:
    """How the jobs of one task are run and recorded."""

    execution: Execution
    max_tries: int
    is_cron: bool
    #: Milliseconds for which a result is kept; 0: for ever, -1: not at all.
    keep_result: int
    #: Milliseconds for which the id of an ended job stays claimed, so that a late worker starts no tick again.
    keep_claim: int

    @classmethod
    def of(cls, function: Function | CronJob, worker: Worker) -> Plan:
        """Combine what a task sets for itself with the worker's settings."""
        is_cron = isinstance(function, CronJob)
        execution: Execution = function.coroutine  # type: ignore[assignment] # see `with_policy`
        return cls(
            execution=execution,
            max_tries=execution.policy.retry.max_tries,
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


def keep_result(worker: Worker, forever: bool | None = None, seconds: float | None = None) -> int:  # noqa: FBT001
    """Give the milliseconds for which a result is kept, where the task does not say otherwise; see `Plan`."""
    if worker.keep_result_forever if forever is None else forever:
        return 0
    return round((worker.keep_result_s if seconds is None else seconds) * 1000) or -1
