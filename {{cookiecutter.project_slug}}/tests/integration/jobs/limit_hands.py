"""A worker without tasks, for tests of limits: what it does, and when, the test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.limits import Limit, Limits
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claimer
from {{ cookiecutter.__package }}.infrastructure.jobs.running.commits import Committer, End, Return
from {{ cookiecutter.__package }}.infrastructure.jobs.running.outage import Outage
from {{ cookiecutter.__package }}.infrastructure.jobs.running.served import ServedQueues

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool
    from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claim

TASK = "send"
QUEUE = keys.queue()
#: Milliseconds in one, and in microseconds.
MINUTE, MINUTE_US = 60_000, 60_000_000
#: Milliseconds after which a turn that was not taken is given up; `TURN` of sweep.lua.
TURN = 10_000


class Hand:
    """A worker without tasks: it claims, asks for the limit, and records what the test says."""

    def __init__(self, pool: TaskPool, limit: Limit | None, token: str = "me", queues: tuple[str, ...] = (QUEUE,)):
        self._claimer = Claimer(
            pool, token, lease=60, served=ServedQueues([keys.queue_name(key) for key in queues], first=keys.queue())
        )
        self.outage = Outage()
        self._committer = Committer(pool, token, outage=self.outage, recorded=self._record)
        self.limits = Limits(pool, token, {TASK: limit or Limit()})
        self.claims: dict[str, Claim] = {}
        self._group = TASK if limit else ""

    async def claim(self, slots: int = 500) -> list[Claim]:
        """Claim what is due."""
        began = asyncio.get_running_loop().time()
        claims, _ = await self._claimer.claim(slots, spare_lapsed=False, began=began)
        for claim in claims:
            claim.group = self._group
            self.claims[claim.job_id] = claim
        return claims

    async def start(self, slots: int = 500) -> list[str]:
        """Claim what is due, ask for each job, and give those that may start."""
        claims = await self.claim(slots)
        answers = await asyncio.gather(*[self.limits.acquire(claim, TASK) for claim in claims])
        return [claim.job_id for claim, starts in zip(claims, answers, strict=True) if starts]

    async def end(self, *job_ids: str) -> None:
        """Record that these jobs have succeeded."""
        for job_id in job_ids:
            self._committer.add(End(self.claims[job_id], JobStatus.SUCCESS, b"result", MINUTE))
        await self._committer.flush()

    async def give_back(self, *job_ids: str, **options: Any) -> None:
        """Record that these jobs go back to their queues."""
        for job_id in job_ids:
            self._committer.add(Return(self.claims[job_id], **options))
        await self._committer.flush()

    def _record(self, claim: Claim, ours: bool) -> None:  # noqa: FBT001
        claim.lost = not ours


async def enqueue(pool: TaskPool, *job_ids: str, **options: Any) -> None:
    for job_id in job_ids:
        await pool.enqueue(TASK, job_id=job_id, **options)


async def queued(pool: TaskPool, queue: str = QUEUE) -> list[str]:
    """Give the jobs in the queue, those that run included."""
    return [job_id.decode() for job_id in await pool.zrange(queue, 0, -1)]


async def in_lanes(pool: TaskPool) -> list[str]:
    """Give the jobs in the queue, whatever their priority, those that run included."""
    return [job_id for lane in keys.lanes(QUEUE) for job_id in await queued(pool, lane)]


async def outside(pool: TaskPool, queue: str = QUEUE) -> dict[str, float]:
    """Give the jobs that are parked from a queue, with their scores."""
    names = map(keys.outside, keys.lanes(queue))
    found = [entry for name in names for entry in await pool.zrange(name, 0, -1, withscores=True)]
    assert len(dict(found)) == len(found)
    return {job_id.decode(): score for job_id, score in found}


async def parked(pool: TaskPool) -> list[str]:
    return [job_id.decode() for job_id in await pool.zrange(keys.parked(TASK), 0, -1)]


async def places(pool: TaskPool) -> set[str]:
    client: Any = pool  # its types are those of the synchronous client
    return {job_id.decode() for job_id in await client.smembers(keys.places(TASK))}


async def turns(pool: TaskPool) -> list[str]:
    return [job_id.decode() for job_id in await pool.zrange(keys.turns(TASK), 0, -1)]


async def status_of(pool: TaskPool, job_id: str) -> JobStatus:
    record = await pool.record(job_id)
    assert record is not None
    return record.status


async def score_of(pool: TaskPool, job_id: str, key: str = QUEUE) -> float:
    score = await pool.zscore(key, job_id)
    assert score is not None
    return float(score)


async def now_of(pool: TaskPool) -> int:
    """Read Redis's clock, in ms."""
    seconds, microseconds = await pool.time()
    return int(seconds * 1000 + microseconds // 1000)


async def lapse(pool: TaskPool, *job_ids: str) -> None:
    """Bring about what is there when leases have not been kept up: the claim has expired, the score has come."""
    await pool.delete(*[keys.in_progress(job_id) for job_id in job_ids])
    for lane in keys.lanes(QUEUE):
        await pool.zadd(lane, dict.fromkeys(job_ids, await now_of(pool) - 0.5), xx=True)


async def command(pool: TaskPool, *words: Any) -> Any:
    client: Any = pool
    return await client.execute_command(*words)


async def elapse(pool: TaskPool, ms: int) -> None:
    """Let so much time pass for the tokens that were taken, and for whoever waits for them."""
    for key, passed in ((keys.starts(TASK), ms * 1000), (keys.turns(TASK), ms)):
        scores = await pool.zrange(key, 0, -1, withscores=True)
        if scores:
            await pool.zadd(key, {member: score - passed for member, score in scores}, xx=True)
    for job_id in await turns(pool):
        for lane in keys.lanes(QUEUE):
            if job_id in await queued(pool, lane):
                await pool.zincrby(lane, -ms, job_id)


async def starts(pool: TaskPool) -> dict[bytes, int]:
    """Give when each start was that the rate limit counts, in µs."""
    return {number: int(score) for number, score in await pool.zrange(keys.starts(TASK), 0, -1, withscores=True)}


def assert_rate(times: list[int], jobs: int, per: int) -> None:
    """Make sure that no span of `per`, without its end, has more than so many of these times."""
    times = sorted(times)
    assert all(later - earlier >= per for earlier, later in zip(times, times[jobs:], strict=False))


async def nothing_is_left(pool: TaskPool, task: str = TASK) -> None:
    """Nobody waits, has a turn or holds a place."""
    sets = map(keys.outside, keys.lanes(QUEUE))
    for key in (keys.parked(task), keys.turns(task), keys.homes(task), keys.places(task), *sets):
        assert not await pool.exists(key), key
