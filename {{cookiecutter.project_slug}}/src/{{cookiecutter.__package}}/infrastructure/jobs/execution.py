"""The one wrapper round every task: context, deadline, retry."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from arq.cron import CronJob
from arq.worker import Function, Retry, RetryJob
from redis.exceptions import RedisError

from . import codec, events, keys
from .errors import MaxTriesExceededError
from .policy import function_of, policy_of
from .running.processes import place_of
from .task import TaskContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from .policy import Hook
    from .records import Progress
    from .retries import RetryConfig
    from .running.claims import Claim
    from .running.deadlines import Deadlines
    from .running.processes import ProcessPool

logger = logging.getLogger(__name__)

FunctionT = TypeVar("FunctionT", Function, CronJob)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What tries need of the process that they run in."""

    deadlines: Deadlines
    processes: ProcessPool


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of a try that fails."""

    retry: RetryConfig
    #: Seconds that a try may take, or None for no limit.
    timeout: float | None
    #: Seconds for which a job's last report of progress is kept.
    keep_progress: float
    #: False: every failure is final, as arq's `retry_jobs` says.
    retry_jobs: bool = True


def with_policy(function: FunctionT, policy: Policy) -> FunctionT:
    """Give the same task, run by `Execution`; what it sets for itself wins over the worker's policy."""
    own = policy_of(function.coroutine)
    retry = own.retry or policy.retry
    if retry.delay is None:
        retry = replace(retry, delay=policy.retry.delay)
    if function.max_tries is not None:
        retry = replace(retry, max_tries=function.max_tries)
    timeout = policy.timeout if own.timeout is None else own.timeout
    if function.timeout_s is not None:
        timeout = function.timeout_s
    # Not callable as arq's own class of workers would: an attempt runs it, with its claim.
    execution: Any = Execution(function.name, function.coroutine, replace(policy, retry=retry, timeout=timeout))
    return replace(function, coroutine=execution, max_tries=retry.max_tries)


class Execution:
    """One task under its policy; it stands where arq has the task's function."""

    def __init__(self, name: str, task: Callable[..., Any], policy: Policy) -> None:
        self.name = self.__qualname__ = name
        self.policy = policy
        #: What the task sets for itself.
        self.own = policy_of(task)
        #: Whether jobs of the task may have to wait for each other.
        self.limits = self.own.concurrency is not None or self.own.rate_limit is not None
        self.function = function_of(task)
        self._call = None if self.own.in_process else _awaitable(self.function)
        if self.own.in_process:
            place_of(self.function)  # now, rather than when its first job has failed
        self._coerce = codec.coercion_for(self.function)

    async def run(
        self, claim: Claim, ctx: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, runtime: Runtime
    ) -> Any:
        """Run one try; a failure that leaves tries becomes arq's `Retry`, the last one is raised as it is."""
        attempt = ctx["job_try"]
        retry = self.policy.retry
        try:
            return await self._within_deadline(claim, ctx, args, kwargs, runtime)
        except RetryJob:
            raise
        except Retry as wish:
            if attempt < retry.max_tries or not self.policy.retry_jobs:
                raise
            raise MaxTriesExceededError(
                f"max {retry.max_tries} retries exceeded: {self.name} asked for another in its last try"
            ) from wish
        except Exception as error:
            delay = self.pause_after(attempt, error)
            if delay is None:
                raise
            raise Retry(defer=delay) from error

    def pause_after(self, attempt: int, error: BaseException) -> float | None:
        """Give the seconds until the next try after this one failed so; None if there is to be none."""
        retry = self.policy.retry
        if attempt >= retry.max_tries or not self.policy.retry_jobs or not retry.retries(error):
            return None
        return retry.pause(attempt).total_seconds()

    async def call_hook(  # noqa: PLR0917 - what the task was called with, in that order
        self,
        hook: Hook,
        claim: Claim,
        ctx: dict[str, Any],
        outcome: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Call `on_success` or `on_failure` of the task: with the context, the outcome, and the task's arguments."""
        if self._coerce:
            args, kwargs = self._coerce(args, kwargs)
        context = self._context(claim, ctx, lambda _seconds: None)
        await _awaitable(hook)(context, outcome, *args, **kwargs)

    def _context(self, claim: Claim, ctx: dict[str, Any], move_deadline: Callable[[float], None]) -> TaskContext:
        async def save_progress(progress: Progress) -> None:
            report = codec.serialize({"done": progress.done, "total": progress.total, "message": progress.message})
            try:
                async with ctx["redis"].pipeline(transaction=False) as pipe:
                    pipe.psetex(keys.progress(claim.job_id), round(self.policy.keep_progress * 1000), report)
                    pipe.publish(keys.EVENTS, events.message("progress", [claim.job_id]))
                    await pipe.execute()
            except (RedisError, OSError) as error:
                logger.warning("%s:%s: progress not stored: %s", claim.job_id, self.name, error)

        return TaskContext(ctx, move_deadline=move_deadline, save_progress=save_progress)

    async def _within_deadline(
        self,
        claim: Claim,
        ctx: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        runtime: Runtime,
    ) -> Any:
        task: Any = asyncio.current_task()
        deadlines = runtime.deadlines
        started = asyncio.get_running_loop().time()
        cancelling, running = task.cancelling(), True

        def move_deadline(seconds: float) -> None:
            if running:  # a thread's wish may come late
                deadlines.set(claim, task, started + seconds)

        context = self._context(claim, ctx, move_deadline)
        if self._coerce:
            args, kwargs = self._coerce(args, kwargs)
        if self.policy.timeout is not None:
            deadlines.set(claim, task, started + self.policy.timeout)
        try:
            if self._call is None:
                result = await runtime.processes.run(self.function, context, args, kwargs)
            else:
                result = await self._call(context, *args, **kwargs)
        except asyncio.CancelledError as error:
            # As asyncio.timeout does: somebody else's wish to cancel comes before the deadline.
            if deadlines.done(claim) and task.uncancel() <= cancelling:
                claim.overdue = True
                raise TimeoutError(f"{self.name} took longer than its time") from error
            raise
        finally:
            running = False
            if deadlines.done(claim):  # it ended at the last moment, or otherwise than by the cancellation
                task.uncancel()
        await context.save_progress()
        return result


def _awaitable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function as one that is awaited; a plain `def` runs in a thread.

    No thread can be stopped from outside: a deadline ends the waiting for it, not the function.
    """
    if inspect.iscoroutinefunction(function):
        return function

    async def call_in_thread(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)

    return call_in_thread
