"""The scripts as the engine calls them, each by itself, and what they leave in Redis."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus, keys, scripts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio.client import PubSub

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

QUEUE, MAIL = keys.queue(), keys.queue("mail")
#: Milliseconds of a lease that does not lapse during a test, for which a result is kept, and for which an attempt is.
LEASE, KEEP, MONTH = 60_000, 3_600_000, 30 * 86_400_000
#: What a plain arq worker puts where ours put their token.
ARQ = b"1"
#: Not UTF-8, as what is stored need not be.
PAYLOAD, RESULT, CANCELLED = b"\x00payload\xff", b"\x00result\xff", b"cancelled\xff"
#: A line of the list of attempts.
FAILED = '{"outcome":"failed"}'

#: A lock: its key, what keeps it, the ms for which it is known.
Lock = tuple[str, str, int]


class Claimed(NamedTuple):
    """A job as `claim` gives it."""

    job_id: str
    payload: bytes | None
    attempt: int
    losses: int
    due: int
    queue: int
    special: str


class Done(NamedTuple):
    """The end of a job as `commit` takes it."""

    job_id: str
    result: bytes = RESULT
    queue: str = QUEUE
    status: str = JobStatus.SUCCESS.value
    keep_result: int = KEEP
    keep_claim: int = 0
    line: str = ""
    dead: bool = False
    group: str = ""
    #: Workflow, number, why it has ended, number of its value.
    part: tuple[str, int, str, int] | None = None


class Hand:
    """A worker that has no tasks: it claims, and does with its claims what the test says."""

    def __init__(self, pool: TaskPool, token: str) -> None:
        self._pool = pool
        self._token = token
        #: Of each job that it has claimed: what tells this claim from others.
        self.stamps: dict[str, str] = {}

    def value(self, job_id: str) -> bytes:
        """Give what stands in Redis while this claim holds."""
        return f"{self._token}:{self.stamps[job_id]}".encode()

    async def claim(
        self,
        *,
        slots: int = 10,
        queues: Sequence[str] = (QUEUE,),
        spare_lapsed: bool = False,
        began: int = 0,
        aged: int = 0,
        kept: bytes = b"",
    ) -> tuple[int, int, list[Claimed]]:
        began = began or await now_of(self._pool)
        now, wait, flat = await scripts.script(self._pool, "claim")(
            keys=queues, args=[self._token, LEASE, slots, int(spare_lapsed), began, aged, kept]
        )
        jobs = [
            Claimed(job_id.decode(), payload, attempt, losses, due, queue, special.decode())
            for job_id, payload, attempt, losses, due, queue, special in zip(*[iter(flat)] * 7, strict=True)
        ]
        self.stamps |= {job.job_id: f"{job.attempt}:{now}" for job in jobs}
        return now, wait, jobs

    async def claimed(self, **options: Any) -> list[str]:
        _, _, jobs = await self.claim(**options)
        return [job.job_id for job in jobs]

    async def renew(self, *job_ids: str, lease: int = LEASE, away: bool = False) -> list[str]:
        jobs = [(job_id, QUEUE, self.stamps[job_id]) for job_id in job_ids]
        script = scripts.script(self._pool, "renew")
        return [job_id.decode() for job_id in await script(args=[self._token, lease, int(away), scripts.packed(jobs)])]

    async def commit(self, *ends: Done, away: bool = False, values: Sequence[bytes] = ()) -> list[int]:
        jobs = [(end.job_id, end.queue, self.stamps[end.job_id], *end[3:-1], *(end.part or ())) for end in ends]
        committed: list[int]
        committed, _ = await scripts.script(self._pool, "commit")(
            args=[self._token, int(away), scripts.packed(jobs), *[end.result for end in ends], *values]
        )
        return committed

    async def requeue(
        self,
        *job_ids: str,
        delay: int = 0,
        counts: bool = True,
        lapsed: bool = False,
        log: str = "",
        group: str = "",
        away: bool = False,
    ) -> list[int]:
        jobs = [(job_id, QUEUE, self.stamps[job_id], delay, counts, lapsed, log, group) for job_id in job_ids]
        script = scripts.script(self._pool, "requeue")
        requeued: list[int] = await script(args=[self._token, int(away), scripts.packed(jobs)])
        return requeued


async def enqueue(
    pool: TaskPool,
    *job_ids: str,
    queue: str = QUEUE,
    due: int | None = None,
    delay: int = 0,
    lifetime: int = 0,
    chosen: bool = True,
    locks: Sequence[Lock] = (),
    payload: bytes = PAYLOAD,
) -> list[Any]:
    moment = False if due is None else due
    jobs = [(job_id, moment, delay, lifetime, chosen, locks) for job_id in job_ids]
    stored: list[Any] = await scripts.script(pool, "enqueue")(
        keys=[queue], args=[scripts.packed(jobs), *[payload] * len(job_ids)]
    )
    return stored


async def cancel_many(
    pool: TaskPool, *jobs: tuple[Any, ...], kept: int = KEEP, terminate: bool = False
) -> tuple[list[bytes], list[bytes]]:
    """Cancel jobs, each given as (id, lane, task, line, ...); what is stored of each is the same."""
    answers, given_up = await scripts.script(pool, "cancel")(
        args=[int(terminate), kept, scripts.packed(jobs), *[CANCELLED] * len(jobs)]
    )
    return answers, [job_id for job_ids in given_up for job_id in job_ids]


async def cancel(
    pool: TaskPool, job_id: str, *, kept: int = KEEP, terminate: bool = False, line: str = "line", task: str = "task"
) -> bytes:
    [answer], _ = await cancel_many(pool, (job_id, QUEUE, task, line), kept=kept, terminate=terminate)
    return answer


async def now_of(pool: TaskPool) -> int:
    """Read Redis's clock, in ms."""
    seconds, microseconds = await pool.time()
    return int(seconds * 1000 + microseconds // 1000)


async def expiry_of(pool: TaskPool, key: str | bytes) -> int:
    """Read the moment at which the key expires, in ms; -1: never."""
    client: Any = pool  # its types are those of the synchronous client
    return int(await client.pexpiretime(key))


async def list_of(pool: TaskPool, key: str) -> list[bytes]:
    client: Any = pool
    return list(await client.lrange(key, 0, -1))


async def tokens_of(pool: TaskPool, queue: str = QUEUE) -> list[bytes]:
    return await list_of(pool, keys.wake(queue))


async def attempts_of(pool: TaskPool, job_id: str) -> list[Any]:
    return [json.loads(line) for line in await list_of(pool, keys.attempts(job_id))]


async def everything(pool: TaskPool) -> dict[bytes, tuple[bytes, int]]:
    """Give all that is stored: each key's value and the moment at which it expires."""
    return {key: (await pool.dump(key), await expiry_of(pool, key)) for key in await pool.keys()}


async def names(pool: TaskPool) -> set[str]:
    """Give the keys that there are, without what is known of all queues and tasks together."""
    found = {key.decode() for key in await pool.keys()} - {keys.QUEUES}
    return {key for key in found if not key.startswith(keys.statistics(""))}


async def score_of(pool: TaskPool, job_id: str, queue: str = QUEUE) -> float:
    score = await pool.zscore(queue, job_id)
    assert score is not None
    return float(score)


async def tries_of(pool: TaskPool, job_id: str) -> int:
    return int(await pool.get(keys.tries(job_id)) or 0)


async def losses_of(pool: TaskPool, job_id: str) -> int:
    return int(await pool.get(keys.lost(job_id)) or 0)


async def lapse(pool: TaskPool, *job_ids: str) -> None:
    """Bring about what is there when leases have not been kept up: the claim has expired, the score has come."""
    await pool.delete(*[keys.in_progress(job_id) for job_id in job_ids])
    moment = await now_of(pool) - 999.5
    await pool.zadd(QUEUE, dict.fromkeys(job_ids, moment), xx=True)


class Listener:
    """Hears what is told on a channel."""

    def __init__(self, pool: TaskPool, pubsub: PubSub, channel: str) -> None:
        self._pool = pool
        self._pubsub = pubsub
        self._channel = channel

    async def told(self) -> list[Any]:
        """Give what was told since the last call: JSON on the channel of events, else a text."""
        await self._pool.publish(self._channel, "end")
        messages: list[Any] = []
        while (message := (await self._pubsub.get_message(timeout=None) or {})["data"]) != b"end":
            messages.append(json.loads(message) if self._channel == keys.EVENTS else message)
        return messages


@asynccontextmanager
async def listening(pool: TaskPool, channel: str = keys.EVENTS) -> AsyncIterator[Listener]:
    """Subscribe as long as the block lasts."""
    async with pool.pubsub() as pubsub:
        await pubsub.subscribe(channel)
        assert (await pubsub.get_message(timeout=None) or {})["type"] == "subscribe"
        yield Listener(pool, pubsub, channel)
