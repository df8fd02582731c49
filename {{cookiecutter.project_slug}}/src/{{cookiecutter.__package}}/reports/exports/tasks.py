"""Background work of the exports."""

from __future__ import annotations

from typing import Any

from ...infrastructure.cache import SessionManager, get_cache
from ...infrastructure.database import get_session_context
from ...infrastructure.jobs import RetryConfig, TaskContext, task
from ...infrastructure.mail_tasks import MAIL_RETRY, deliver_once
from ...infrastructure.outbox import enqueue_with
from . import service
from .models import ExportStatus
from .sessions import read_sessions

#: Seconds that one try may take; a million rows took between half a minute and more than two.
TIMEOUT = 3600


@task(retry=RetryConfig(give_up_on=service.UnknownUserError))
async def export_user_data(ctx: TaskContext, user_id: int) -> int | None:
    """Store all that is known about a user, and mail them the link; give the export's id, None if another has it."""
    ctx["job_timeout"] = TIMEOUT
    export = await service.begin_export(user_id, job_id=ctx["job_id"])
    if export.file is None or export.status == ExportStatus.READY:  # by an earlier try, which was not recorded
        return export.id
    sessions = await read_sessions(SessionManager(get_cache()), user_id)
    written = await service.store_export(export.file, user_id=user_id, extra=[sessions], report=ctx.progress)
    async with get_session_context() as session:
        if await service.finish_export(session, export, written):
            await enqueue_with(session, "send_export_link", export_id=export.id)
            return export.id
    await service.discard_file(export.file)
    return None


@export_user_data.on_failure
async def export_failed(ctx: TaskContext, error: Exception, user_id: int) -> None:  # noqa: ARG001
    """Say so where the user looks."""
    async with get_session_context() as session:
        await service.fail_export(session, ctx["job_id"])


@task(retry=MAIL_RETRY)
async def send_export_link(ctx: dict[str, Any], export_id: int) -> None:
    """Mail a user the link to their export, by a job of its own: a mail server that is away exports nothing again."""
    async with get_session_context() as session:
        message = await service.compose_mail(session, export_id)
    if message:
        to, content = message
        await deliver_once(ctx, content, to=to, key="export")


TASKS: list[Any] = [export_user_data, send_export_link]
