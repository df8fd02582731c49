"""Which queues a worker serves, in which order, and the slots that it keeps free for some of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import keys, scripts
from ..errors import InvalidJobError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ..worker import Worker
    from .claims import Claim

#: Stands for all queues that are named nowhere else, those included that are new.
ALL = "*"
#: One start in so many goes to the job that has been due longest, whatever its priority and queue.
AGED = 10


def parse_queues(text: str) -> dict[str, int]:
    """Read `emails=5,reports`: the queues in the order in which they are served, and the slots kept free for each.

    Args:
        text: names with commas between; `*` stands for all others.

    Raises:
        InvalidJobError: it cannot be read; the message says what is wrong.
    """
    queues: dict[str, int] = {}
    for word in text.split(","):
        name, given, slots = (part.strip() for part in word.partition("="))
        if name != ALL:
            keys.queue(name)
        if name in queues:
            raise InvalidJobError(f"queue {name!r} is named twice in {text!r}")
        if given and (name == ALL or not slots.isdecimal()):
            raise InvalidJobError(f"{word.strip()!r} in {text!r}: give a queue and a number of slots, as in emails=5")
        queues[name] = int(slots or 0)
    return queues


class ServedQueues:
    """The queues of one worker."""

    def __init__(
        self, queues: str | Iterable[str] | Mapping[str, int], *, first: str, max_jobs: float = math.inf
    ) -> None:
        """Prepare.

        Args:
            queues: names of queues, `*` for all others, with the slots kept free for each if it is a mapping; or a text
                as `parse_queues` takes it. If there are none, it is `first` alone.
            first: key of the queue that arq's own worker would serve.
            max_jobs: the worker's slots.

        Raises:
            InvalidJobError: a name cannot be that of a queue, or no slots would be left for the others.
        """
        slots = parse_queues(queues) if isinstance(queues, str) else _with_slots(queues)
        #: Whether it serves queues that are not named, too.
        self.all = ALL in slots
        self._named = [keys.queue(name) for name in slots if name != ALL]
        if not self._named and not self.all:
            self._named = [first]
        self._first = first
        self._others = [first] if self.all and first not in self._named else []
        self._turn = 0
        self._used: set[str] = set()
        self._kept = {keys.queue(name): number for name, number in slots.items() if number}
        self._max_jobs = max_jobs
        others = self.all or self._kept.keys() < set(self._named)
        if sum(self._kept.values()) + others > max_jobs:
            raise InvalidJobError(f"queues={queues!r}: of max_jobs={max_jobs}, no slot is left for the other queues")

    @property
    def keys(self) -> list[str]:
        """The keys of the queues, in their order."""
        return [*self._named, *self._others]

    @property
    def keeps_slots(self) -> bool:
        """Whether there are slots that not every queue may fill."""
        return bool(self._kept)

    def add(self, lanes: Iterable[str]) -> bool:
        """Take note of lanes that have jobs, and serve their queues, if all are; tell whether one of those is new."""
        lanes = set(lanes)
        self._used |= lanes
        new = {keys.queue_of(lane) for lane in lanes} - set(self.keys) if self.all else set()
        self._others = sorted({*self._others, *new}, key=lambda key: (key != self._first, key))
        return bool(new)

    def lanes(self) -> list[str]:
        """Give the lanes in the order of the next claim: by priority, then as named; the others take turns."""
        self._turn += 1
        turn = self._turn % len(self._others) if self._others else 0
        queues = [*self._named, *self._others[turn:], *self._others[:turn]]
        return [lane for lanes in zip(*map(keys.lanes, queues), strict=True) for lane in lanes]

    def used_lanes(self) -> set[str]:
        """Give the lanes that have had jobs, as far as is known, and the first: it is where plain arq clients look."""
        served = set(self.keys)
        return {self.keys[0], *(lane for lane in self._used if keys.queue_of(lane) in served)}

    def kept(self, running: Collection[Claim], lanes: Sequence[str]) -> bytes:
        """Give what the claim is told of slots that are kept free; see `claim.lua`.

        Args:
            running: the jobs that fill slots.
            lanes: those that are asked for a job.
        """
        if not self._kept:
            return b""
        left, shared = self._left(running)
        numbers: dict[str, int] = {}
        of_lanes = [numbers.setdefault(keys.queue_of(lane), len(numbers) + 1) for lane in lanes]
        told: list[Any] = [shared, of_lanes, [left.get(key, 0) for key in numbers]]
        return scripts.packed(told)

    def open(self, running: Collection[Claim]) -> list[str]:
        """Give the queues from which a job could be started, as long as any slot is free; see `kept`."""
        if not self._kept:
            return self.keys
        left, shared = self._left(running)
        return [key for key in self.keys if left.get(key, 0) or shared > 0]

    def _left(self, running: Collection[Claim]) -> tuple[dict[str, int], float]:
        """Give the slots that are still kept free, by queue, and how many any queue may fill."""
        left = dict(self._kept)
        for claim in running:
            key = keys.queue_of(claim.queue_key)
            left[key] = max(0, left.get(key, 0) - 1)
        return left, self._max_jobs - len(running) - sum(left.values())


def _with_slots(queues: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    return dict(queues) if isinstance(queues, Mapping) else dict.fromkeys(queues, 0)


async def learn_lanes(worker: Worker, *, look: bool = False) -> None:
    """Take note of all lanes that have had jobs, and `look` for jobs at once."""
    pool: Any = worker.pool  # its types are those of the synchronous client, too
    worker.serve([lane.decode() for lane in await pool.smembers(keys.QUEUES)], look=look)


async def on_lane(worker: Worker, lane: str) -> None:
    """Serve a queue that is new (a handler of signals); what it misses is found with the next sign of life."""
    worker.serve([lane])
