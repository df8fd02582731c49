"""The worker: arq's own face, with a consumer of its own behind it.

Importing this module makes arq's command line run it: `arq <package>.infrastructure.tasks.WorkerSettings` imports the
settings first and then looks up `arq.worker.Worker`, which is this class by then. It is the one place where arq is
altered.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import arq.worker
from arq.connections import log_redis_info
from arq.constants import default_queue_name, expires_extra_ms
from arq.utils import to_seconds

from . import codec, keys
from .connections import close_client
from .errors import JobError
from .execution import Policy, Runtime, with_policy
from .limits import Limits, keep_sweeping
from .pool import MAX_PAYLOAD, TaskPool
from .registry import TaskRegistry, as_function
from .retention import Retention, keep_trimmed
from .retries import DELAY, RetryConfig
from .running import threads
from .running.aborts import cancel_aborted, listen_for_aborts
from .running.consumer import Consumer
from .running.deadlines import Deadlines
from .running.outage import Outage
from .running.presence import Presence, new_worker_id
from .running.processes import ProcessPool
from .running.services import Service, Services
from .running.stopping import StoppingWorker
from .safety import wait_for_safe_redis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, tzinfo

    from arq.connections import ArqRedis, RedisSettings
    from arq.cron import CronJob
    from arq.typing import SecondsTimedelta, StartupShutdown
    from arq.worker import Function

    from .registry import TaskFunction
    from .running.claims import Claim
    from .running.commits import End, Return
    from .running.plans import Plan

logger = logging.getLogger("arq.worker")

LEASE = 15
JOB_COMPLETION_WAIT = 30
HEALTH_CHECK_INTERVAL = 5
#: Seconds for which a report of progress is kept at least, also where results are not.
PROGRESS_KEPT = 60
#: Seconds between two looks for jobs to abort and for ticks of cron jobs, where `poll_delay` is not longer.
TICK = 0.5


class Worker(StoppingWorker):
    """`arq.worker.Worker` with these differences.

    - `functions` may hold plain `def` functions; they run in threads, `max_jobs` at once.
    - A task that raises, or takes longer than its timeout, is retried up to `max_tries`.
    - `retry_delay`: upper bound of the pause after the first failure; it doubles with each try.
    - `lease`: seconds after which a job runs elsewhere when its worker has died.
    - `queues`: names of more queues, which are served after `queue_name`.
    - SIGTERM lets running jobs finish for `job_completion_wait`, 30 seconds unless told otherwise, and hands back the
      rest; a second signal ends the waiting.
    - Redis away: at start and later, the worker waits and says so, instead of ending.
    - A Redis that evicts keys is refused at start, unless `allow_eviction`; one that persists nothing is warned of,
      unless `allow_no_persistence`.
    """

    def __init__(  # every argument by name: arq's command line reads the names to know which settings to pass on
        self,
        functions: Sequence[Function | TaskFunction] = (),
        *,
        queue_name: str | None = default_queue_name,
        queues: Sequence[str] = (),
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
        lease: SecondsTimedelta = LEASE,
        keep_result: SecondsTimedelta = 3600,
        keep_result_forever: bool = False,
        poll_delay: SecondsTimedelta = 0.5,
        queue_read_limit: int | None = None,
        max_tries: int = 5,
        retry_delay: SecondsTimedelta = DELAY,
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
        max_payload: int = MAX_PAYLOAD,
        log_arguments: bool = False,
        retention: Retention = Retention(),  # noqa: B008 - it never changes
        services: Sequence[Service] = (),
    ) -> None:
        policy = Policy(
            retry=RetryConfig(max_tries=max_tries, delay=timedelta(seconds=to_seconds(retry_delay))),
            timeout=to_seconds(job_timeout),
            keep_progress=max(to_seconds(keep_result), PROGRESS_KEPT),
            retry_jobs=retry_jobs,
        )
        self.registry = TaskRegistry(functions, cron_jobs or ())
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
            job_serializer=job_serializer or codec.serialize,
            job_deserializer=job_deserializer or codec.deserialize,
            expires_extra_ms=expires_extra_ms,
            timezone=timezone,  # type: ignore[arg-type] # arq means any tzinfo
            log_results=log_results,
        )
        self._accepted = {"allow_eviction": allow_eviction, "allow_no_persistence": allow_no_persistence}
        self.lease_s = to_seconds(lease)
        self._max_payload = max_payload
        self.queues = [self.queue_name, *(keys.queue(name) for name in queues)]
        self.job_tasks = self.tasks  # arq has two coroutines for each job; here it is one
        #: Jobs that another worker has got although they were this worker's: they may have run twice.
        self.jobs_lost = 0
        self.outage = Outage()
        self.runtime = Runtime(Deadlines(self._on_stuck), ProcessPool())
        self.presence = Presence(
            new_worker_id(),
            self.queue_name,
            queues=[keys.queue_name(key) for key in self.queues],
            health_key=self.health_check_key,
            lifetime=int(self.health_check_interval + 1),
        )
        self._hurry = asyncio.Event()
        self.log_arguments = log_arguments
        self.retention = retention
        listeners = [listen_for_aborts] if allow_abort_jobs else []
        self._services = Services([*listeners, keep_trimmed, keep_sweeping, *services])
        self.plans: dict[str, Plan] = {}
        self.limits: Limits
        self._next_tick = float("-inf")

    def run(self) -> None:
        """Work until told to stop; `on_shutdown` has run when it returns."""
        try:
            super().run()
        finally:
            if self.stopping:
                threads.end_with_process()

    async def main(self) -> None:
        """Wait for Redis, look at its settings, then work until stopped, or in burst mode until nothing is left."""
        # `arq --watch` runs one worker again and again.
        self.stopping, self._last_health_check, self._next_tick = False, 0.0, float("-inf")
        self._hurry.clear()
        if self._pool is None and self.redis_settings is not None:
            self._pool = TaskPool.from_settings(
                self.redis_settings,
                job_serializer=self.job_serializer,
                job_deserializer=self.job_deserializer,
                default_queue_name=self.queue_name,
                expires_extra_ms=self.expires_extra_ms,
                max_payload=self._max_payload,
                registry=self.registry,
            )
        self.loop.set_default_executor(threads.new_executor(self.max_jobs))
        await wait_for_safe_redis(self.pool, self.outage, **self._accepted)
        logger.info("Starting worker for %d functions: %s", len(self.functions), ", ".join(self.functions))
        await log_redis_info(self.pool, logger.info)
        self.ctx["redis"] = self.pool
        if self.on_startup:
            await self.on_startup(self.ctx)
        self.limits = Limits.of(self)
        self._consumer = Consumer(self)
        self._services.start(self)
        try:
            await self._consumer.run()
        finally:
            await self._services.stop()
            self.runtime.processes.close()

    def _on_stuck(self, claim: Claim) -> None:
        if self._consumer:
            self._consumer.give_up(claim)

    async def poll(self) -> None:
        """Do what is to be done now and then, and start the jobs that are due."""
        self._consumer = self._consumer or Consumer(self)
        began = self.loop.time()
        if began >= self._next_tick:
            self._next_tick = began + min(self.poll_delay_s, TICK)
            if self.allow_abort_jobs:
                await cancel_aborted(self)
            await self.heart_beat()
        await self._consumer.claim(began)

    _poll_iteration = poll  # as arq calls it

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Refuse: which jobs are started, Redis decides in one step, see `Consumer.claim`."""
        raise JobError(f"a worker starts what is due by itself, and cannot be told to start {job_ids}")

    @property
    def jobs_started(self) -> int:
        """Jobs that have been started since the worker was."""
        return self._jobs_started()

    async def record(self, outcome: End | Return) -> bool:
        """See `Consumer.record`."""
        return self._consumer is not None and await self._consumer.record(outcome)

    async def record_health(self) -> None:
        """Give a sign of life, if it is time for one."""
        now = time.time()
        if now - self._last_health_check < self.health_check_interval:
            return
        self._last_health_check = now
        changed, line = await self.presence.tell(self)
        if changed:
            logger.info("recording health: %s", line)

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Enqueue the ticks that are due soon, as arq does; one that could not be enqueued is not forgotten."""
        ticks = [cron_job.next_run for cron_job in self.cron_jobs]
        try:
            await super().run_cron(n, delay, num_windows)
        except BaseException:
            for cron_job, tick in zip(self.cron_jobs, ticks, strict=True):
                cron_job.next_run = tick
            raise

    async def close(self) -> None:
        """End as arq does, and run `on_shutdown` whatever else fails."""
        if not self._handle_signals:
            self.handle_sig(signal.SIGUSR1)
        if self._pool is None:
            return
        if self._consumer:
            await self._consumer.close()
        await self.presence.last_one_out(self.pool)
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        await close_client(self.pool)
        self._pool = None


arq.worker.Worker = Worker  # type: ignore[misc]
