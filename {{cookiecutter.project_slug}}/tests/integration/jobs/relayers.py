"""A process that publishes the outbox once, and is killed at the point that its argument names; for test_outbox.py."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool
from {{ cookiecutter.__package }}.infrastructure.tasks import get_outbox


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_around(owner: Any, name: str, *, after: bool) -> None:
    """Let the process be killed right before this method runs, or right after."""
    method = getattr(owner, name)

    async def deadly(*args: Any, **kwargs: Any) -> None:
        if after:
            await method(*args, **kwargs)
        die()

    setattr(owner, name, deadly)


POINTS = {
    "taken, not sent": lambda: die_around(TaskPool, "send", after=False),
    "sent, not committed": lambda: die_around(AsyncConnection, "commit", after=False),
    "committed": lambda: die_around(AsyncConnection, "commit", after=True),
}


async def publish() -> None:
    await get_outbox().relay.publish()


if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    asyncio.run(publish())
