"""The one wrapper round every task: context, deadline, retry."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from arq.cron import CronJob
from arq.worker import Function, Retry, RetryJob
from redis.exceptions import RedisError

from . import codec, keys
from .errors import MaxTriesExceededError
from .retries import backoff
from .task import TaskContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from arq.connections import ArqRedis

    from .claims import Claim
    from .deadlines import Deadlines
    from .records import Progress
    from .worker import Worker

logger = logging.getLogger(__name__)

FunctionT = TypeVar("FunctionT", Function, CronJob)


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of a try that fails."""

    max_tries: int
    #: Upper bound of the pause after the first failure; it doubles with each try.
    retry_delay: timedelta
    #: Seconds that a try may take, or None for no limit.
    timeout: float | None
    #: Seconds for which a job's last report of progress is kept.
    keep_progress: float


def with_policy(function: FunctionT, policy: Policy) -> FunctionT:
    """Give the same task, run by `Execution`; what it sets for itself wins over the worker's policy."""
    own = replace(
        policy,
        max_tries=policy.max_tries if function.max_tries is None else function.max_tries,
        timeout=policy.timeout if function.timeout_s is None else function.timeout_s,
    )
    # Not callable as arq's own class of workers would: an attempt runs it, with its claim.
    execution: Any = Execution(function.name, function.coroutine, own)
    return replace(function, coroutine=execution, max_tries=own.max_tries)


class Execution:
    """One task under its policy; it stands where arq has the task's function."""

    def __init__(self, name: str, function: Callable[..., Any], policy: Policy) -> None:
        self.name = self.__qualname__ = name
        self.policy = policy
        # No thread can be stopped from outside: a deadline ends the waiting for it, not the function.
        self._call = function if inspect.iscoroutinefunction(function) else partial(asyncio.to_thread, function)
        self._coerce = codec.coercion_for(function)

    async def run(
        self, claim: Claim, ctx: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, worker: Worker
    ) -> Any:
        """Run one try; a failure that leaves tries becomes arq's `Retry`, the last one is raised as it is."""
        attempt = ctx["job_try"]
        try:
            return await self._within_deadline(claim, ctx, args, kwargs, worker.deadlines)
        except RetryJob:
            raise
        except Retry as wish:
            if attempt < self.policy.max_tries or not worker.retry_jobs:
                raise
            raise MaxTriesExceededError(
                f"max {self.policy.max_tries} retries exceeded: {self.name} asked for another in its last try"
            ) from wish
        except Exception as error:
            if attempt >= self.policy.max_tries or not worker.retry_jobs:
                raise
            delay = backoff(attempt, self.policy.retry_delay)
            logger.warning(
                "%s:%s failed in try %d of %d, next in %.1f s: %s: %s",
                claim.job_id,
                self.name,
                attempt,
                self.policy.max_tries,
                delay.total_seconds(),
                type(error).__name__,
                error,
            )
            raise Retry(defer=delay) from error

    async def _within_deadline(
        self,
        claim: Claim,
        ctx: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        deadlines: Deadlines,
    ) -> Any:
        task: Any = asyncio.current_task()
        started = asyncio.get_running_loop().time()
        cancelling, running = task.cancelling(), True

        def move_deadline(seconds: float) -> None:
            if running:  # a thread's wish may come late
                deadlines.set(claim, task, started + seconds)

        async def save_progress(progress: Progress) -> None:
            report = codec.serialize({"done": progress.done, "total": progress.total, "message": progress.message})
            try:
                redis: ArqRedis = ctx["redis"]
                await redis.psetex(keys.progress(claim.job_id), round(self.policy.keep_progress * 1000), report)
            except (RedisError, OSError) as error:
                logger.warning("%s:%s: progress not stored: %s", claim.job_id, self.name, error)

        context = TaskContext(ctx, move_deadline=move_deadline, save_progress=save_progress)
        if self._coerce:
            args, kwargs = self._coerce(args, kwargs)
        if self.policy.timeout is not None:
            deadlines.set(claim, task, started + self.policy.timeout)
        try:
            result = await self._call(context, *args, **kwargs)
        except asyncio.CancelledError as error:
            # As asyncio.timeout does: somebody else's wish to cancel comes before the deadline.
            if deadlines.done(claim) and task.uncancel() <= cancelling:
                raise TimeoutError from error
            raise
        finally:
            running = False
            if deadlines.done(claim):  # it ended at the last moment, or otherwise than by the cancellation
                task.uncancel()
        await context.save_progress()
        return result
