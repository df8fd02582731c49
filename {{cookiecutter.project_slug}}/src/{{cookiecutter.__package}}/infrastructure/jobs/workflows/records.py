"""What is known of a workflow, as data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..records import JobRecord, Progress

if TYPE_CHECKING:
    from datetime import datetime

    from ..records import JobStatus


class WorkflowKind(StrEnum):
    """How the jobs of a workflow depend on each other."""

    CHAIN = "chain"
    """One after the other."""
    GROUP = "group"
    """All at once, and then the callback."""


class OnFailure(StrEnum):
    """What becomes of a group when a member has failed for good, or was cancelled."""

    FAIL = "fail"
    """The other members run; the group has failed, and its callback is cancelled."""
    CANCEL = "cancel"
    """So it is, and the members that wait are cancelled; those that run go on."""
    CONTINUE = "continue"
    """The other members run, and then the callback: it finds exceptions among the results."""


@dataclass(frozen=True, slots=True)
class WorkflowJob:
    """One job of a workflow."""

    job_id: str
    task: str
    status: JobStatus


@dataclass(frozen=True, slots=True)
class WorkflowRecord:
    """All that is known of a workflow at one moment; times are aware and in UTC."""

    workflow_id: str
    kind: WorkflowKind
    #: `pending` (nothing of it has started), `running`, `success`, `failed` or `cancelled`; the last three once none of
    #: its jobs runs any more.
    status: JobStatus
    #: The steps, or the members, in their order.
    jobs: tuple[WorkflowJob, ...]
    #: What runs when all members have ended.
    callback: WorkflowJob | None = None
    #: Once it has succeeded: of a chain, what the last step returned; of a group, what the callback returned, or, where
    #: there is none, the list of what the members returned, in their order.
    result: Any = None
    #: Which job has stopped it, and why: `"step 2 of 3, job ...: charge failed: ValueError: no such card"`.
    error: str | None = None
    create_time: datetime | None = None
    finish_time: datetime | None = None
    #: Whose it is, as of a job.
    owner: str | None = None

    @property
    def total(self) -> int:
        """How many steps or members it has; the callback is not counted."""
        return len(self.jobs)

    @property
    def done(self) -> int:
        """How many of them have succeeded."""
        return self._count("success")

    @property
    def failed(self) -> int:
        """How many of them have failed for good."""
        return self._count("failed")

    @property
    def cancelled(self) -> int:
        """How many of them were cancelled."""
        return self._count("cancelled")

    def as_job(self) -> JobRecord:
        """Give it as one job, for those who look at a job and a workflow alike; its progress is what has succeeded."""
        return JobRecord(
            job_id=self.workflow_id,
            task=self.kind.value,
            status=self.status,
            result=self.result,
            error=self.error,
            enqueue_time=self.create_time,
            finish_time=self.finish_time,
            progress=Progress(self.done, self.total),
            owner=self.owner,
        )

    def _count(self, status: str) -> int:
        return sum(job.status == status for job in self.jobs)
