"""The worker: arq's own face, with a consumer of its own behind it.

Importing this module makes arq's command line run it: `arq <package>.infrastructure.tasks.WorkerSettings` imports the
settings first and then looks up `arq.worker.Worker`, which is this class by then. It is the one place where arq is
altered.
"""

from __future__ import annotations

import asyncio
import logging
import signal
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
from .registry import TaskRegistry, as_function, with_scheduled
from .retention import Retention, keep_trimmed
from .retries import DELAY, RetryConfig
from .running import threads
from .running.aborts import cancel_aborted, on_abort
from .running.consumer import Consumer
from .running.deadlines import Deadlines
from .running.orders import on_order
from .running.outage import Outage
from .running.presence import Presence, new_worker_id
from .running.processes import ProcessPool
from .running.served import ServedQueues, learn_lanes, on_lane
from .running.services import Service, Services
from .running.signals import Handler, listen_for_signals
from .running.stopping import StoppingWorker
from .safety import wait_for_safe_redis
from .schedules.scheduler import Scheduler, keep_scheduled, on_schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from arq.connections import ArqRedis, RedisSettings
    from arq.cron import CronJob
    from arq.typing import SecondsTimedelta, StartupShutdown
    from arq.worker import Function

    from .registry import TaskFunction
    from .running.commits import End, Return
    from .running.plans import Plan
    from .schedules.client import Schedule

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
    - `queues`: names of the queues that it serves in place of `queue_name`, in this order, `*` for all others; with the
      slots that are kept free for each, where it is a mapping or a text such as `emails=5,reports`.
    - `schedules`: `Schedule`s, beside arq's `cron_jobs`; each tick of either leads to one job, whatever the clocks say.
    - SIGTERM lets running jobs finish for `job_completion_wait`, 30 seconds unless told otherwise, and hands back the
      rest; a second signal ends the waiting. `Workers.stop` does the same as the first; `Workers.quiet` lets it start
      nothing more.
    - Redis away: at start and later, the worker waits and says so, instead of ending.
    - A Redis that evicts keys is refused at start, unless `allow_eviction`; one that persists nothing is warned of,
      unless `allow_no_persistence`.
    """

    def __init__(  # every argument by name: arq's command line reads the names to know which settings to pass on
        self,
        functions: Sequence[Function | TaskFunction] = (),
        *,
        queue_name: str | None = default_queue_name,
        queues: str | Sequence[str] | Mapping[str, int] = (),
        cron_jobs: Sequence[CronJob] | None = None,
        schedules: Sequence[Schedule] | None = None,
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
        max_queue_length: int = 0,
        log_arguments: bool = False,
        retention: Retention = Retention(),  # noqa: B008 - it never changes
        services: Sequence[Service] = (),
    ) -> None:
        #: What becomes of a try that fails, unless its task says otherwise.
        self.policy = policy = Policy(
            retry=RetryConfig(max_tries=max_tries, delay=timedelta(seconds=to_seconds(retry_delay))),
            timeout=to_seconds(job_timeout),
            keep_progress=max(to_seconds(keep_result), PROGRESS_KEPT),
            retry_jobs=retry_jobs,
        )
        functions = with_scheduled(functions, schedules)
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
        self._pool_limits = {"max_payload": max_payload, "max_queue_length": max_queue_length}
        self.served = ServedQueues(queues, first=self.queue_name, max_jobs=self.max_jobs)
        self.job_tasks = self.tasks  # arq has two coroutines for each job; here it is one
        #: Jobs that another worker has got although they were this worker's: they may have run twice.
        self.jobs_lost = 0
        self.outage = Outage()
        self.runtime = Runtime(
            Deadlines(lambda claim: self._consumer.give_up(claim) if self._consumer else None), ProcessPool()
        )
        self.presence = Presence(
            new_worker_id(), self.served.keys[0], health_key=health_check_key, interval=self.health_check_interval
        )
        self._hurry = asyncio.Event()
        self.log_arguments = log_arguments
        self.retention = retention
        #: What is done about a message on a channel, by the channel.
        self.signals: dict[str, Handler] = {keys.QUEUES: on_lane, keys.SCHEDULES: on_schedule}
        self.signals[keys.order(self.presence.record.worker_id)] = on_order
        if allow_abort_jobs:
            self.signals[keys.ABORTS] = on_abort
        self._services = Services([listen_for_signals, keep_trimmed, keep_sweeping, keep_scheduled, *services])
        self.scheduler = Scheduler(self, schedules, cron_jobs=cron_jobs, max_payload=max_payload)
        self.plans: dict[str, Plan] = {}
        self.limits: Limits

    def run(self) -> None:
        """Work until told to stop; `on_shutdown` has run when it returns."""
        try:
            super().run()
        finally:
            if self.stopping and self._threads:
                threads.end_with_process(self._threads)

    async def main(self) -> None:
        """Wait for Redis, look at its settings, then work until stopped, or in burst mode until nothing is left."""
        self.begin()
        self.scheduler.reset()
        if self._pool is None and self.redis_settings is not None:
            self._pool = TaskPool.from_settings(
                self.redis_settings,
                job_serializer=self.job_serializer,
                job_deserializer=self.job_deserializer,
                default_queue_name=self.queue_name,
                expires_extra_ms=self.expires_extra_ms,
                **self._pool_limits,
                registry=self.registry,
            )
        self._threads = threads.new_executor(self.max_jobs)
        self.loop.set_default_executor(self._threads)
        await wait_for_safe_redis(self.pool, self.outage, **self._accepted)
        logger.info("Starting worker for %d functions: %s", len(self.functions), ", ".join(self.functions))
        await log_redis_info(self.pool, logger.info)
        self.ctx["redis"] = self.pool
        if self.on_startup:
            await self.on_startup(self.ctx)
        self.limits = Limits.of(self)
        self._consumer = Consumer(self)
        await learn_lanes(self)
        self._services.start(self)
        try:
            await self._consumer.run()
        finally:
            await self._services.stop()
            self.runtime.processes.close()

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

    def serve(self, lanes: Iterable[str], *, look: bool = False) -> None:
        """See `Consumer.serve`."""
        if self._consumer:
            self._consumer.serve(lanes, look=look)

    @property
    def jobs_started(self) -> int:
        """Jobs that have been started since the worker was."""
        return self._jobs_started()

    async def record(self, outcome: End | Return) -> bool:
        """See `Consumer.record`."""
        return self._consumer is not None and await self._consumer.record(outcome)

    async def record_health(self) -> None:
        """Give a sign of life, if it is time for one."""
        await self.presence.tell_now_and_then(self)

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Enqueue what this worker alone is to enqueue; all else is the scheduler's."""
        await self.scheduler.begin()
        await self.scheduler.run_cron(n, timedelta(seconds=delay * num_windows))

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
