"""Where all processes count attempts: the application's Redis."""

from __future__ import annotations

from typing import Any

from limits.aio.storage import RedisStorage

from ..infrastructure.cache import get_cache

#: What the keys of the counts begin with; each goes by itself when nobody has tried for as long as its limit counts.
PREFIX = "limits"


def get_shared_counts() -> RedisStorage:
    """Give the counts in the application's Redis, however that is reached; its errors are `limits.errors.StorageError`.

    Made anew each time: the client of `get_cache()` may be another one tomorrow.
    """
    pool: Any = get_cache().connection_pool
    return RedisStorage(
        "async+redis://",  # not used: the pool knows the address
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=PREFIX,
        connection_pool=pool,
    )
