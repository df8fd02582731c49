"""Leases: a worker's time-limited right to run jobs, renewed from a thread of its own.

A blocked event loop therefore does not lose its jobs, until the deadline of a job is over as well.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from .. import scripts
from ..connections import clone_client, close_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from redis.asyncio import Redis

    from .claims import Claim
    from .outage import Outage

logger = logging.getLogger("arq.worker")

#: Renewals in the time of one lease, and the longest pause between two, in seconds.
RENEWALS, LONGEST_PAUSE = 3, 5.0
#: Seconds between two tries to renew while Redis is away.
RETRY = 1.0


class LeaseKeeper:
    """Renews leases every third of their time, and gives the sign of life when the event loop is too busy to."""

    def __init__(
        self,
        held: Mapping[str, Claim],
        token: str,
        *,
        lease: float,
        outage: Outage,
        on_lost: Callable[[list[Claim]], None],
        sign_of_life: Callable[[Redis], Awaitable[None]],
    ) -> None:
        """Prepare.

        Args:
            held: the jobs whose leases are to be renewed; it changes while the thread runs.
            token: what marks this worker's claims.
            lease: seconds that a claim lasts without renewal.
            outage: what is known of Redis having been away.
            on_lost: called in the event loop with the claims whose lease somebody else may have by now.
            sign_of_life: called in the thread with its connection, after every renewal.
        """
        self._held = held
        self._token = token
        self._lease = lease
        self._pause = min(lease / RENEWALS, LONGEST_PAUSE)
        self._outage = outage
        self._on_lost = on_lost
        self._sign_of_life = sign_of_life
        self._loop = asyncio.get_running_loop()
        self._ended = threading.Event()
        self._gone = asyncio.Event()
        self._started = False

    def start(self, client: Redis) -> None:
        """Start the thread, with a connection of its own to the server of `client`."""
        self._started = True
        threading.Thread(target=self._run, args=(client,), name="leases", daemon=True).start()

    async def stop(self) -> None:
        """End the thread; leases that are left lapse by themselves."""
        self._ended.set()
        if self._started:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY):
                    await self._gone.wait()

    def _run(self, client: Redis) -> None:
        with asyncio.Runner() as runner:
            twin = clone_client(client)
            pause = self._pause
            # The loop is closed where a program forgets to stop the worker.
            while not self._ended.wait(pause) and not self._loop.is_closed():
                pause = runner.run(self._round(twin))
            runner.run(close_client(twin))
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._gone.set)

    async def _round(self, client: Redis) -> float:
        """Renew all leases; give the seconds until the next round."""
        began = time.monotonic()
        try:
            await self._renew(client)
            self._outage.end()
            await self._sign_of_life(client)
        except (RedisError, OSError) as error:
            logger.warning("leases not renewed, Redis does not answer: %s", error)
            self._outage.noticed = True
            return min(RETRY, self._pause)
        return max(0.0, self._pause - (time.monotonic() - began))

    async def _renew(self, client: Redis) -> None:
        renew = scripts.script(client, "renew")
        now = self._loop.time()
        claims = [claim for claim in list(self._held.values()) if claim.deadline is None or now < claim.deadline]
        for start in range(0, len(claims), scripts.BATCH):
            batch = claims[start : start + scripts.BATCH]
            jobs = [(claim.job_id, claim.queue_key, claim.stamp) for claim in batch]
            began = time.monotonic()
            for away in (self._outage.noticed, True):
                lost = await renew(
                    args=[
                        self._token,
                        round(self._lease * 1000),
                        int(away),
                        scripts.packed(jobs),
                    ]
                )
                # Once more if Redis stood still during the call: then it was not we who were late.
                if not lost or away or time.monotonic() - began < self._pause:
                    break
            gone = {job_id.decode() for job_id in lost}
            if gone:
                claims_lost = [claim for claim in batch if claim.job_id in gone]
                self._loop.call_soon_threadsafe(self._on_lost, claims_lost)
