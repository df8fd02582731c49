"""All commands of this layer side by side, for the project's own command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .dead import dead
from .enqueue import enqueue
from .figures import audit, overview
from .groups import examples
from .jobs import jobs
from .queues import queues
from .schedules import schedules
from .workers import workers

if TYPE_CHECKING:
    from collections.abc import Callable

#: Their place in `--help`.
PANEL = "Jobs"

commands = typer.Typer()
for name, group in {"jobs": jobs, "dead": dead, "queues": queues, "schedules": schedules, "workers": workers}.items():
    commands.add_typer(group, name=name, rich_help_panel=PANEL)
CALLS: dict[Callable[..., None], list[str]] = {
    enqueue: [
        "enqueue example_task message=hello seconds=2 --wait",
        "enqueue example_task --arg hello --delay 5m --priority low",
    ],
    overview: ["overview --json"],
    audit: ["audit --action job.retry --since 7d"],
}
for command, calls in CALLS.items():
    commands.command(rich_help_panel=PANEL, epilog=examples(*calls))(command)
