"""Claiming jobs: as many as there are free slots, in one call."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arq.utils import timestamp_ms

from .. import scripts
from .served import AGED

if TYPE_CHECKING:
    from collections.abc import Collection

    from redis.asyncio import Redis

    from .served import ServedQueues


@dataclass(slots=True, eq=False)
class Claim:
    """A job in the hands of this worker."""

    job_id: str
    #: What the client stored; None if that is gone.
    payload: bytes | None
    #: Number of this start, from 1. Every claim counts one, so it tells this claim from all others (a fencing token).
    attempt: int
    #: How many of these starts ended with the loss of their worker.
    losses: int
    #: When the job was due, in ms.
    due: int
    #: The lane that it is in.
    queue_key: str
    #: What is special: `lapsed` (the claim before this one was not kept up: its worker died, or was cut off), `aborted`
    #: (it was cancelled before it started), `expired` (it was not to be started so late), until when it had to start,
    #: in ms, or nothing.
    special: str
    #: When it was claimed, in ms, by Redis's clock.
    started: int
    #: What tells this claim from others of this worker.
    stamp: str
    #: Moment of the loop's clock after which the lease is no longer renewed; None: renewed while the job runs.
    deadline: float | None = None
    #: Somebody else may have the job by now.
    lost: bool = False
    #: What became of it is being recorded, or has been, while its hook still runs.
    ended: bool = False
    #: Its time was over before it had ended.
    overdue: bool = False
    #: The group whose limit it counts for; empty: none.
    group: str = ""
    #: What Redis's clock was ahead of this machine's then, in ms.
    ahead: int = 0

    @property
    def lapsed(self) -> bool:
        """Whether the claim before this one was not kept up."""
        return self.special == "lapsed"


class Claimer:
    """Claims jobs from the queues that a worker serves."""

    def __init__(self, client: Redis, token: str, *, lease: float, served: ServedQueues) -> None:
        """Prepare.

        Args:
            client: the connection to Redis.
            token: what marks this worker's claims.
            lease: seconds that a claim lasts without renewal.
            served: the queues.
        """
        self._client = client
        self._script = scripts.script(client, "claim")
        self._token = token
        self._lease_ms = round(lease * 1000)
        self._served = served
        self._claimed = self._peeked = 0
        #: Redis's clock less the loop's, in ms.
        self._ahead = (time.time() - asyncio.get_running_loop().time()) * 1000

    async def claim(
        self, slots: int, *, running: Collection[Claim] = (), spare_lapsed: bool, began: float
    ) -> tuple[list[Claim], float | None]:
        """Claim up to `slots` due jobs, in one round trip.

        Args:
            slots: how many at most.
            running: the jobs that fill the worker's other slots.
            spare_lapsed: leave jobs whose lease has lapsed to the worker that held it.
            began: moment of the loop's clock at which the caller began to ask.

        Returns:
            The jobs, and the seconds until the next is due: 0 if there may be more, None if there is none.
        """
        lanes = self._served.lanes()
        aged = (self._claimed + slots) // AGED - self._claimed // AGED
        now, wait, flat = await self._script(
            keys=lanes,
            args=[
                self._token,
                self._lease_ms,
                slots,
                int(spare_lapsed),
                round(self._redis_time(began)),
                aged,
                self._served.kept(running, lanes),
            ],
        )
        self._ahead = now - asyncio.get_running_loop().time() * 1000
        ahead = now - timestamp_ms()
        words = iter(flat)
        claims = [
            Claim(
                job_id.decode(),
                payload,
                attempt,
                losses,
                due,
                lanes[number - 1],
                special.decode(),
                now,
                f"{attempt}:{now}",
                ahead=ahead,
            )
            for job_id, payload, attempt, losses, due, number, special in zip(*[words] * 7, strict=True)
        ]
        self._claimed += len(claims)
        return claims, None if wait == -2 else max(wait, 0) / 1000  # noqa: PLR2004 - see the script

    async def peek(self) -> float | None:
        """Give the seconds until the first job of one queue is due, None if it is empty: one command, whose turn it is.

        What this engine's clients enqueue is told anyway; it is the jobs of plain arq clients that are found so, which
        are of normal priority.
        """
        self._peeked += 1
        queues = self._served.keys
        first = await self._client.zrange(queues[self._peeked % len(queues)], 0, 0, withscores=True)
        if not first:
            return None
        due: float = first[0][1]
        return max(0.0, due - self._redis_time(asyncio.get_running_loop().time())) / 1000

    def _redis_time(self, moment: float) -> float:
        return moment * 1000 + self._ahead
