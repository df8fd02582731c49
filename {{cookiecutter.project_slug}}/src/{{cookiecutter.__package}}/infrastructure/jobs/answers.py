"""Waiting for Redis where somebody waits for the caller."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from redis.exceptions import RedisError, ResponseError

from .errors import JobError, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Seconds after which a call gives up; its caller is often an HTTP request that somebody waits for.
ANSWER_TIMEOUT = 0.8


@asynccontextmanager
async def answering(subject: str, seconds: float = ANSWER_TIMEOUT) -> AsyncIterator[None]:
    """Give what stands inside so many seconds, and say what was wanted where Redis fails.

    Raises:
        QueueUnavailable: Redis does not answer, or not in time.
        JobError: Redis refuses, for instance because its memory is full.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except ResponseError as error:
        raise JobError(f"{subject}: Redis refused: {error}") from error
    except (RedisError, OSError) as error:  # OSError includes the timeout
        raise QueueUnavailable(f"{subject}: {no_answer(error)}") from error


def no_answer(error: Exception) -> str:
    """Say why there is no answer."""
    return f"Redis does not answer: {str(error) or type(error).__name__}"
