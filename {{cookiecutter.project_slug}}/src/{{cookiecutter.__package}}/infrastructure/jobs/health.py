"""Is Redis there, and a worker? For commands: each call opens a connection of its own and waits a second at most."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from . import keys
from .connections import close_client, make_client
from .workers import read_workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arq.connections import RedisSettings

    from .records import WorkerRecord

TIMEOUT = 1.0

AnswerT = TypeVar("AnswerT")


def ping(settings: RedisSettings) -> str | None:
    """Ask Redis for an answer; None if it gives one, else what is wrong."""
    return _ask(settings, lambda client: client.ping())[1]


def find_sign_of_life(settings: RedisSettings, queue_key: str) -> tuple[str | None, list[WorkerRecord], str]:
    """Look for the signs of life that workers leave every few seconds; they expire by themselves.

    Args:
        settings: where Redis is.
        queue_key: the queue that the workers serve first.

    Returns:
        What the last of them says, or None; the record of each worker, as far as they are of this engine; and, where
        there is no sign, the reason why.
    """
    queue = keys.queue_name(queue_key)

    async def look(client: Redis) -> tuple[str | None, list[WorkerRecord]]:
        sign = await client.get(keys.health(queue_key))
        workers = [record for record in await read_workers(client) if record.queues[0] == queue]
        return sign and sign.decode(), workers

    found, problem = _ask(settings, look)
    sign, records = found or (None, [])
    return sign, records, problem or f"no sign of life in queue {queue!r} in the last seconds"


def _ask(settings: RedisSettings, question: Callable[[Redis], Awaitable[AnswerT]]) -> tuple[AnswerT | None, str | None]:
    async def ask() -> AnswerT:
        client: Redis = make_client(settings, Redis)
        try:
            async with asyncio.timeout(TIMEOUT):
                return await question(client)
        finally:
            await close_client(client)

    try:
        return asyncio.run(ask()), None
    except (RedisError, OSError) as error:  # OSError includes the timeout
        return None, f"Redis does not answer: {str(error) or type(error).__name__}"
