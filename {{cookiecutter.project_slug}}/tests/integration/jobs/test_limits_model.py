"""Limits of a task under whatever may happen, in any order: none is broken, no job is lost, all come to their end."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobPriority, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.limits import Limit

from .limit_hands import (
    MINUTE,
    MINUTE_US,
    TASK,
    TURN,
    Hand,
    assert_rate,
    elapse,
    enqueue,
    in_lanes,
    lapse,
    nothing_is_left,
    now_of,
    outside,
    parked,
    places,
    starts,
    turns,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

LIMITS = [
    Limit(concurrency=1),
    Limit(concurrency=3),
    Limit(jobs=1, per=MINUTE_US),
    Limit(jobs=4, per=MINUTE_US),
    Limit(concurrency=2, jobs=3, per=MINUTE_US),
]
STEPS = 150
#: Rounds after which what has not ended is taken to be stuck.
ROUNDS = 1_000


class Model:
    """Three workers, and what ought to be true of their jobs."""

    def __init__(self, pool: TaskPool, limit: Limit, chance: random.Random) -> None:
        self.pool, self.limit, self.chance = pool, limit, chance
        self.hands = [Hand(pool, limit, f"worker-{number}") for number in range(3)]
        self.jobs: list[str] = []
        self.ended: set[str] = set()
        self.running: dict[str, Hand] = {}
        #: Jobs that were claimed by a worker that died before it asked.
        self.claimed: set[str] = set()
        #: Jobs whose worker died.
        self.orphans: set[str] = set()
        #: How many starts there were, how many ms were skipped, and when each start was, in µs, by what Redis recorded.
        self.started, self.skipped = 0, 0
        self.starts: dict[bytes, int] = {}

    async def enqueue(self) -> None:
        """Let there be some more jobs."""
        new = [f"{len(self.jobs) + number:03}" for number in range(self.chance.randint(1, 4))]
        self.jobs += new
        await enqueue(self.pool, *new, priority=self.chance.choice(list(JobPriority)))

    async def start(self) -> None:
        """Let a worker start what it may; now and then it dies before it has asked."""
        hand = self.chance.choice(self.hands)
        for claim in await hand.claim(self.chance.randint(1, 5)):
            if self.chance.random() < 0.1:
                self.claimed.add(claim.job_id)
            elif await hand.limits.acquire(claim, TASK):
                assert claim.job_id not in self.running
                self.running[claim.job_id] = hand
                self.started += 1
                self.orphans.discard(claim.job_id)
            else:
                self.orphans.discard(claim.job_id)

    async def end(self) -> None:
        """Let a job succeed."""
        if self.running:
            job_id = self.chance.choice(sorted(self.running))
            await self.running.pop(job_id).end(job_id)
            self.ended.add(job_id)

    async def put_back(self) -> None:
        """Let a job be tried again, or be handed back."""
        if self.running:
            job_id = self.chance.choice(sorted(self.running))
            await self.running.pop(job_id).give_back(job_id, counts=self.chance.random() < 0.5)

    async def kill(self) -> None:
        """Let a worker die, and its lease lapse."""
        dead = sorted(self.claimed | self.running.keys())
        if dead:
            job_id = self.chance.choice(dead)
            self.claimed.discard(job_id)
            if self.running.pop(job_id, None):
                self.orphans.add(job_id)
            await lapse(self.pool, job_id)

    async def cancel(self) -> None:
        """Cancel a job that nobody runs."""
        waiting = sorted(set(self.jobs) - self.ended - self.running.keys() - self.claimed)
        if waiting:
            job_id = self.chance.choice(waiting)
            assert await self.pool.cancel(job_id)
            self.ended.add(job_id)
            self.orphans.discard(job_id)

    async def sweep(self) -> None:
        """Let a worker look after those whom nobody told."""
        await self.chance.choice(self.hands).limits.sweep()

    async def pass_time(self) -> None:
        """Let tokens come, and turns be missed."""
        if self.limit.jobs:
            ms = self.chance.randint(1, MINUTE)
            await elapse(self.pool, ms)
            self.skipped += ms
        for job_id in await turns(self.pool):
            if (await self.pool.zscore(keys.turns(TASK), job_id) or 0) <= await now_of(self.pool):
                await self.pool.zincrby(keys.turns(TASK), -TURN, job_id)

    async def check(self) -> None:
        """Each job that has not ended is in exactly one place, and the limit is kept."""
        in_queue, waiting = await in_lanes(self.pool), await parked(self.pool)
        assert sorted(in_queue + waiting) == sorted(set(self.jobs) - self.ended)
        assert sorted(await outside(self.pool)) == sorted(waiting)
        if self.limit.concurrency:
            held = await places(self.pool)
            assert len(held) <= self.limit.concurrency
            assert self.running.keys() <= held <= self.running.keys() | self.orphans
        if self.limit.jobs:
            for number, at in (await starts(self.pool)).items():
                self.starts.setdefault(number, at + self.skipped * 1000)
            assert len(self.starts) == self.started
            assert_rate(list(self.starts.values()), self.limit.jobs, self.limit.per)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_the_limit_is_kept_and_no_job_is_lost(pool: TaskPool, limit: Limit, seed: int) -> None:
    """After each of 150 steps by chance all is as it should be, and at the end every job comes to its own."""
    model = Model(pool, limit, random.Random(seed))
    steps = [model.enqueue, model.start, model.start, model.start, model.end, model.end, model.put_back, model.kill]
    steps += [model.cancel, model.sweep, model.pass_time]
    for _ in range(STEPS):
        await model.chance.choice(steps)()
        await model.check()
    for _ in range(ROUNDS):
        for step in (model.kill if model.claimed else model.start, model.end, model.sweep, model.pass_time):
            await step()
            await model.check()
        if len(model.ended) == len(model.jobs):
            break
    assert set(model.jobs) == model.ended
    await nothing_is_left(pool)
