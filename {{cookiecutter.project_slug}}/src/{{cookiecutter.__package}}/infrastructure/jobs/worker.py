"""The worker: arq's own, with every task run by `execution.py`, waiting out a Redis that is away.

Importing this module makes arq's command line run it: `arq <package>.infrastructure.tasks.WorkerSettings` imports the
settings first and then looks up `arq.worker.Worker`, which is this class by then. It is the one place where arq is
altered.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import arq.worker
from arq.constants import default_queue_name, expires_extra_ms
from arq.utils import to_seconds
from redis.exceptions import RedisError

from . import codec
from .connections import close_client
from .errors import UnsafeRedisError
from .execution import Policy, with_policy
from .pool import TaskPool
from .safety import refuse_unsafe_redis
from .task import as_function

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from arq.connections import ArqRedis, RedisSettings
    from arq.cron import CronJob
    from arq.typing import SecondsTimedelta, StartupShutdown
    from arq.worker import Function

    from .task import TaskFunction

logger = logging.getLogger("arq.worker")

RETRY_DELAY = timedelta(seconds=10)
JOB_COMPLETION_WAIT = 30
HEALTH_CHECK_INTERVAL = 5
#: Seconds for which a report of progress is kept at least, also where results are not.
PROGRESS_KEPT = 60
#: Seconds between two tries to reach Redis: the first pause, and the longest.
RECONNECT_PAUSE = 0.5
RECONNECT_PAUSE_MAX = 5.0


class Worker(arq.worker.Worker):
    """`arq.worker.Worker` with these differences.

    - `functions` may hold plain `def` functions; they run in threads, `max_jobs` at once.
    - A task that raises, or takes longer than its timeout, is retried up to `max_tries`.
    - `retry_delay`: upper bound of the pause after the first failure; it doubles with each try.
    - SIGTERM lets running jobs finish for `job_completion_wait`, 30 seconds unless told otherwise.
    - Redis away: at start and later, the worker waits and says so, instead of ending.
    - A Redis that evicts keys is refused at start, unless `allow_eviction`; one that persists nothing is warned of,
      unless `allow_no_persistence`.
    """

    def __init__(  # every argument by name: arq's command line reads the names to know which settings to pass on
        self,
        functions: Sequence[Function | TaskFunction] = (),
        *,
        queue_name: str | None = default_queue_name,
        cron_jobs: Sequence[CronJob] | None = None,
        redis_settings: RedisSettings | None = None,
        redis_pool: ArqRedis | None = None,
        burst: bool = False,
        on_startup: StartupShutdown | None = None,
        on_shutdown: StartupShutdown | None = None,
        on_job_start: StartupShutdown | None = None,
        on_job_end: StartupShutdown | None = None,
        after_job_end: StartupShutdown | None = None,
        handle_signals: bool = True,
        job_completion_wait: int = JOB_COMPLETION_WAIT,
        max_jobs: int = 10,
        job_timeout: SecondsTimedelta = 300,
        keep_result: SecondsTimedelta = 3600,
        keep_result_forever: bool = False,
        poll_delay: SecondsTimedelta = 0.5,
        queue_read_limit: int | None = None,
        max_tries: int = 5,
        retry_delay: SecondsTimedelta = RETRY_DELAY,
        health_check_interval: SecondsTimedelta = HEALTH_CHECK_INTERVAL,
        health_check_key: str | None = None,
        ctx: dict[Any, Any] | None = None,
        retry_jobs: bool = True,
        allow_abort_jobs: bool = True,
        max_burst_jobs: int = -1,
        job_serializer: arq.jobs.Serializer | None = codec.serialize,
        job_deserializer: arq.jobs.Deserializer | None = codec.deserialize,
        expires_extra_ms: int = expires_extra_ms,
        timezone: tzinfo | None = None,
        log_results: bool = True,
        allow_eviction: bool = False,
        allow_no_persistence: bool = False,
    ) -> None:
        policy = Policy(
            max_tries=max_tries,
            retry_delay=timedelta(seconds=to_seconds(retry_delay)),
            timeout=to_seconds(job_timeout),
            keep_progress=max(to_seconds(keep_result), PROGRESS_KEPT),
        )
        super().__init__(
            [with_policy(as_function(function), policy) for function in functions],
            queue_name=queue_name,
            cron_jobs=[with_policy(cron_job, policy) for cron_job in cron_jobs or ()],
            redis_settings=redis_settings,
            redis_pool=redis_pool,
            burst=burst,
            on_startup=on_startup,
            on_shutdown=on_shutdown,
            on_job_start=on_job_start,
            on_job_end=on_job_end,
            after_job_end=after_job_end,
            handle_signals=handle_signals,
            job_completion_wait=job_completion_wait,
            max_jobs=max_jobs,
            job_timeout=job_timeout,
            keep_result=keep_result,
            keep_result_forever=keep_result_forever,
            poll_delay=poll_delay,
            queue_read_limit=queue_read_limit,
            max_tries=max_tries,
            health_check_interval=health_check_interval,
            health_check_key=health_check_key,
            ctx=ctx,
            retry_jobs=retry_jobs,
            allow_abort_jobs=allow_abort_jobs,
            max_burst_jobs=max_burst_jobs,
            job_serializer=job_serializer,
            job_deserializer=job_deserializer,
            expires_extra_ms=expires_extra_ms,
            timezone=timezone,  # type: ignore[arg-type] # arq means any tzinfo
            log_results=log_results,
        )
        self.allow_eviction = allow_eviction
        self.allow_no_persistence = allow_no_persistence
        # The deadline is kept by the wrapper, which can move it; arq's own would only cut in.
        for function in self.functions.values():
            function.timeout_s = None
        self.job_timeout_s = None  # type: ignore[assignment] # None: no limit, as in asyncio.wait_for
        self._reconnect_pause = RECONNECT_PAUSE

    async def main(self) -> None:
        """Wait for Redis, look at its settings, then work as arq does."""
        if self._pool is None and self.redis_settings is not None:
            self._pool = TaskPool.from_settings(
                self.redis_settings,
                job_serializer=self.job_serializer,
                job_deserializer=self.job_deserializer,
                default_queue_name=self.queue_name,
                expires_extra_ms=self.expires_extra_ms,
            )
        self.loop.set_default_executor(ThreadPoolExecutor(self.max_jobs, thread_name_prefix="task"))
        await self._wait_for_redis()
        try:
            await refuse_unsafe_redis(
                self.pool, allow_eviction=self.allow_eviction, allow_no_persistence=self.allow_no_persistence
            )
            await super().main()
        except UnsafeRedisError as error:
            raise SystemExit(f"worker not started: {error}") from None
        except (RedisError, OSError) as error:  # only where no next poll will come: while starting, and in burst mode
            raise SystemExit(f"worker stopped: Redis went away: {error}") from None

    async def _wait_for_redis(self) -> None:
        while True:
            try:
                await self.pool.ping()
            except (RedisError, OSError) as error:
                await self._pause(error)
            else:
                return

    async def _pause(self, error: Exception) -> None:
        logger.warning("Redis does not answer, next try in %.1f s: %s", self._reconnect_pause, error)
        await asyncio.sleep(self._reconnect_pause)
        self._reconnect_pause = min(self._reconnect_pause * 2, RECONNECT_PAUSE_MAX)

    async def _poll_iteration(self) -> None:
        # With a socket_timeout redis-py calls asyncio.wait_for, which in Python 3.11 may swallow a cancellation.
        task = asyncio.current_task()
        if task and task.cancelling():
            raise asyncio.CancelledError
        try:
            await super()._poll_iteration()
        except (RedisError, OSError) as error:
            await self._pause(error)
        else:
            self._reconnect_pause = RECONNECT_PAUSE

    async def close(self) -> None:
        """End as arq does, and run `on_shutdown` whatever else fails."""
        if not self._handle_signals:
            self.handle_sig(signal.SIGUSR1)
        if self._pool is None:
            return
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        with suppress(RedisError, OSError):
            await self.pool.delete(self.health_check_key)
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        await close_client(self.pool)
        self._pool = None


arq.worker.Worker = Worker  # type: ignore[misc]
