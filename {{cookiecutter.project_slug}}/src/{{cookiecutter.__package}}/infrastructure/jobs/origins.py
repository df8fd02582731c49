"""Where a job comes from: the request that led to it, whose it is, and the job that it replays.

All three are texts that the engine passes on and does not interpret. Request and owner stand in structlog's context
variables, from where new jobs take them; while a job runs they are those of the job. So a job that another one enqueues
has the request and the owner of that one, and every line of the log tells them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

#: Names of the context variables.
CORRELATION_ID = "correlation_id"
OWNER = "owner"
#: Key in payloads and results -> field of a `JobRecord`.
FIELDS = {"c": "correlation_id", "o": "replay_of", "u": "owner"}


def current_owner() -> str | None:
    """Give the owner of the jobs that this code enqueues."""
    return structlog.contextvars.get_contextvars().get(OWNER)


def owned_by(owner: str) -> AbstractContextManager[None]:
    """Let jobs that are enqueued in the block belong to `owner`; empty: to nobody."""
    return structlog.contextvars.bound_contextvars(**{OWNER: owner})


def enter_origin(origin: Mapping[str, str]) -> None:
    """Take on request and owner of a job, in this asyncio task and its threads."""
    if origin:
        known = {FIELDS[key]: value for key, value in origin.items() if FIELDS[key] in {CORRELATION_ID, OWNER}}
        structlog.contextvars.bind_contextvars(**known)


def origin(
    *, correlation_id: str | None = None, replay_of: str | None = None, owner: str | None = None
) -> dict[str, str]:
    """Give what a payload says of where its job comes from.

    Args:
        correlation_id: by default that of the running request or job.
        replay_of: id of the first job, if this does the same again.
        owner: by default that of the running request or job; empty: nobody.
    """
    here = structlog.contextvars.get_contextvars()
    known = {
        "c": correlation_id or here.get(CORRELATION_ID),
        "o": replay_of,
        "u": here.get(OWNER) if owner is None else owner,
    }
    return {key: value for key, value in known.items() if value}


def read_origin(data: Mapping[str, Any]) -> dict[str, str]:
    """Read it back from a payload or a result, in the form that both have."""
    return {key: data[key] for key in FIELDS if data.get(key)}


def origin_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Read it back from a payload or a result, as fields of a `JobRecord`."""
    return {field: data.get(key) for key, field in FIELDS.items()}
