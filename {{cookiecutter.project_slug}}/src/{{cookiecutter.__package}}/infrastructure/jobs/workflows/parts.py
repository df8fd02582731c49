"""A job's part in a workflow: what it takes from there and gives to it, and why it may be given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from arq.jobs import DeserializationError

from .. import codec, keys
from ..errors import JobError
from ..outcomes import MAX_ERROR, error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from arq.connections import ArqRedis
    from arq.jobs import Deserializer


class Part(NamedTuple):
    """The place of a job in a workflow."""

    workflow_id: str
    #: From 0; the callback of a group comes after its members.
    number: int
    #: The `result` of the step before, as its first argument after the context, or the `results` of all members.
    takes: Literal["result", "results"] | None = None
    #: Whether somebody wants what it comes to.
    gives: bool = True

    @classmethod
    def of(cls, job_id: str) -> Part | None:
        """Read the place from the id, which is known even where the payload cannot be read; None: it has none."""
        place = keys.workflow_part(job_id)
        return cls(*place) if place else None

    def with_wishes(self, stored: Mapping[str, Any] | None) -> Part:
        """Add what the payload says, see `wishes`."""
        return self._replace(takes=(stored or {}).get("takes"), gives=bool((stored or {}).get("gives")))


def wishes(takes: Literal["result", "results"] | None, *, gives: bool) -> dict[str, Any]:
    """Give what a payload says of a job's part."""
    return {**({"takes": takes} if takes else {}), **({"gives": True} if gives else {})}


def encode_value(ended: Mapping[str, Any], serializer: Callable[[dict[str, Any]], bytes]) -> bytes:
    """Give what is stored of what a job came to, given its result: the value, or an exception."""
    value = ended["r"]
    return serializer({"r": value if ended["s"] or isinstance(value, BaseException) else JobError(value)})


async def read_values(
    client: ArqRedis, workflow_id: str, count: int, deserializer: Deserializer | None = None
) -> list[Any]:
    """Read what the first jobs of a workflow came to, in their order, failures as exceptions.

    Raises:
        DeserializationError: one cannot be read.
    """
    stored = await client.hgetall(keys.workflow_values(workflow_id))  # type: ignore[misc]
    values = [stored.get(b"%d" % number) for number in range(count)]
    return [_decode(value, deserializer) if value else asyncio.CancelledError() for value in values]


async def read_value(client: ArqRedis, workflow_id: str, number: int, deserializer: Deserializer | None = None) -> Any:
    """Read what one job of a workflow came to.

    Raises:
        DeserializationError: it cannot be read, or is gone.
    """
    stored: bytes | None = await client.hget(keys.workflow_values(workflow_id), str(number))  # type: ignore[misc]
    if stored is None:
        raise DeserializationError(f"the result of job {keys.workflow_job(workflow_id, number)} is gone")
    return _decode(stored, deserializer)


def _decode(stored: bytes, deserializer: Deserializer | None) -> Any:
    try:
        return (deserializer or codec.deserialize)(stored)["r"]
    except Exception as error:
        raise DeserializationError("unable to deserialize a result") from error


async def take(
    client: ArqRedis, part: Part, args: tuple[Any, ...], kwargs: dict[str, Any], deserializer: Deserializer | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give the arguments of a job with what it takes from its workflow: no command where it takes nothing.

    Raises:
        DeserializationError: that cannot be read, or is gone.
    """
    if part.takes == "result":
        value = await read_value(client, part.workflow_id, part.number - 1, deserializer)
        return (value, *args), kwargs
    if part.takes == "results":
        return args, {**kwargs, "results": await read_values(client, part.workflow_id, part.number, deserializer)}
    return args, kwargs


def verdict(task: str, status: str, error: Any) -> str:
    """Say in words how a job has ended that did not end well."""
    if status != "cancelled":
        return f"{task} failed: {error_text(error)}"[:MAX_ERROR]
    return f"{task} was cancelled: {error}".removesuffix(": ")[:MAX_ERROR]


async def why_given_up(client: ArqRedis, workflow_ids: Collection[str]) -> dict[str, str]:
    """Say of each workflow which job has stopped it, and why: one round trip."""
    names = ["kind", "total", "culprit", "why"]
    async with client.pipeline(transaction=False) as pipe:
        for workflow_id in workflow_ids:
            pipe.hmget(keys.workflow(workflow_id), names)
        found = await pipe.execute()
    return {
        workflow_id: reason(workflow_id, *[value.decode() if value else None for value in stored])
        for workflow_id, stored in zip(workflow_ids, found, strict=True)
    }


def reason(workflow_id: str, kind: str | None, total: str | None, culprit: str | None, why: str | None) -> str:
    """Say the same, given what is stored."""
    if culprit is None or total is None:
        return why or "its workflow was cancelled"
    number, count = int(culprit), int(total)
    what = "step" if kind == "chain" else "member"
    place = f"{what} {number + 1} of {count}" if number < count else "callback"
    return f"{place}, job {keys.workflow_job(workflow_id, number)}: {why}"
