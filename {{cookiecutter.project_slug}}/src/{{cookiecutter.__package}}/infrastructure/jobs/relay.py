"""The relay: publishes what is in the outbox.

A row is deleted in the transaction that published it, after Redis has answered. Where a process dies in between, the
row is published again, and Redis knows that it has been: its name is stored in the same step as its job.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
from arq.utils import timestamp_ms
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import BigInteger, delete, func, insert, literal, or_, select
from sqlalchemy.exc import SQLAlchemyError

from . import keys, scripts
from .answers import ANSWER_TIMEOUT, no_answer
from .errors import JobError, QueueFull, QueueUnavailable
from .messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from .circuit import Circuit
    from .pool import TaskPool

    Row = dict[str, Any]

logger = logging.getLogger(__name__)

#: Seconds between two looks at the table. A commit is told at once to the process that made it: only the rows of a
#: process that has died, or that found Redis away, wait for a look, which costs one short query.
POLL = 1.0
#: Milliseconds for which Redis knows that a row has been published, where the row could not be deleted: a week.
DELIVERY_KEPT = 7 * 86_400_000


class Relay:
    """One process's relay, in one event loop; any number may work at once."""

    def __init__(self, table: Table, *, engine: Callable[[], AsyncEngine], pool: TaskPool, circuit: Circuit) -> None:
        """Prepare.

        Args:
            table: what `outbox_table` has given.
            engine: gives the database that the table is in.
            pool: where rows are published.
            circuit: what is known of Redis being away.
        """
        self.table = table
        self.engine = engine
        self.pool = pool
        self._circuit = circuit
        self._record = scripts.script(pool, "record")
        self._round: asyncio.Task[None] | None = None
        self._again = False
        self._problem = ""

    async def run(self) -> None:
        """Publish what is there, again and again, until cancelled."""
        while True:
            await asyncio.wait([self.nudge()])  # which lets what has begun come to its end if this is cancelled
            await asyncio.sleep(POLL)

    def nudge(self) -> asyncio.Task[None]:
        """Publish soon, in the background."""
        self._again = True
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._publish_in_background())
        return self._round

    async def settle(self) -> None:
        """Wait until what is being published in the background is done with."""
        if self._round:
            await asyncio.wait([self._round])

    async def publish(self) -> int:
        """Publish the rows that are there, in order, and give their number.

        Returns:
            0 also where another process is about it, which looks for more when it has done its part.

        Raises:
            QueueUnavailable: Redis does not answer; the rows stay.
            QueueFull: those of a full queue stay; all others have been published.
            JobError: Redis refuses all of them; they stay.
            SQLAlchemyError: the database does not answer; an `OSError` says the same.
        """
        published = 0
        full: dict[str, QueueFull] = {}  # by lane: what is in the way of its rows, for which no others are to wait
        while not self._circuit.is_open and (count := await self._publish_batch(full)) is not None:
            published += count
        if full:
            raise next(iter(full.values()))
        return published

    async def _publish_in_background(self) -> None:
        while self._again:
            self._again = False
            try:
                await self.publish()
            except (JobError, SQLAlchemyError, OSError) as error:
                if str(error) != self._problem:  # said once, not every second
                    logger.warning("jobs stay in the outbox for now: %s", error)
                self._problem = str(error)
            else:
                self._problem = ""

    async def _publish_batch(self, full: dict[str, QueueFull]) -> int | None:
        """Publish the oldest rows; None: there are no more, or somebody else is at them."""
        async with self.engine().connect() as connection:  # what is not committed in here is rolled back
            if not await self._may_take(connection):
                return None
            taken = await connection.execute(self._take(full))
            rows: list[Row] = sorted(map(dict, taken.mappings()), key=lambda row: row["id"])
            waiting, refused = await self._send(rows, full)
            gone = [row for row in rows if row["id"] not in waiting]
            if not gone:
                return 0 if rows else None
            kept = [*waiting.values(), *refused]
            if kept:
                await connection.execute(insert(self.table), kept)
            await connection.commit()
        await self._forget(gone)
        return len(gone)

    async def _may_take(self, connection: AsyncConnection) -> bool:
        """Look whether there is something to publish, and nobody else at it: else rows could overtake each other."""
        waiting = select(self.table.c.id).where(self.table.c.refused.is_(None)).limit(1)
        if (await connection.execute(waiting)).first() is None:
            return False
        if connection.dialect.name != "postgresql":
            return True  # SQLite has one writer at a time: a second DELETE waits for the first one's commit
        key = literal(crc32(f"relay of {self.table.fullname}".encode()), BigInteger)
        return bool((await connection.execute(select(func.pg_try_advisory_xact_lock(key)))).scalar())

    def _take(self, full: Collection[str]) -> Any:
        table = self.table
        oldest = select(table.c.id).where(table.c.refused.is_(None)).order_by(table.c.id).limit(scripts.BATCH)
        if full:
            oldest = oldest.where(or_(table.c.outcome.is_not(None), table.c.queue_key.not_in(full)))
        # The statement has to begin with DELETE: before any other, Python's sqlite3 opens no transaction.
        return delete(table).where(table.c.id.in_(oldest.with_for_update(skip_locked=True))).returning(table)

    async def _send(self, rows: list[Row], full: dict[str, QueueFull]) -> tuple[dict[int, Row], list[Row]]:
        """Hand rows to Redis; give those for which there is no room, by their ids, and those that it refuses."""
        waiting: dict[int, Row] = {}
        while True:
            sending = [row for row in rows if row["id"] not in waiting]
            try:
                return waiting, await self._send_fitting(sending)
            except QueueFull as error:
                own = [row for row in sending if row["outcome"] is None and _queue(row) == error.queue]
                waiting |= {row["id"]: row for row in own[error.room :]}
                full |= dict.fromkeys(keys.lanes(own[0]["queue_key"]), error)

    async def _send_fitting(self, rows: list[Row]) -> list[Row]:
        """Hand rows to Redis; give those that it refuses although it takes others."""
        try:
            await self._send_together(rows)
        except QueueUnavailable:
            raise
        except JobError as error:
            problem = error
        else:
            return []
        refused = [row for row in rows if await self._is_refused(row)]
        if len(refused) == len(rows):  # it is not the rows: its memory is full, for instance
            raise problem
        for row in refused:
            logger.error("row %d of the outbox is left alone, job %s: %s", row["id"], row["job_id"], row["refused"])
        return refused

    async def _is_refused(self, row: Row) -> bool:
        try:
            await self._send_together([row])
        except QueueUnavailable:
            raise
        except JobError as error:
            row["refused"] = str(error)
        return row["refused"] is not None

    async def _send_together(self, rows: Sequence[Row]) -> None:
        ends = [row for row in rows if row["outcome"] is not None]
        messages = [_message(row) for row in rows if row["outcome"] is None]
        with self._circuit.call():
            await self.pool.send(sorted(messages, key=lambda message: message.queue_key))  # one round trip for each
            if ends:
                await self._record_ends(ends)

    async def _forget(self, rows: Sequence[Row]) -> None:
        """Take back the names of rows that are gone for good: they would fill the memory of Redis."""
        with suppress(RedisError, OSError):  # they expire by themselves
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self.pool.delete(*[keys.delivery(row["delivery_id"]) for row in rows])

    async def _record_ends(self, rows: Sequence[Row]) -> None:
        ends = [msgspec.msgpack.decode(row["outcome"]) for row in rows]
        jobs = [
            (keys.delivery(row["delivery_id"]), DELIVERY_KEPT, row["job_id"], *end[:5])
            for row, end in zip(rows, ends, strict=True)
        ]
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._record(args=[scripts.packed(jobs), *(end[5] for end in ends)])
        except ResponseError as error:
            raise JobError(f"{rows[0]['task']}: Redis refused the record of the job: {error}") from error
        except (RedisError, OSError) as error:  # OSError includes the timeout
            raise QueueUnavailable(f"{rows[0]['task']}: not recorded, {no_answer(error)}") from error


def _queue(row: Row) -> str:
    return keys.queue_name(row["queue_key"])


def _message(row: Row) -> Message:
    """Make the job of a row again; its id may be taken, if only by an earlier call that Redis did not answer."""
    own = (keys.delivery(row["delivery_id"]), "period", DELIVERY_KEPT)
    locks = msgspec.msgpack.decode(row["locks"], type=list[tuple[str, str, int]]) if row["locks"] else []
    return Message(
        job_id=row["job_id"],
        due=row["due"] or False,
        delay=0,
        lifetime=max(1, row["expires"] - timestamp_ms()) if row["expires"] else 0,
        chosen=True,
        locks=(own, *locks),  # type: ignore[arg-type] # as they were written
        task=row["task"],
        queue_key=row["queue_key"],
        payload=row["payload"],
    )
