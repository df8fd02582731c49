"""Whether a Redis is fit to hold jobs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from .errors import UnsafeRedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from .running.outage import Outage

logger = logging.getLogger("arq.worker")

SAFE_POLICY = "noeviction"


async def wait_for_safe_redis(
    redis: Redis, outage: Outage, *, allow_eviction: bool, allow_no_persistence: bool
) -> None:
    """Wait until Redis answers; a process whose Redis is not fit ends with a line that says so."""
    while True:
        try:
            await refuse_unsafe_redis(redis, allow_eviction=allow_eviction, allow_no_persistence=allow_no_persistence)
        except UnsafeRedisError as error:
            raise SystemExit(f"worker not started: {error}") from None
        except (RedisError, OSError) as error:
            await outage.pause(error)
        else:
            return


async def refuse_unsafe_redis(redis: Redis, *, allow_eviction: bool, allow_no_persistence: bool) -> None:
    """Refuse a Redis that drops keys when its memory is full, and warn of one that forgets all when it restarts.

    Where a provider forbids `CONFIG`, `INFO` tells the eviction policy and whether there is an append-only file;
    whether snapshots are taken cannot be known then, so nothing is said about them.

    Raises:
        UnsafeRedisError: queued jobs could be evicted, and `allow_eviction` is not set.
    """
    info: dict[str, Any] = await redis.info("everything")
    policy = info.get("maxmemory_policy", SAFE_POLICY)
    if policy != SAFE_POLICY and not allow_eviction:
        raise UnsafeRedisError(
            f"its maxmemory-policy is {policy!r}, so it drops queued jobs when its memory is full. Set it to "
            f"{SAFE_POLICY!r} (CONFIG SET maxmemory-policy {SAFE_POLICY}) or set REDIS_ALLOW_EVICTION=true to accept it"
        )
    if allow_no_persistence or info.get("aof_enabled"):
        return
    try:
        snapshots: dict[str, str] = await redis.config_get("save")
    except ResponseError:
        return
    if not snapshots.get("save"):
        logger.warning(
            "this Redis persists nothing: a restart loses every job. Switch on its append-only file "
            "(CONFIG SET appendonly yes), or set REDIS_ALLOW_NO_PERSISTENCE=true to accept it"
        )
