"""Running a job in the process that enqueues it, for want of a Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arq.utils import timestamp_ms

from .running.attempts import Attempt
from .running.claims import Claim

if TYPE_CHECKING:
    from .messages import Message
    from .running.commits import End, Return
    from .worker import Worker


async def run_inline(worker: Worker, message: Message) -> End | Return:
    """Run one try of a job as a worker would: with its policy, deadline, hooks and log lines.

    The context holds what every job's does, but nothing that `on_startup` puts there: that has not run here.

    Args:
        worker: one that has not been started; it knows the tasks and the settings.
        message: the job.

    Returns:
        What is to be recorded: its end, or that it is to be tried again.

    Raises:
        asyncio.CancelledError: the caller was cancelled, and the job with it.
    """
    now = timestamp_ms()
    claim = Claim(
        job_id=message.job_id,
        payload=message.payload,
        attempt=1,
        losses=0,
        due=now,
        queue_key=message.queue_key,
        special="",
        started=now,
        stamp=f"1:{now}",
    )
    # A task of its own: an attempt turns a cancellation into an outcome, and so would keep the caller's from it.
    attempt = asyncio.create_task(Attempt(worker, claim).run())
    try:
        await asyncio.wait([attempt])
    except asyncio.CancelledError:
        attempt.cancel()
        raise
    outcome = attempt.result()
    assert outcome is not None  # noqa: S101 - only a lease that is lost leaves nothing to record, and there is none
    return outcome
