"""Recording what became of jobs, many in one call."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from .. import scripts
from ..cancelling import end_given_up, read_given_up
from .counters import Counters
from .outage import SLOW, Outage

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Awaitable, Callable, Sequence

    from arq.connections import ArqRedis

    from ..records import JobStatus
    from .claims import Claim
    from .counters import Tally

logger = logging.getLogger("arq.worker")


@dataclass(slots=True)
class End:
    """The job has ended."""

    claim: Claim
    status: JobStatus
    #: What is stored as its result, or as a dead letter; empty: nothing.
    result: bytes = b""
    #: Milliseconds for which the result is kept; 0: for ever, -1: not at all.
    keep_result: int = -1
    #: Milliseconds for which the id stays claimed, so that nobody starts the same again.
    keep_claim: int = 0
    #: Its line in the history; empty: none.
    line: str = ""
    #: Whether it is kept to be looked at and replayed.
    dead: bool = False
    #: Of a part of a workflow: that, its number, why it has not ended well, and what it came to, if that is wanted.
    part: tuple[str, int, str, bytes] | None = None
    #: What is counted of it.
    tally: Tally | None = None
    #: Told whether it was recorded, for whoever waits.
    recorded: asyncio.Future[bool] | None = None


@dataclass(slots=True)
class Return:
    """The job goes back to its queue."""

    claim: Claim
    #: Milliseconds until it is due.
    delay: int = 0
    #: Whether this try counts.
    counts: bool = True
    #: Whether it stays known as a job that may have ended its worker.
    lapsed: bool = False
    #: How this try ended, as JSON; empty: nothing that anybody would want to know.
    log: str = ""
    #: What is counted of this try; None: the job is only put back.
    tally: Tally | None = None
    recorded: asyncio.Future[bool] | None = None


class Committer:
    """Takes outcomes and records them together: whatever has come while the last call was under way goes with the next.

    It goes on trying while Redis is away.
    """

    def __init__(
        self,
        client: ArqRedis,
        token: str,
        *,
        outage: Outage,
        recorded: Callable[[Claim, bool], None],
    ) -> None:
        """Prepare.

        Args:
            client: the connection to Redis.
            token: what marks this worker's claims.
            outage: what is known of Redis having been away.
            recorded: told of each job whether its outcome was recorded, or its lease was lost before.
        """
        self._client = client
        self._commit = scripts.script(client, "commit")
        self._requeue = scripts.script(client, "requeue")
        self._token = token
        self._outage = outage
        self._recorded = recorded
        #: What was recorded, for the statistics.
        self.counters = Counters(client)
        self._ends: list[End] = []
        self._returns: list[Return] = []
        self._writer: asyncio.Task[None] | None = None
        #: They record the end of what workflows have given up.
        self._enders: set[asyncio.Task[None]] = set()

    def add(self, outcome: End | Return) -> None:
        """Record an outcome soon."""
        if type(outcome) is End:
            self._ends.append(outcome)
        else:
            self._returns.append(outcome)  # type: ignore[arg-type]
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    def put_back(self, claims: deque[Claim]) -> None:
        """Hand back jobs that have not been started, and empty the list."""
        while claims:
            claim = claims.popleft()
            self.add(Return(claim, counts=False, lapsed=claim.lapsed))

    async def flush(self) -> None:
        """Wait until everything is recorded."""
        while self._writer:
            await asyncio.shield(self._writer)
        if self._enders:
            await asyncio.wait(self._enders)

    def give_up(self) -> None:
        """Try no longer; the leases of what is not recorded lapse."""
        if self._writer:
            self._writer.cancel()
            self._writer = None
        for ender in self._enders:
            ender.cancel()

    async def _write(self) -> None:
        await asyncio.sleep(0)  # what ends in this round of the loop goes with the first call
        while self._ends or self._returns:
            ends, self._ends = self._ends[: scripts.BATCH], self._ends[scripts.BATCH :]
            if ends:
                await self._record(self._send_ends, ends)
            returns, self._returns = self._returns[: scripts.BATCH], self._returns[scripts.BATCH :]
            if returns:
                await self._record(self._send_returns, returns)
        self._writer = None

    async def _record(self, send: Callable[[list[Any], bool], Awaitable[list[int]]], outcomes: list[Any]) -> None:
        while True:
            began = time.monotonic()
            away = self._outage.noticed
            try:
                answers = await send(outcomes, away)
                refused = [outcome for outcome, answer in zip(outcomes, answers, strict=True) if not answer]
                if refused and not away and time.monotonic() - began > SLOW:
                    # Redis stood still during the call: it was not we who were late.
                    again = iter(await send(refused, True))  # noqa: FBT003
                    answers = [answer or next(again) for answer in answers]
            except (RedisError, OSError) as error:
                await self._outage.pause(error)
            else:
                break
        for outcome, answer in zip(outcomes, answers, strict=True):
            if outcome.recorded and not outcome.recorded.done():
                outcome.recorded.set_result(answer == 1)
            self._recorded(outcome.claim, answer == 1)
        self.counters.add(
            [outcome.tally for outcome, answer in zip(outcomes, answers, strict=True) if answer == 1 and outcome.tally]
        )

    async def _send_ends(self, ends: Sequence[End], away: bool) -> list[int]:  # noqa: FBT001
        values: list[bytes] = []
        jobs = [
            (
                end.claim.job_id,
                end.claim.queue_key,
                end.claim.stamp,
                end.status,
                end.keep_result,
                end.keep_claim,
                end.line,
                end.dead,
                end.claim.group,
                *(_part(end.part, values) if end.part else ()),
            )
            for end in ends
        ]
        committed: list[int]
        committed, given_up = await self._commit(
            args=[
                self._token,
                int(away),
                scripts.packed(jobs),
                *[end.result for end in ends],
                *values,
            ]
        )
        waiting, queued = read_given_up(given_up)
        if waiting or queued:
            ender = asyncio.get_running_loop().create_task(self._end(waiting + queued))
            self._enders.add(ender)
            ender.add_done_callback(self._enders.discard)
        return committed

    async def _end(self, given_up: Sequence[str]) -> None:
        """Record the end of jobs that may be in queues which nobody serves now, or be parked for long."""
        try:
            await end_given_up(self._client, given_up)
        except (RedisError, OSError) as error:
            logger.warning("%d jobs whose workflows have stopped are left to be found: %s", len(given_up), error)

    def _send_returns(self, returns: Sequence[Return], away: bool) -> Awaitable[list[int]]:  # noqa: FBT001
        jobs = [
            (
                back.claim.job_id,
                back.claim.queue_key,
                back.claim.stamp,
                back.delay,
                back.counts,
                back.lapsed,
                back.log,
                back.claim.group,
            )
            for back in returns
        ]
        return self._requeue(args=[self._token, int(away), scripts.packed(jobs)])


def _part(part: tuple[str, int, str, bytes], values: list[bytes]) -> tuple[str, int, str, int]:
    """Give what the script takes of a part; its value goes with the others."""
    workflow_id, number, why, value = part
    if value:
        values.append(value)
    return workflow_id, number, why, len(values) if value else 0
