"""The outbox: jobs that wait in the database until they can be published.

They must not get ahead of the transaction that they belong to, or Redis was away when they were enqueued. What
publishes them is in `relay`. These two modules need SQLAlchemy; nothing else of the engine imports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from arq.utils import ms_to_datetime, timestamp_ms
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    Table,
    Text,
    event,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from . import keys
from .errors import QueueUnavailable
from .lookup import read_payload
from .messages import new_job_id
from .origins import origin_fields
from .records import JobRecord, JobStatus

if TYPE_CHECKING:
    from sqlalchemy import MetaData, RowMapping
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session, SessionTransaction

    from .messages import Message
    from .relay import Relay
    from .running.commits import End

#: Mark in a session that has written rows.
WRITTEN = "jobs in the outbox"


def outbox_table(metadata: MetaData, name: str = "job_outbox") -> Table:
    """Declare the table; `due` and `expires` are ms since 1970."""
    return Table(
        name,
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        # Name of this row, by which Redis knows whether it has been published.
        Column("delivery_id", Text, nullable=False),
        Column("job_id", Text, nullable=False),
        Column("task", Text, nullable=False),
        Column("queue_key", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("due", BigInteger),
        Column("expires", BigInteger),
        Column("locks", LargeBinary),
        # The end of a job that ran without Redis, which is to be recorded.
        Column("outcome", LargeBinary),
        # Why Redis refused this row but not others; it is left alone from then on.
        Column("refused", Text),
        Column("created_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    )


class Outbox:
    """The outbox as one process sees it, in one event loop."""

    def __init__(self, relay: Relay) -> None:
        """Prepare; table and database are those of the relay, which is told when there is something to publish."""
        self.relay = relay
        self._table = relay.table
        self._engine = relay.engine

    async def add(self, message: Message, session: AsyncSession) -> None:
        """Write a row in the session's transaction; it is published once that is committed, and not if it is not."""
        await session.execute(insert(self._table).values(_row(message)))
        if WRITTEN not in session.sync_session.info:
            event.listen(session.sync_session, "after_transaction_end", self._transaction_ended)
        session.sync_session.info[WRITTEN] = True

    async def store(self, message: Message, end: End | None = None) -> None:
        """Write a row in a transaction of its own.

        Args:
            message: the job.
            end: what it came to, where it has been run: that is then recorded, and nothing is enqueued.

        Raises:
            QueueUnavailable: the database refuses it, or does not answer.
        """
        try:
            async with self._engine().begin() as connection:
                await connection.execute(insert(self._table).values(_row(message, end)))
        except (SQLAlchemyError, OSError) as error:
            what = "it has failed in place, which cannot be recorded" if end else "not enqueued"
            raise QueueUnavailable(f"{message.task}: {what}: Redis is away, and the outbox says: {error}") from error
        self.relay.nudge()

    async def find(self, job_id: str) -> JobRecord | None:
        """Look for a job that has not been published yet; there is none while the table is not there.

        Raises:
            SQLAlchemyError: the database does not answer; an `OSError` says the same.
        """
        row = await self._row_of(job_id)
        if row is None:
            return None
        data = read_payload(self.relay.pool, row["payload"])
        return JobRecord(
            job_id=job_id,
            task=row["task"],
            status=JobStatus.SCHEDULED if (row["due"] or 0) > timestamp_ms() else JobStatus.PENDING,
            args=data["a"],
            kwargs=data["k"],
            queue=keys.queue_name(row["queue_key"]),
            priority=keys.priority(row["queue_key"]),
            enqueue_time=ms_to_datetime(data["et"]),
            **origin_fields(data),
        )

    async def _row_of(self, job_id: str) -> RowMapping | None:
        table = self._table
        query = select(table).where(table.c.job_id == job_id, table.c.outcome.is_(None)).limit(1)
        async with self._engine().connect() as connection:
            try:
                return (await connection.execute(query)).mappings().first()
            except DBAPIError:
                await connection.rollback()
                if await connection.run_sync(lambda sync: inspect(sync).has_table(table.name, schema=table.schema)):
                    raise
        return None  # the project has not been migrated yet

    def _transaction_ended(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None and session.info.get(WRITTEN):
            session.info[WRITTEN] = False
            self.relay.nudge()


def _row(message: Message, end: End | None = None) -> dict[str, Any]:
    now = timestamp_ms()
    outcome = end and (end.status.value, end.keep_result, end.line, end.dead, now, end.result)
    return {
        "delivery_id": new_job_id(),
        "job_id": message.job_id,
        "task": message.task,
        "queue_key": message.queue_key,
        "payload": message.payload,
        "due": message.due or (now + message.delay if message.delay else None),
        "expires": now + message.lifetime if message.lifetime else None,
        "locks": msgspec.msgpack.encode(message.locks) if message.locks else None,
        "outcome": msgspec.msgpack.encode(outcome) if outcome else None,
    }
