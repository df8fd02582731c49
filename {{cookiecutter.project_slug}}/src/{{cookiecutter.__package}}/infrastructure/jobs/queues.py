"""Named queues: how long they are, pausing them, and throwing away what waits in them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from . import keys, scripts
from .answers import answering
from .cancelling import cancel_jobs, end_given_up
from .letters import BULK_TIMEOUT
from .lookup import LONGEST_LEASE, read_payload
from .paging import SortedSets
from .records import JobPriority
from .statistics import MINUTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from redis.asyncio import Redis

    from .pool import TaskPool

#: What the record of a purged job says.
PURGED = "the queue was purged"


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """What is in one queue at one moment."""

    name: str
    #: Jobs that are due, and may be started.
    waiting: int = 0
    #: Jobs whose time has not come: deferred ones, and those between two tries.
    scheduled: int = 0
    #: Jobs that are due, and that a limit of their task holds back.
    parked: int = 0
    #: Jobs in the hands of workers; those of arq's own workers count as waiting.
    running: int = 0
    #: Seconds for which the oldest job has been due that is not running; None: none is due.
    age: float | None = None
    paused: bool = False
    #: Jobs that workers have ended, in a minute: about the mean of the last five.
    rate: float = 0.0
    #: `depth`, by priority.
    priorities: dict[JobPriority, int] = field(default_factory=lambda: dict.fromkeys(JobPriority, 0))

    @property
    def depth(self) -> int:
        """All jobs that wait, for whatever reason."""
        return self.waiting + self.scheduled + self.parked


class Queues:
    """The queues of a Redis.

    Whatever is asked is one round trip, however many jobs there are. What it costs Redis does not grow with the jobs
    that are due; it does with those that become due within the next hour, among whom the running ones stand: by about a
    fifth of a millisecond for each thousand.
    """

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self._sets = SortedSets(pool)
        self._count = scripts.script(pool, "queues")
        self._pause = scripts.script(pool, "pause")

    async def list(self) -> Sequence[QueueRecord]:
        """Describe all queues that have jobs, had some in the last day, or are paused, by name, `default` first.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        return await self._describe(keys.lanes(keys.queue()), everything=True)

    async def get(self, queue: str = keys.DEFAULT_QUEUE) -> QueueRecord:
        """Describe one queue; it need not have had a job.

        Raises:
            InvalidJobError: that cannot be the name of a queue.
            QueueUnavailable: Redis does not answer.
        """
        [record] = await self._describe(keys.lanes(keys.queue(queue)))
        return record

    async def length(self, queue: str = keys.DEFAULT_QUEUE) -> int:
        """Count the jobs that wait: for a worker, for their time, for their next try, or for a limit of their task.

        Those that run are not counted. Errors are those of `get`.
        """
        return (await self.get(queue)).depth

    async def total(self) -> int:
        """Count the jobs of all queues, those that run included: two round trips, and next to no work for Redis.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        async with answering("queues"):
            lanes = await self._pool.smembers(keys.QUEUES)  # type: ignore[misc] # see `paused`
            return await count_jobs(self._pool, {keys.queue(), *(lane.decode() for lane in lanes)})

    async def purge(self, queue: str = keys.DEFAULT_QUEUE, *, progress: Callable[[int], object] | None = None) -> int:
        """Cancel all jobs that wait, as `length` counts them, in steps of 500 at most; give the number of those.

        Jobs that run go on, and so do those that a worker claims meanwhile. What is enqueued after the call has begun
        stays: a job that is due at once by the clock of Redis, a deferred one by the clock of whoever enqueues it. What
        has expired waits for a worker to say so. The ids of the jobs that are gone can be used again.

        Args:
            queue: its name.
            progress: called after each step with how many are gone so far.

        Raises:
            InvalidJobError: that cannot be the name of a queue.
            QueueUnavailable: Redis does not answer; some may be gone.
        """
        names = keys.all_of(keys.queue(queue))
        async with answering(f"queue {queue!r}"):
            seconds, microseconds = await self._pool.time()
        began = seconds * 1000 + microseconds // 1000
        total, before = 0, -1
        spared: list[str] = []  # those of this queue are still to come, and to be counted
        while before < total:  # a job that went from one of the sets to another may have been missed
            before = total
            async for job_ids in self._older(names, began):
                async with answering(f"queue {queue!r}", BULK_TIMEOUT):
                    answers = await cancel_jobs(self._pool, job_ids, reason=PURGED, spared=spared)
                total += answers.count("cancelled")
                if progress:
                    progress(total)
        async with answering(f"queue {queue!r}", BULK_TIMEOUT):
            await end_given_up(self._pool, spared)
        return total

    async def pause(self, queue: str = keys.DEFAULT_QUEUE) -> None:
        """Start nothing more of a queue, on no worker, until `resume` is called; jobs that run go on.

        It can be enqueued into meanwhile, and stays paused when workers or Redis are restarted.

        Raises:
            InvalidJobError: that cannot be the name of a queue.
            QueueUnavailable: Redis does not answer.
        """
        async with answering(f"queue {queue!r}"):
            await self._pause(keys=[keys.queue(queue)], args=[1])

    async def resume(self, queue: str = keys.DEFAULT_QUEUE) -> None:
        """Let a paused queue go on, at once; errors are those of `pause`."""
        async with answering(f"queue {queue!r}"):
            await self._pause(keys=[keys.queue(queue)], args=[0])

    async def paused(self) -> set[str]:
        """Give the names of the paused queues.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        async with answering("paused queues"):
            found = await self._pool.smembers(keys.PAUSED)  # type: ignore[misc] # redis-py says that it may be no coroutine
        return {keys.queue_name(key.decode()) for key in found}

    async def _describe(self, lanes: Sequence[str], *, everything: bool = False) -> Sequence[QueueRecord]:
        async with answering("queues"):
            now, paused, counts, ended = await self._count(keys=lanes, args=[int(everything), LONGEST_LEASE])
        rates = {key.decode(): _rate(*numbers, now=now) for key, *numbers in ended}
        resting = {key.decode() for key in paused}
        queues: dict[str, list[tuple[JobPriority, tuple[int, ...], bytes]]] = {}
        for lane, *numbers, first in counts:
            key = lane.decode()
            queues.setdefault(keys.queue_of(key), []).append((keys.priority(key), tuple(numbers), first))
        for key in resting if everything else ():
            queues.setdefault(key, [])
        records = [
            replace(_record(key, found, now=now, paused=key in resting), rate=rates.get(key, 0.0))
            for key, found in queues.items()
        ]
        return sorted(records, key=lambda record: (record.name != keys.DEFAULT_QUEUE, record.name))

    async def _older(self, names: Sequence[str], began: int) -> AsyncIterator[Sequence[str]]:
        """Give the ids of the jobs that were enqueued before that moment, a page at a time.

        The last due come first: workers, which begin at the other end, are not in the way, and neither is what is
        enqueued meanwhile.
        """
        after: tuple[str, bytes] | None = None
        while True:
            async with answering("queue", BULK_TIMEOUT):
                entries = await self._sets.read(names, scripts.BATCH, down=True, first="+inf", last="-inf", after=after)
                late = [entry.name.decode() for entry in entries if float(entry.score) >= began + 1]
                payloads = await self._pool.mget(map(keys.job, late)) if late else []
            if not entries:
                return
            after = (entries[-1].score, entries[-1].name)
            enqueued = [read_payload(self._pool, payload)["et"] if payload else 0 for payload in payloads]
            newer = {job_id for job_id, moment in zip(late, enqueued, strict=True) if moment > began + 1}  # arq rounds
            yield [job_id for entry in entries if (job_id := entry.name.decode()) not in newer]


async def count_jobs(client: Redis, lanes: Iterable[str]) -> int:
    """Count the jobs of some lanes, those that run and those that are parked included: one round trip.

    Args:
        client: the connection to Redis.
        lanes: their keys.
    """
    async with client.pipeline(transaction=False) as pipe:
        for lane in lanes:
            pipe.zcard(lane)
            pipe.zcard(keys.outside(lane))
        return sum(await pipe.execute())


def _rate(this: bytes | int, last: bytes | int, *, now: int) -> float:
    """Give the jobs that have ended in a minute: of the span before this one, as much as makes this one whole."""
    return (int(this) + int(last) * (1 - now / 1000 % MINUTES / MINUTES)) / (MINUTES / 60)


def _record(
    key: str, lanes: Sequence[tuple[JobPriority, tuple[int, ...], bytes]], *, now: int, paused: bool
) -> QueueRecord:
    firsts = [float(first) for _, _, first in lanes if first]
    waiting, scheduled, running, parked = (sum(numbers[i] for _, numbers, _ in lanes) for i in range(4))
    priorities = dict.fromkeys(JobPriority, 0)
    for priority, (due, later, _, outside), _ in lanes:
        priorities[priority] += due + later + outside
    return QueueRecord(
        keys.queue_name(key),
        waiting=waiting,
        scheduled=scheduled,
        parked=parked,
        running=running,
        age=max(0.0, now - min(firsts)) / 1000 if firsts else None,
        paused=paused,
        priorities=priorities,
    )
