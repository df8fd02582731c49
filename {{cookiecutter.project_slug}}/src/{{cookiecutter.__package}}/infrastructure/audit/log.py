"""Writing the audit log, and reading it."""

from __future__ import annotations

import getpass
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from ..database import get_session_context, now
from ..jobs.json_values import jsonable, readable
from ..jobs.secrets import masked
from .models import AuditEntry, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

#: Characters of an error that are kept.
MAX_ERROR = 2000

logger = structlog.get_logger(__name__)


class Actor(NamedTuple):
    """Who acts."""

    #: The address of a user, or what `cli_actor` gives.
    name: str
    #: None: nobody who has signed in.
    user_id: int | None = None


def cli_actor() -> Actor:
    """Give whoever runs this command: `cli:<user of the system>@<host>`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        user = "?"
    return Actor(f"cli:{user}@{socket.gethostname()}")


@dataclass(slots=True)
class Entry:
    """An entry whose action is under way."""

    id: int
    #: What is written with the outcome; an action may add to it.
    details: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def audited(actor: Actor, action: str, target: str = "", /, **details: Any) -> AsyncIterator[Entry]:
    """Write an entry, let the block act, and write what came of it.

    The entry is committed before the block begins, by a session of its own: where that does not work, there is no
    action. An error that leaves the block is written too, and raised. The outcome may be lost, with the database or
    the process: the entry then says `started` for ever.

    Args:
        actor: who acts.
        action: what is done, such as `job.retry`.
        target: what it is done to, such as the id of a job.
        details: with what; whatever stands under the name of a secret is masked.

    Raises:
        SQLAlchemyError, OSError: the entry cannot be written.
    """
    values = {"actor": _storable(actor.name), "user_id": actor.user_id, "action": action, "target": _storable(target)}
    async with get_session_context() as session:
        # Not `session.add`: that wants to know the table of the users, which a command need not have loaded.
        new = insert(AuditEntry).values(time=now(), outcome=Outcome.STARTED, details=_json(details), **values)
        entry = Entry((await session.execute(new.returning(AuditEntry.id))).scalar_one(), details)
    try:
        yield entry
    except BaseException as error:
        await _conclude(entry, Outcome.FAILED, str(error) or type(error).__name__)
        raise
    await _conclude(entry, Outcome.DONE)


async def list_entries(
    session: AsyncSession,
    *,
    action: str | None = None,
    actor: str | None = None,
    target: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[AuditEntry]:
    """List entries, the latest first.

    Args:
        session: to read by.
        action: only of this action.
        actor: only of this actor, by name.
        target: only what was done to this.
        since: no earlier.
        until: earlier than that.
        before: only entries with a lower id: that of the last one of the page before.
        limit: how many at most.
    """
    same = {AuditEntry.action: action, AuditEntry.actor: actor, AuditEntry.target: target}
    query = select(AuditEntry).where(*(column == value for column, value in same.items() if value is not None))
    if since:
        query = query.where(AuditEntry.time >= since)
    if until:
        query = query.where(AuditEntry.time < until)
    if before:
        query = query.where(AuditEntry.id < before)
    return (await session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit))).all()


async def _conclude(entry: Entry, outcome: Outcome, error: str | None = None) -> None:
    values = {"outcome": outcome, "error": error and _storable(error)[:MAX_ERROR], "details": _json(entry.details)}
    try:
        async with get_session_context() as session:
            await session.execute(update(AuditEntry).where(AuditEntry.id == entry.id).values(values))
    except (SQLAlchemyError, OSError) as problem:  # it is done: an error would tell whoever did it that it is not
        logger.error("no outcome in the audit log", entry=entry.id, outcome=outcome, error=repr(problem))  # noqa: TRY400


def _json(details: dict[str, Any]) -> Any:
    return jsonable(masked(details), _storable)


def _storable(text: str) -> str:
    """Write as backslashes what no database has a form for: NUL, and halves of surrogate pairs."""
    return readable(text).replace("\x00", "\\x00")
