"""Jobs of a transaction: what slices enqueue and find them by, which do not know the front door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from .database import Base
from .jobs.enqueueing import enqueuer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def enqueue_with(session: AsyncSession, task: str, **kwargs: Any) -> str:
    """Enqueue a job if and when this session's transaction is committed, and give its id.

    Args:
        session: whose transaction the job belongs to.
        task: the name of a registered task.
        kwargs: its named arguments.

    Raises:
        JobError: as by `enqueue_task` of the front door.
    """
    return str(await enqueuer(task)(task, _session=session, **kwargs))


async def waits(session: AsyncSession, job_id: str | None) -> bool:
    """Tell whether a job has not been published yet, such as while Redis is away: then nothing else knows of it."""
    outbox = Base.metadata.tables["job_outbox"]
    return bool(await session.scalar(select(outbox.c.id).where(outbox.c.job_id == job_id).limit(1)))
