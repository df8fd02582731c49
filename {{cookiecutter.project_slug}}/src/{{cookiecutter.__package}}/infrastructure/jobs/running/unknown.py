"""Jobs whose task a worker does not know: during a deploy, a newer worker may."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from arq.utils import timestamp_ms

from .. import keys

if TYPE_CHECKING:
    from .attempts import Attempt

logger = logging.getLogger("arq.worker")

#: Milliseconds after which such a job is looked at again.
UNKNOWN_TASK_DELAY = 10_000
#: Milliseconds after which a job whose task nobody knows has failed.
UNKNOWN_TASK_LIMIT = 86_400_000


async def may_wait(attempt: Attempt) -> bool:
    """Tell whether the job is left to a worker that knows its task: for a day, or not at all in burst mode.

    Raises:
        RedisError, OSError: Redis does not answer.
    """
    job_id, pool = attempt.claim.job_id, attempt.worker.pool
    now = timestamp_ms()
    async with pool.pipeline(transaction=False) as pipe:
        pipe.set(keys.unknown(job_id), now, nx=True, px=2 * UNKNOWN_TASK_LIMIT)
        pipe.get(keys.unknown(job_id))
        _, since = await pipe.execute()
    if attempt.worker.burst or now - int(since) > UNKNOWN_TASK_LIMIT:
        await pool.delete(keys.unknown(job_id))
        logger.warning("job %s, function %r not found", job_id, attempt.name)
        return False
    logger.warning("job %s, function %r not found, left to a worker that knows it", job_id, attempt.name)
    return True
