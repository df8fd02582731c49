"""What the worker processes of test_idempotency.py run: `arq integration.jobs.chargers.SETTINGS`.

The effect is a line in a file, which is there whatever becomes of Redis or of the process.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from {{ cookiecutter.__package }}.infrastructure.jobs import parse_redis_url
from {{ cookiecutter.__package }}.infrastructure.jobs.idempotency import once


def note(variable: str, line: str) -> int:
    """Add a line to the file that a variable of the environment names; give how many there were before."""
    with Path(os.environ[variable]).open("a+") as lines:
        lines.seek(0)
        before = len(lines.readlines())
        lines.write(f"{line}\n")
    return before


async def charge(key: str, amount: int) -> dict[str, Any]:
    """Stand for somebody else's service, which notes what it is asked for."""
    return {"amount": amount, "receipt": note("CHARGES", key)}


async def charges(ctx: dict[str, Any], *ends: str) -> Any:
    """Charge once; each run ends where `ends` says, or well."""
    run = note("RUNS", ctx["job_id"])
    end = dict(enumerate(ends)).get(run)
    die_at(end, "before")
    async with once(ctx, "charge") as effect:
        note("SEEN", f"{effect.first} {effect.uncertain}")
        die_at(end, "begun")
        if effect.first:
            effect.value = await charge(effect.idempotency_key, 7)
        die_at(end, "acted")
    die_at(end, "recorded")
    return effect.value


def die_at(end: str | None, point: str) -> None:
    if end == point:
        os._exit(1)
    if end == f"{point}, raises":
        raise RuntimeError(point)


async def hesitates(ctx: dict[str, Any], gate: str) -> Any:
    """Charge once; the first run waits for a file before it does."""
    if note("RUNS", ctx["job_id"]) == 0:
        while not os.path.exists(gate):  # noqa: ASYNC240, PTH110 - another process makes it
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                break  # as if nobody had told it that its lease is lost
    return await once(ctx, "charge")(charge)(ctx["job_id"], 7)


SETTINGS: dict[str, Any] = {
    "redis_settings": parse_redis_url(os.environ.get("REDIS_URL", "redis://localhost:6379")),
    "functions": [charges, hesitates],
    "lease": 1,
    "max_tries": 3,
    "retry_delay": 0,
    "allow_no_persistence": True,
}
