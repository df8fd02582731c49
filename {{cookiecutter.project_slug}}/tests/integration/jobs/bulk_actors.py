"""What test_bulk.py runs as processes of their own: `python -m integration.jobs.bulk_actors ACTION`.

It says each time how many jobs it is done with.
"""

from __future__ import annotations

import asyncio
import os
import sys

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    ArqQueueBackend,
    JobManager,
    TaskPool,
    parse_redis_url,
)


async def act(action: str) -> None:
    """Do that with all that can be done."""
    pool = TaskPool.from_settings(parse_redis_url(os.environ["REDIS_URL"]))
    async with JobManager(ArqQueueBackend(pool)) as manager:
        print(await manager.bulk(action, progress=lambda done: print(f"done {done}.")))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(act(sys.argv[1]))
