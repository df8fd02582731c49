"""Background work of the reports slice."""

from __future__ import annotations

from typing import Any

from .cleanup import tasks as cleanup
from .daily import tasks as daily
from .exports import tasks as exports
from .newsletter import tasks as newsletter

TASKS: list[Any] = [
    *daily.TASKS,
    *newsletter.TASKS,
    *exports.TASKS,
    *cleanup.TASKS,
]
SCHEDULES = [
    *daily.SCHEDULES,
    *cleanup.SCHEDULES,
]
