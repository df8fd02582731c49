"""What is sent to the queue: one job, checked and serialised, so that nothing is left to go wrong but the sending."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from hashlib import sha256
from operator import itemgetter
from secrets import token_hex
from time import time, time_ns
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from arq.utils import timestamp_ms, to_ms

from . import codec, keys
from .errors import InvalidJobError, PayloadTooLargeError, UnserializableError
from .policy import Unique

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Key of a lock; what keeps it: that the job which has it is `pending` or `unfinished`, or a whole `period`; ms for
#: which it is known.
Lock = tuple[str, Literal["pending", "unfinished", "period", "key"], int]

#: Seconds for which an idempotency key is known, unless told otherwise.
IDEMPOTENCY_TTL = 86_400
#: Seconds that a job may wait, either way: a thousand years. Redis then still tells parts of a ms, and Python the date.
LONGEST = 1000 * 365 * 86_400
#: Milliseconds after a job is due for which it is known that it stands for others that are the same.
UNIQUE_KEPT = 30 * 86_400_000


def new_job_id() -> str:
    """Give an id that nobody can guess. Ids sort by when they were made: jobs of one millisecond keep their order."""
    return f"{time_ns():016x}{token_hex(8)}"


class Message(NamedTuple):
    """One job on its way to the queue; the first six fields are what `enqueue.lua` takes, times are in ms."""

    job_id: str
    due: int | Literal[False]
    delay: int
    #: Time until the payload expires; 0: never.
    lifetime: int
    #: Whether the id was the caller's choice, and may be taken.
    chosen: bool
    locks: tuple[Lock, ...]
    task: str
    queue_key: str
    payload: bytes
    #: Whether a full queue takes it all the same: it has been promised before.
    exempt: bool = False

    def outcome(self, stored: Any) -> str | None:
        """Read what `enqueue.lua` says: its id, that of the job which stands for it, or None where it is left out."""
        if stored == 1:
            return self.job_id
        if stored == 0:
            return None
        position, holder = stored
        job_id: str = holder.decode()
        # A unique job is left out; with an idempotency key, the earlier job is as good as this one.
        # An id that was made for this job alone says that it has been sent before.
        left_out = self.locks[position - 1][0].startswith(keys.unique("")) and (self.chosen or job_id != self.job_id)
        return None if left_out else job_id


class Timing(NamedTuple):
    """When a job is due and how long it is kept; all in ms."""

    due: int | Literal[False]
    delay: int
    lifetime: int

    @classmethod
    def of(
        cls,
        task: str,
        *,
        defer_until: datetime | None,
        defer_by: float | timedelta | None,
        expires: float | timedelta | None,
    ) -> Timing:
        """Check and convert what a caller says.

        Raises:
            InvalidJobError: one of them is no time, or both a time and a delay are given.
        """
        if defer_until is not None and defer_by is not None:
            raise InvalidJobError(f"{task}: give a time (_defer_until) or a delay (_defer_by), not both")
        due = False if defer_until is None else _moment(task, defer_until)
        delay = 0 if defer_by is None else max(0, _span(task, "_defer_by", defer_by))
        if expires is None:  # without a limit, arq would drop a job that has waited for a day
            return cls(due, delay, 0)
        ahead = due - timestamp_ms() if due else delay
        return cls(due, delay, max(1, ahead + _span(task, "_expires", expires)))

    @property
    def wait(self) -> int:
        """Milliseconds until the job is due."""
        return max(0, self.due - timestamp_ms()) if self.due else self.delay


def _span(task: str, option: str, value: object) -> int:
    """Give seconds or a timedelta as ms."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    # NaN is refused as well, for it is not less.
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) < LONGEST:
        raise InvalidJobError(f"{task}: {option}={value!r}: give seconds or a timedelta, less than 1,000 years")
    return round(number * 1000)


def _moment(task: str, value: object) -> int | Literal[False]:
    """Give a time as ms since 1970; False for one that has passed: the job is due now, and jumps no queue."""
    try:
        moment = value.timestamp() if isinstance(value, datetime) else math.nan
    except (ValueError, OverflowError):  # at the ends of what a datetime can say
        moment = math.nan
    now = time()
    if not moment - now < LONGEST:
        raise InvalidJobError(f"{task}: _defer_until={value!r}: give a datetime, less than 1,000 years from now")
    return round(moment * 1000) if moment > now else False


def unique_lock(task: str, arguments: Mapping[str, Any], unique: Unique | timedelta, timing: Timing) -> Lock:
    """Give the lock that keeps out jobs with the same arguments."""
    digest = sha256(codec.serialize({"k": _unordered(dict(arguments))})).hexdigest()[:32]
    if isinstance(unique, Unique):
        key = keys.unique(f"{task}:{digest}")
        return key, "pending" if unique is Unique.PENDING else "unfinished", timing.wait + UNIQUE_KEPT
    return keys.unique(f"{task}:period:{digest}"), "period", to_ms(unique) or 1


def _unordered(value: Any) -> Any:
    """Give the same for values that differ only in the order of dicts and sets."""
    if isinstance(value, dict):
        pairs = [(codec.serialize({"": _unordered(key)}), _unordered(item)) for key, item in value.items()]
        return sorted(pairs, key=itemgetter(0))
    if isinstance(value, set | frozenset):
        return sorted(codec.serialize({"": _unordered(item)}) for item in value)
    if isinstance(value, list | tuple):
        return [_unordered(item) for item in value]
    return value


def idempotency_lock(task: str, key: str, ttl: float | timedelta) -> Lock:
    """Give the lock by which the same request, sent twice, leads to one job.

    Raises:
        InvalidJobError: the key is no text or empty, or its time is no positive number.
    """
    milliseconds = to_ms(ttl) or 0
    if not isinstance(key, str) or not key or milliseconds <= 0:
        raise InvalidJobError(f"{task}: an idempotency key is a text, kept for some seconds; this is {key!r}, {ttl!r}")
    return keys.idempotency(key), "key", milliseconds


def encode_payload(
    task: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    serializer: Callable[[dict[str, Any]], bytes],
    limit: int,
    queue_key: str,
    more: Mapping[str, Any],
    job_try: int | None = None,
) -> bytes:
    """Give what is stored of a call.

    Raises:
        UnserializableError: an argument cannot be stored; the message names it.
        PayloadTooLargeError: it takes more than `limit` bytes.
    """
    payload = {"t": job_try, "f": task, "a": args, "k": kwargs, "et": timestamp_ms(), "q": queue_key, **more}
    try:
        data = serializer(payload)
    except UnserializableError as error:
        raise UnserializableError(error.path, error.value, error.problem, task=task) from None
    if len(data) > limit:
        raise PayloadTooLargeError(task, len(data), limit)
    return data
