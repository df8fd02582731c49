"""Ending jobs, and running them again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from ..bulk import run_bulk
from ..dead_letters import DeadLetters
from ..errors import DeadLetterNotFoundError, JobNotFoundError, WrongStateError
from ..inspection import inspect, without_secrets
from ..records import TERMINAL_STATUSES, JobStatus
from ..secrets import unmasked_arguments
from ..workflows.client import Workflows
from .connected import Connected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..bulk import BulkAction, BulkOptions, BulkResult
    from ..errors import JobError
    from ..inspection import JobDetails
    from ..letters import LetterFilters
    from ..paging import Page
    from ..records import JobRecord


class Steering(Connected):
    """What a manager does with jobs that are there."""

    async def cancel(self, job_id: str | None, *, terminate: bool = False) -> bool:
        """Cancel a job that waits; one that runs only if `terminate` is set. Of a workflow, all its jobs.

        Returns:
            Whether anything is cancelled, or about to be; see `TaskPool.cancel` and `Workflows.cancel`.
        """
        if job_id is None:
            return False
        pool = await self.connect()
        workflows = Workflows(pool)
        return await pool.cancel(job_id, terminate=terminate) or await workflows.cancel(job_id, terminate=terminate)

    async def end(self, job_id: str, *, terminate: bool = False) -> JobRecord:
        """Cancel as `cancel` does, or say why that cannot be.

        Returns:
            What is known of it now, secrets hidden; one that was running is `running` until its worker has ended it.

        Raises:
            JobNotFoundError: nothing is known of it.
            WrongStateError: it has ended; or it runs, and `terminate` is not set.
        """
        before = await self._described(job_id)
        if before.job.status in TERMINAL_STATUSES:
            raise WrongStateError(job_id, before.job.status, "it has ended")
        if not await self.cancel(job_id, terminate=terminate):
            status = (await self._described(job_id)).job.status
            raise WrongStateError(job_id, status, _why_it_stays(status, terminate=terminate))
        return (await inspect(self.backend, job_id) or before).job

    async def retry(
        self, job_id: str, *, args: tuple[Any, ...] | None = None, kwargs: Mapping[str, Any] | None = None
    ) -> str:
        """Run a job again that has failed: a new job takes the place of its dead letter. Give the id of the new one.

        Args:
            job_id: the job.
            args: other positional arguments; by default the same. A `***` where a secret was shown keeps the secret.
            kwargs: other named arguments, all of them; likewise.

        Raises:
            JobNotFoundError: nothing is known of it.
            WrongStateError: it has not failed, or its dead letter is gone: replayed, discarded, or no longer kept.
            UnreplayableError: what it was to do is not known, or its task is unique and the same job is there.
            InvalidJobError: the edited arguments do not fit the task.
            UnserializableError: an edited argument cannot be stored.
        """
        pool = await self.connect()
        letters = DeadLetters(pool)
        try:
            if args is not None or kwargs is not None:
                letter = await letters.get(job_id)
                function = pool.registry.find_function(letter.task) if pool.registry else None
                args, kwargs = unmasked_arguments(function, (args, kwargs), (letter.args, letter.kwargs))
            return await letters.replay(job_id, args=args, kwargs=kwargs)
        except DeadLetterNotFoundError:
            raise await self._not_dead(job_id) from None

    async def discard(self, job_id: str) -> None:
        """Throw the dead letter of a job away: then it cannot be run again.

        Raises:
            JobNotFoundError: nothing is known of it.
            WrongStateError: there is no dead letter, or it is gone.
        """
        try:
            await DeadLetters(await self.connect()).discard(job_id)
        except DeadLetterNotFoundError:
            raise await self._not_dead(job_id) from None

    async def bulk(self, action: BulkAction | str, **options: Unpack[BulkOptions]) -> BulkResult:
        """Run many jobs again, cancel them, or throw them away; or count what that would do.

        `retry` and `discard` mean dead letters, the earliest first; `since` and `until` are about when they died.
        `cancel` means jobs that wait, and with `terminate` those that run as well; `since` and `until` are about when
        they were enqueued. What dies or is enqueued after the call has begun is left alone.

        Args:
            action: a `BulkAction`, or its name.
            options: filters, None for any: `status`, `task`, `queue`, `since`, `until`, and for dead letters `cause`.
                `terminate=True` ends running jobs too. `dry_run=True` does nothing and counts. `limit` is how many it
                is done with at most, 10,000; None: all. `progress` is called after each step with how many are done.

        Raises:
            InvalidQueryError: a filter makes no sense, or not for this action; the message says which.
            QueueUnavailable: Redis does not answer; it may have been done with some.
        """
        return await run_bulk(await self.connect(), action, **options)

    async def list_dead_letters(
        self, *, limit: int = 50, cursor: str | None = None, **filters: Unpack[LetterFilters]
    ) -> Page[JobRecord]:
        """List jobs that have failed for good and can be run again, the latest first, secrets hidden.

        See `DeadLetters.list` for the arguments.
        """
        pool = await self.connect()
        page = await DeadLetters(pool).list(limit=limit, cursor=cursor, **filters)
        return replace(page, jobs=tuple(without_secrets(record, pool.registry) for record in page.jobs))

    async def _described(self, job_id: str) -> JobDetails:
        details = await inspect(self.backend, job_id)
        if details is None:
            raise JobNotFoundError(job_id)
        return details

    async def _not_dead(self, job_id: str) -> JobError:
        """Give the error for a job that has no dead letter."""
        details = await inspect(self.backend, job_id)
        if details is None:
            return JobNotFoundError(job_id)
        problem = "only a job that has failed for good can be retried or discarded"
        if details.children:
            problem = "it is a workflow; retry or discard those of its jobs that have failed"
        elif details.job.status is JobStatus.FAILED:
            problem = "its dead letter is gone: it was retried or discarded before, or is no longer kept"
        return WrongStateError(job_id, details.job.status, problem)


def _why_it_stays(status: JobStatus, *, terminate: bool) -> str:
    if status in TERMINAL_STATUSES:
        return "it has ended"
    if status is JobStatus.RUNNING and not terminate:
        return "a worker has it; with `terminate` it is ended there"
    return "it is on its way to its queue, or has just changed hands; try again"
