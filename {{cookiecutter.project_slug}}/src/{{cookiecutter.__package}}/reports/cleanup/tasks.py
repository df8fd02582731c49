"""Background work of the clean-up."""

from __future__ import annotations

from datetime import timedelta

from ...infrastructure.jobs import Schedule, TaskContext, task
from . import service


@task(timeout=timedelta(hours=1))
async def cleanup_old_data(ctx: TaskContext) -> dict[str, int]:
    """Delete what has been kept for long enough, and give how much of each kind; it may be broken off and run again."""
    return await service.delete_old(progress=lambda kind, number: ctx.progress(number, message=kind))


TASKS = [cleanup_old_data]
SCHEDULES = [Schedule(cleanup_old_data, "weekly-cleanup", cron="0 0 * * SUN")]
