"""A worker that is killed while it puts a newsletter on its way: `arq integration.reports.dying.SETTINGS`."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from {{ cookiecutter.__package }}.infrastructure.tasks import get_redis_settings
from {{ cookiecutter.__package }}.reports.newsletter import service, tasks
from {{ cookiecutter.__package }}.reports.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Copies that it has taken to enqueue by then, after some pages and round trips.
DEATH = 130
service.PAGE = 40
tasks.TOGETHER = 50

subscriber_ids = service.subscriber_ids


async def die_halfway(**kwargs: Any) -> AsyncIterator[int]:
    number = 0
    async for user_id in subscriber_ids(**kwargs):
        number += 1
        if number == DEATH:
            os.kill(os.getpid(), signal.SIGKILL)
        yield user_id


service.subscriber_ids = die_halfway
#: One job at a time: it sends no copies itself.
SETTINGS = {"functions": TASKS, "redis_settings": get_redis_settings(), "max_jobs": 1, "lease": 1}
