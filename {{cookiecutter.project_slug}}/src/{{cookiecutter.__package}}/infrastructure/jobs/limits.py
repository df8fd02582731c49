"""Limits of a task, for all workers together: how many of its jobs run at once, and how many start within a time.

A worker asks for each job of a task with a limit once it has claimed it. One that may not start is parked in the same
step: it leaves its queue, holds neither a slot nor a lease, and has lost no try. Whatever frees a place puts the job
that has waited longest back into its queue, due at once, or, where only time frees one, due then. So nobody polls, and
a job is once parked and once started, however many wait. See `scripts/limits.lua`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arq.utils import to_seconds
from redis.exceptions import RedisError

from . import keys, scripts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from .policy import TaskPolicy
    from .running.attempts import Attempt
    from .running.claims import Claim
    from .worker import Worker

#: Seconds between two sweeps of a worker.
SWEEP = 3.0


@dataclass(frozen=True, slots=True)
class Limit:
    """What the scripts are told of a task; 0 stands for no limit."""

    #: Jobs at once.
    concurrency: int = 0
    #: Jobs that may start within any span of `per`.
    jobs: int = 0
    #: Microseconds.
    per: int = 0

    @classmethod
    def of(cls, policy: TaskPolicy) -> Limit:
        """Read what the task sets for itself."""
        rate = policy.rate_limit
        if rate is None:
            return cls(policy.concurrency or 0)
        return cls(policy.concurrency or 0, rate.jobs, round(to_seconds(rate.per) * 1_000_000))


class Limits:
    """The limits of the tasks that one worker knows."""

    def __init__(self, client: Redis, token: str, limits: Mapping[str, Limit]) -> None:
        """Prepare.

        Args:
            client: the connection to Redis.
            token: what marks this worker's claims.
            limits: of each task by its name, those without limits as well.
        """
        self._client = client
        self._token = token
        self._limits = limits
        self._acquire = scripts.script(client, "acquire")
        self._sweep = scripts.script(client, "sweep")
        self._asking: list[tuple[Claim, str, asyncio.Future[bool]]] = []
        self._asker: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, worker: Worker) -> Limits:
        """Collect what the tasks of a worker set for themselves."""
        functions: Any = worker.functions  # see `with_policy`
        limits = {name: Limit.of(function.coroutine.own) for name, function in functions.items()}
        return cls(worker.pool, worker.presence.record.worker_id, limits)

    def acquire(self, claim: Claim, task: str) -> asyncio.Future[bool]:
        """Let a claimed job start, or park it until it may; jobs that ask together are asked for in one round trip.

        Returns:
            Whether it may start; if not, it is not this worker's any more. A RedisError or OSError says that there was
            no answer, so it may still be.
        """
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._asking.append((claim, task, answer))
        if self._asker is None:
            self._asker = loop.create_task(self._ask())
        return answer

    async def _ask(self) -> None:
        while self._asking:
            asking, self._asking = self._asking[: scripts.BATCH], self._asking[scripts.BATCH :]
            jobs = [self._job(claim, task) for claim, task, _ in asking]
            try:
                answers = await self._acquire(args=[self._token, scripts.packed(jobs)])
            except Exception as error:  # noqa: BLE001 - whatever it is, those who ask are to know
                for _, _, answer in asking:
                    answer.set_exception(error)
            else:
                for (_, _, answer), started in zip(asking, answers, strict=True):
                    answer.set_result(started == 1)
        self._asker = None

    def _job(self, claim: Claim, task: str) -> tuple[Any, ...]:
        limit = self._limits[task]
        return (
            claim.job_id,
            claim.queue_key,
            claim.stamp,
            claim.due,
            claim.special,
            task,
            limit.concurrency,
            limit.jobs,
            limit.per,
        )

    async def sweep(self) -> None:
        """Let parked jobs go on that could, and that nobody told: one command if there are none.

        So it is after a worker was lost, a job was ended by a plain arq worker, or a deploy has changed a limit.
        """
        client: Any = self._client  # its types are those of the synchronous client, too
        for task in await client.smembers(keys.PARKED_TASKS):
            limit = self._limits.get(task.decode())
            known = limit or Limit()
            await self._sweep(args=[task, int(limit is not None), known.concurrency, known.jobs, known.per])


async def may_start(attempt: Attempt) -> bool:
    """Ask for a job that was claimed whether its task's limit lets it start.

    Returns:
        False if it is parked, or somebody else's by now.

    Raises:
        RedisError, OSError: there was no answer, so it may still be this worker's.
        CancelledError: the attempt was cancelled, and the job is still this worker's.
    """
    claim, worker = attempt.claim, attempt.worker
    asking = worker.limits.acquire(claim, attempt.name)
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        # It is not cut short, for then nobody would know whether the job is parked.
        if await asking:
            raise
        if claim.job_id in worker.aborting_tasks:
            worker.aborting_tasks.discard(claim.job_id)
            pool: Any = worker.pool
            await pool.cancel(claim.job_id)
        return False


async def keep_sweeping(worker: Worker) -> None:
    """Sweep now and then, as long as the worker lives."""
    while True:
        with suppress(RedisError, OSError):  # whoever claims says that Redis is away
            await worker.limits.sweep()
        await asyncio.sleep(SWEEP)
