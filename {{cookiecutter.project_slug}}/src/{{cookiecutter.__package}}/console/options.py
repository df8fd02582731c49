"""Options and arguments that several commands share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from . import completion
from .inputs import duration, moment

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")]
All = Annotated[bool, typer.Option("--all", help="All that the other options choose.")]

Task = Annotated[
    str | None, typer.Option(help="Only of this task.", metavar="NAME", autocompletion=completion.task_names)
]
Queue = Annotated[
    str | None, typer.Option(help="Only of this queue.", metavar="NAME", autocompletion=completion.queue_names)
]
Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        help="Only if pending, scheduled, running, retrying, success, failed, cancelled.",
        metavar="STATUS",
        autocompletion=completion.statuses,
    ),
]
Causes = Annotated[
    list[str] | None,
    typer.Option(
        "--cause",
        help="Only by exception, timeout, lost_worker, unknown_task, expired, undecodable.",
        metavar="CAUSE",
        autocompletion=completion.causes,
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="TIME", help="No earlier: 2026-11-21T09:30, or 2h for two hours ago."),
]
Until = Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help="Earlier than that.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where a list has stopped, as its JSON says.", metavar="TEXT")]

#: What a new job or schedule is given.
Arguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=VALUE]...", help="Named arguments: as JSON where that can be read, else as text."),
]
Positional = Annotated[
    list[str] | None, typer.Option("--arg", metavar="VALUE", help="A positional argument; may be given again.")
]
IntoQueue = Annotated[
    str | None,
    typer.Option(
        "--queue", metavar="NAME", help="The queue; else as the task says.", autocompletion=completion.queue_names
    ),
]
Priority = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="low, normal, high or critical; else as the task says.",
        autocompletion=completion.priorities,
    ),
]
Delay = Annotated[
    timedelta | None, typer.Option(parser=duration, metavar="TIME", help="Run it after so long: 90s, 5m, 2h.")
]
