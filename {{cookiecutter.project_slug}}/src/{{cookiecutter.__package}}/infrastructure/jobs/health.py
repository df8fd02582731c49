"""Is Redis there, and a worker? For commands: each call opens a connection of its own and waits a second at most."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError

from . import keys
from .connections import close_client, make_client

if TYPE_CHECKING:
    from arq.connections import RedisSettings

TIMEOUT = 1.0


def ping(settings: RedisSettings) -> str | None:
    """Ask Redis for an answer; None if it gives one, else what is wrong."""
    return _ask(settings, None)[1]


def find_sign_of_life(settings: RedisSettings) -> tuple[str | None, str]:
    """Look for the sign of life that workers leave every few seconds; it expires by itself.

    Returns:
        What it says, or None and the reason why there is none.
    """
    sign, problem = _ask(settings, keys.health())
    return sign, problem or "no sign of life in the last seconds"


def _ask(settings: RedisSettings, key: str | None) -> tuple[str | None, str | None]:
    async def ask() -> str | None:
        client = make_client(settings, Redis, decode_responses=True)
        try:
            async with asyncio.timeout(TIMEOUT):
                if key is None:
                    await client.ping()
                    return None
                value: str | None = await client.get(key)
                return value
        finally:
            await close_client(client)

    try:
        return asyncio.run(ask()), None
    except (RedisError, OSError) as error:  # OSError includes the timeout
        return None, f"Redis does not answer: {str(error) or type(error).__name__}"
