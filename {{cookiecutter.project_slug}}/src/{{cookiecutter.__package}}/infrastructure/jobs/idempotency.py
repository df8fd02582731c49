"""Effects that happen once, however often their job is started: a charge, a message, a call of somebody else's API."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from urllib.parse import quote

from arq.utils import to_seconds, to_unix_ms
from redis.exceptions import RedisError

from . import codec, keys, scripts
from .answers import no_answer
from .errors import (
    EffectInProgressError,
    EffectValueUnknownError,
    InvalidEffectError,
    OvertakenError,
    QueueUnavailable,
    UnserializableError,
)
from .running.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from types import TracebackType

    from arq.connections import ArqRedis

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

#: How long it is known that an effect has happened, unless told otherwise.
TTL = timedelta(days=7)
#: Seconds after which a call to Redis gives up: a try waits longer than a request would.
ANSWER_TIMEOUT = 5.0

_UNKNOWN = object()


class Effect:
    """What is known of an effect: inside the block whether to act, after it what came of it."""

    def __init__(self, key: str, idempotency_key: str, *, first: bool, uncertain: bool) -> None:
        self.key = key
        #: Nothing is recorded, so act.
        self.first = first
        #: Act, but somebody has begun before, and has died, failed or lost the lease: it may have happened already.
        self.uncertain = uncertain
        #: The same text in every run, for the other side, which can then tell a repetition.
        self.idempotency_key = idempotency_key
        self._value: Any = None

    @property
    def value(self) -> Any:
        """What came of the effect, as it is stored: dataclasses and models have become plain data after the block.

        Raises:
            EffectValueUnknownError: it has happened, but its value could not be stored.
        """
        if self._value is _UNKNOWN:
            raise EffectValueUnknownError(self.key)
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if not self.first:
            raise InvalidEffectError(f"once {self.key!r}: it has been done before; act only `if effect.first`")
        self._value = value


def once(ctx: Mapping[str, Any], key: str, *, ttl: float | timedelta = TTL, scope: str | None = None) -> Once:
    """Let an effect happen once for all runs of a job, and give its value to all of them.

    As a context manager, `async with once(ctx, "charge") as effect`: act if `effect.first`, and set `effect.value`.
    Leaving the block records that it has happened, with the value, or with None if none was set; an exception records
    nothing. As a decorator, `receipt = await once(ctx, "charge")(provider.charge)(amount)`: the function is called
    only if nothing is recorded, whatever its arguments.

    One call to Redis comes before the effect, one after it. The one before raises if Redis does not answer; the one
    after is repeated until Redis answers, or the try is cancelled, for instance at its deadline.

    Args:
        ctx: the context of the task.
        key: which of the job's effects this is.
        ttl: seconds, or a timedelta, for which it is known that it has happened.
        scope: what the effect is tied to in place of the job, such as an order's number: then it happens once for all
            jobs that give this scope. By default it is the job: all its tries, and the replays of its dead letter.

    Raises:
        InvalidEffectError: `key` or `scope` is empty, or `ttl` less than a millisecond.
        QueueUnavailable: Redis does not answer, so nothing was done.
        OvertakenError: the job has been started again meanwhile, or has ended; this try must not act.
        EffectInProgressError: another job with this scope is at it right now.
        UnserializableError: it has happened, and that is recorded, but the value cannot be stored.
    """
    kept = round(to_seconds(ttl) * 1000)
    if kept < 1:
        raise InvalidEffectError(f"once {key!r}: ttl is {ttl!r}; give a time, as in ttl=timedelta(days=7)")
    if not key or scope == "":
        raise InvalidEffectError(f"once {key!r}, scope={scope!r}: give a name that is not empty")
    return Once(ctx, key, kept, scope)


@dataclasses.dataclass
class Once:
    """See `once`; a context manager, and a decorator."""

    _ctx: Mapping[str, Any]
    _key: str
    _ttl: int
    _scope: str | None

    async def __aenter__(self) -> Effect:
        """Ask what is known of the effect."""
        birth = "" if self._scope or "enqueue_time" not in self._ctx else str(to_unix_ms(self._ctx["enqueue_time"]))
        any_birth = self._scope or self._ctx.get("replay_of")
        arguments = [self._job, self._ctx.get("fencing_token", ""), birth, int(bool(any_birth)), self._ttl]
        try:
            state, *told = await self._call("once_begin", arguments)
        except (RedisError, OSError) as error:
            raise QueueUnavailable(f"once {self._key!r}: not begun, {no_answer(error)}") from error
        if state == b"overtaken":
            raise OvertakenError(self._key, self._job)
        if state == b"busy":
            raise EffectInProgressError(self._key, told[0].decode())
        self._birth = told[0].decode()
        self._effect = Effect(self._key, self._name(), first=state != b"done", uncertain=state == b"uncertain")
        if state == b"done":
            self._effect._value = _read(told[1])  # noqa: SLF001
        elif state == b"uncertain":
            logger.warning("%s: once %r has been begun before, and may have happened", self._job, self._key)
        return self._effect

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record what the block has come to, unless it has failed."""
        effect = self._effect
        if error is not None or not effect.first:
            return
        unserializable: UnserializableError | None = None
        stored = b""
        try:
            stored = codec.serialize({"value": effect.value})
        except UnserializableError as wrong:
            unserializable = UnserializableError(wrong.path, wrong.value, wrong.problem, task=f"once {self._key!r}")
        noted, *told = await self._record(stored)
        if not noted:
            raise OvertakenError(self._key, self._job)
        effect._value = _read(told[0])  # noqa: SLF001
        if unserializable:
            raise unserializable

    def __call__(self, function: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Give a function that calls this one if nothing is recorded, and gives what is recorded then."""

        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            async with dataclasses.replace(self) as effect:
                if not effect.first:
                    return cast("R", effect.value)
                effect.value = await function(*args, **kwargs)
            return cast("R", effect.value)

        return call

    @property
    def _job(self) -> str:
        return str(self._ctx["job_id"])

    @property
    def _place(self) -> str:
        return self._scope or self._ctx.get("replay_of") or self._job

    def _name(self) -> str:
        return ":".join(quote(part) for part in (self._place, self._birth, self._key) if part)

    async def _call(self, script: str, arguments: list[Any]) -> list[Any]:
        redis: ArqRedis = self._ctx["redis"]
        async with asyncio.timeout(ANSWER_TIMEOUT):
            answer: list[Any] = await scripts.script(redis, script)(
                keys=[keys.once(self._place, self._key)], args=arguments
            )
        return answer

    async def _record(self, value: bytes) -> list[Any]:
        """Say that it has happened, until Redis has heard it."""
        outage = Outage()
        while True:
            try:
                return await self._call("once_done", [self._birth, value, self._ttl])
            except (RedisError, OSError) as error:
                await outage.pause(error)


def _read(stored: bytes | None) -> Any:
    return _UNKNOWN if stored is None else codec.deserialize(stored)["value"]
