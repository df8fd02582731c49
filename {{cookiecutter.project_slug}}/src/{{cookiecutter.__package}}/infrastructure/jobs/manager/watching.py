"""Looking jobs up, and waiting for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..errors import InvalidQueryError, JobNotFoundError
from ..filters import JobFilter
from ..history import JobHistory
from ..inspection import as_line, inspect
from ..paging import Page
from ..records import TERMINAL_STATUSES
from ..secrets import masked_arguments
from ..workflows.client import Workflows
from .connected import Connected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ..inspection import JobDetails
    from ..records import HistoryRecord, JobRecord, JobStatus


class Watching(Connected):
    """What a manager says of jobs."""

    async def get_status(self, job_id: str | None) -> JobRecord | None:
        """Read all that is known of a job, or of a workflow as a whole; None if nothing is, or there is no job.

        The record of a workflow has `chain` or `group` for its task; its progress are the jobs that have succeeded.
        """
        if job_id is None:  # what `enqueue` gives where a job was left out
            return None
        pool = await self.connect()
        if record := await pool.record(job_id):
            return record
        if workflow := await Workflows(pool).get(job_id):
            return workflow.as_job()
        return await self.backend.find(job_id)

    async def wait_for(self, job_id: str | None, timeout: float | None = 60) -> JobRecord:  # noqa: ASYNC109 - part of the interface
        """Wait until a job or a workflow has ended, in whichever way, and give its record; see `get_status`.

        Args:
            job_id: the job, or the workflow.
            timeout: seconds to wait at most, 0 for none; None waits for ever.

        Raises:
            TimeoutError: it has not ended in time.
            JobNotFoundError: nothing is known of it, or its result is not kept.
        """
        try:
            async with asyncio.timeout(timeout):
                record = await self._wait(job_id)
        except TimeoutError:  # perhaps before there was a look at it
            record = await self.get_status(job_id)
            if record and record.status not in TERMINAL_STATUSES:
                raise TimeoutError(f"job {job_id} has not ended within {timeout} s") from None
        if record is None:
            raise JobNotFoundError(job_id)
        return record

    async def _wait(self, job_id: str | None) -> JobRecord | None:
        if job_id is None:
            return None
        pool = await self.connect()
        if await pool.record(job_id) is None and (workflow := await Workflows(pool).wait(job_id)):
            return workflow.as_job()
        async with pool.events.of(job_id) as news:
            while record := await self.backend.find(job_id):
                if record.status in TERMINAL_STATUSES:
                    break
                await news.wait()
        return record

    async def list_jobs(
        self,
        *,
        status: JobStatus | str | Iterable[JobStatus | str] | None = None,
        task: str | None = None,
        queue: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        job_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[HistoryRecord]:
        """List jobs, a page at a time: first those that have not ended, then the others, the latest first.

        See `JobHistory.list` for what a page holds.

        Args:
            status: one, several, or None for all.
            task: name of their task.
            queue: name of their queue, of whichever priority they are.
            since: no earlier; that is about the end of jobs that have ended, and the enqueueing of all others.
            until: earlier than that.
            job_id: that job alone, or that workflow, if all else fits.
            limit: jobs on one page, 1,000 at most.
            cursor: of the page before this one, which was asked for with the same filters.

        Raises:
            InvalidQueryError: an argument makes no sense; the message says which.
        """
        query = JobFilter.of(status, task=task, queue=queue, since=since, until=until, limit=limit)
        if job_id is None:
            return await JobHistory(await self.connect()).page(query, cursor)
        if cursor is not None:
            raise InvalidQueryError("cursor", cursor, "one job is no list of several pages; leave it out")
        details = await inspect(self.backend, job_id)
        line = as_line(details.job) if details else None
        return Page((line,) if line and query.wants_found(line) else (), None)

    async def inspect(self, job_id: str) -> JobDetails | None:
        """Read all that is known of a job, or of a workflow, and of what it belongs to; None if nothing is.

        What stands under the name of a secret is hidden in arguments and result: see `secrets`.
        """
        return await inspect(self.backend, job_id)

    async def masked(
        self, task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give arguments of a task as they may be shown: see `secrets.masked_arguments`."""
        registry = (await self.connect()).registry
        return masked_arguments(registry.find_function(task) if registry else None, args, kwargs)
