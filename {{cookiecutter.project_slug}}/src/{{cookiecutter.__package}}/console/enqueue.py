"""`enqueue`: making a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from . import options as shared
from .acting import hidden
from .inputs import named, priority_of, value
from .output import print_json
from .running import fail, run
from .watching import end_as, watch_to_end

if TYPE_CHECKING:
    from ..infrastructure.jobs import JobManager, JobRecord

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415


def enqueue(
    task: Annotated[str, typer.Argument(help="Its name.", autocompletion=completion.task_names)],
    arguments: shared.Arguments = None,
    *,
    args: shared.Positional = None,
    queue: shared.IntoQueue = None,
    priority: shared.Priority = None,
    delay: shared.Delay = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it to its end, as `jobs watch` does.")] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Enqueue a job, and print its id. Exit status 1: the task is unique, and the same job is there."""
    positional, keywords = tuple(map(value, args or ())), named(arguments or ())
    options = {"queue": queue, "priority": priority_of(priority), "defer_by": delay}
    given = {name: option for name, option in options.items() if option is not None}
    job_id = run(lambda manager: _enqueue(manager, task, positional, keywords, **given))
    if job_id is None:
        fail(f"{task} is unique, and the same job is there")
    if not wait:
        print_json({"job_id": job_id}) if as_json else typer.echo(job_id)
        return
    if not as_json:
        typer.echo(job_id)
    record = watch_to_end(job_id, _say_nothing if as_json else None)
    if as_json:
        print_json(record)
    end_as(record, quiet=as_json)


async def _enqueue(
    manager: JobManager, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any
) -> str | None:
    from ..infrastructure.audit import audited, cli_actor
    from ..infrastructure.jobs.registry import checked_name

    pool = await manager.connect()  # nothing is run in place while Redis is away: that would be in this terminal
    name = checked_name(pool.registry, task, args, kwargs)
    shown = await hidden(manager, name, args, kwargs)
    async with audited(cli_actor(), "job.enqueue", name, **shown, **options) as entry:
        job_id = await pool.enqueue(name, args, kwargs, **options)
        entry.details["job_id"] = job_id
    return job_id


def _say_nothing(_record: JobRecord) -> None: ...
