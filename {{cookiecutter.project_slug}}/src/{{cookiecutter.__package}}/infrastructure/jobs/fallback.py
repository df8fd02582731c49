"""What becomes of a job that is enqueued while Redis is away."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import msgspec
from arq.utils import timestamp_ms
from arq.worker import create_worker
from redis.exceptions import RedisError

from .answers import no_answer
from .circuit import Circuit
from .errors import QueueFull, QueueUnavailable
from .inline import run_inline
from .records import JobStatus
from .running.commits import End

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .messages import Message
    from .outbox import Outbox
    from .pool import TaskPool
    from .worker import Worker

logger = logging.getLogger(__name__)

#: Seconds that Redis gets for an answer: with what is to be done without one, a caller waits a quarter of a second.
ANSWER_TIMEOUT = 0.2


class Fallback(StrEnum):
    """What to do with a job that Redis cannot take."""

    #: Run it in place if it is due at once, and nothing but Redis could tell that it must not run; else the outbox.
    INLINE = "inline"
    #: Put it into the outbox.
    OUTBOX = "outbox"
    #: Tell the caller.
    RAISE = "raise"


class Dispatcher:
    """Sends jobs on their way: to Redis, or where the fallback says while that is away."""

    def __init__(
        self,
        pool: TaskPool,
        outbox: Outbox,
        *,
        circuit: Circuit,
        fallback: Fallback,
        worker: Callable[[], Worker],
    ) -> None:
        """Prepare.

        Args:
            pool: the connection to Redis.
            outbox: where jobs wait.
            circuit: what is known of Redis being away.
            fallback: what to do then.
            worker: gives the worker whose settings a job runs under in place; it is not to be started.
        """
        self.pool = pool
        self.outbox = outbox
        self._circuit = circuit
        self._fallback = fallback
        self._new_worker = worker
        self._worker: Worker | None = None

    @classmethod
    def of(
        cls,
        pool: TaskPool,
        table: Table,
        *,
        engine: Callable[[], AsyncEngine],
        fallback: Fallback,
        worker_settings: Any,
    ) -> Self:
        """Make one with an outbox in this table of the database that `engine` gives, and workers of these settings."""
        # Imported here: a health check reads the settings, which name the fallbacks, and has to start fast.
        from .outbox import Outbox  # noqa: PLC0415
        from .relay import Relay  # noqa: PLC0415

        circuit = Circuit()

        def worker() -> Worker:
            made: Any = create_worker(dict(vars(worker_settings)), redis_pool=pool, handle_signals=False)
            return made  # type: ignore[no-any-return] # of this engine's class, as that of arq is replaced

        outbox = Outbox(Relay(table, engine=engine, pool=pool, circuit=circuit))
        return cls(pool, outbox, circuit=circuit, fallback=fallback, worker=worker)

    async def dispatch(self, message: Message) -> str | None:
        """Enqueue a job, and give what `TaskPool.enqueue` would; without an answer from Redis, do what is set.

        Raises:
            QueueUnavailable: Redis does not answer, and the job is nowhere else.
            QueueFull: the queue holds as many jobs as it may; the job is nowhere else.
            JobError: Redis refuses the job.
        """
        connected = False
        try:
            with self._circuit.call():
                try:
                    async with asyncio.timeout(ANSWER_TIMEOUT):
                        await self._connect()
                        connected = True
                        return (await self.pool.send([message]))[0]
                except QueueUnavailable:
                    raise
                except (RedisError, OSError) as error:  # OSError includes the timeout
                    raise QueueUnavailable(f"{message.task}: not enqueued, {no_answer(error)}") from error
        except QueueFull:
            raise
        except QueueUnavailable as error:
            if self._fallback is Fallback.RAISE:
                raise
            return await self._without_redis(message, error, maybe_stored=connected)

    async def _connect(self) -> None:
        """Make sure that there is a connection, or fail: what fails here has not been sent."""
        connections = self.pool.connection_pool
        await connections.release(await connections.get_connection())

    async def _without_redis(self, message: Message, problem: QueueUnavailable, *, maybe_stored: bool) -> str:
        # What Redis may have, it will run: in the outbox that is found out by the id; a run in place would be one more.
        if self._fallback is Fallback.INLINE and not maybe_stored and self._may_run_here(message):
            await self._run_here(message)
        else:
            logger.warning("job %s goes to the outbox: %s", message.job_id, problem)
            await self.outbox.store(message)
        return message.job_id

    def _may_run_here(self, message: Message) -> bool:
        """Tell whether the job is due, and nobody but Redis is needed to know that it may run now."""
        due = not message.delay and message.due <= timestamp_ms()
        function = self._settings().functions.get(message.task)
        limited = function is None or function.coroutine.limits  # type: ignore[attr-defined] # an `Execution`
        return due and not message.chosen and not message.locks and not limited

    async def _run_here(self, message: Message) -> None:
        logger.warning("job %s runs in place: Redis is away", message.job_id)
        outcome = await run_inline(self._settings(), message)
        if not isinstance(outcome, End):
            await self.outbox.store(_next_try(message, outcome.delay))
            return
        if not (outcome.result or outcome.line):
            return
        try:
            await self.outbox.store(message, outcome)
        except QueueUnavailable as error:
            if outcome.status is not JobStatus.SUCCESS:
                raise
            logger.warning("job %s has run in place, which is not recorded: %s", message.job_id, error)

    def _settings(self) -> Worker:
        if self._worker is None:
            self._worker = self._new_worker()
        return self._worker


def _next_try(message: Message, delay: int) -> Message:
    """Give what is left of a job after its first try: the next one is its second."""
    data = msgspec.msgpack.decode(message.payload)  # what stands for richer types stays as it is
    payload = msgspec.msgpack.encode({**data, "t": max(data["t"] or 1, 1) + 1})
    return message._replace(payload=payload, due=timestamp_ms() + delay)
