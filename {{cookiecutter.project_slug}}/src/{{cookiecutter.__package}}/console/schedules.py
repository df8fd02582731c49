"""`schedules`: tasks that are enqueued at certain times, or again and again."""

from __future__ import annotations

from datetime import timedelta  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from . import options as shared
from .acting import Done, act_on, confirm, hidden
from .groups import ListingGroup, examples
from .inputs import duration, named, priority_of, value
from .output import Column, jsonable, plain, print_json, print_table, shown
from .running import look, run

if TYPE_CHECKING:
    from ..infrastructure.jobs import JobManager, ScheduleRecord

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415

COLUMNS: list[Column[ScheduleRecord]] = [
    Column("name", lambda schedule: schedule.id),
    Column("task", lambda schedule: schedule.task),
    Column("schedule", lambda schedule: schedule.schedule),
    Column("zone", lambda schedule: schedule.timezone, spare=3),
    Column("next", lambda schedule: schedule.next_run),
    Column("last", lambda schedule: schedule.last_run, spare=1),
    Column("last job", lambda schedule: schedule.last_job_id, more=True),
    Column("paused", lambda schedule: schedule.paused),
    Column("in code", lambda schedule: schedule.from_code, spare=2),
]

Names = Annotated[list[str], typer.Argument(metavar="NAME...", autocompletion=completion.schedule_ids)]

schedules = typer.Typer(cls=ListingGroup, help="Schedules: list, add, pause, resume, run, remove.")


@schedules.command("list")
def list_schedules(*, as_json: shared.AsJson = False) -> None:
    """List schedules, the next one first, those that are paused last."""
    if as_json:
        print_json({"schedules": run(_described)})
        return
    print_table(COLUMNS, look(lambda manager: manager.list_scheduled()), nothing="no schedules")


async def _described(manager: JobManager) -> list[dict[str, Any]]:
    found = await manager.list_scheduled()
    return [{**jsonable(each), **await hidden(manager, each.task, each.args, each.kwargs)} for each in found]


@schedules.command(
    epilog=examples(
        'schedules add example_task message=morning --cron "0 9 * * *" --name daily --timezone Europe/Berlin',
        "schedules add cleanup_expired_sessions --every 30m",
    )
)
def add(
    task: Annotated[str, typer.Argument(help="Its name.", autocompletion=completion.task_names)],
    arguments: shared.Arguments = None,
    *,
    cron: Annotated[str | None, typer.Option(help="Five fields: minute, hour, day, month, weekday.")] = None,
    every: Annotated[timedelta | None, typer.Option(parser=duration, metavar="TIME", help="90s, 5m, 2h.")] = None,
    name: Annotated[str, typer.Option(help="What to call it; else as the task.")] = "",
    timezone: Annotated[str, typer.Option(help="Whose clock --cron means.")] = "UTC",
    misfire: Annotated[str, typer.Option(help="What becomes of missed ticks: skip, run_once, run_all.")] = "run_once",
    overlap: Annotated[bool, typer.Option(help="Whether to run while the last run has not ended.")] = True,
    args: shared.Positional = None,
    queue: shared.IntoQueue = None,
    priority: shared.Priority = None,
    as_json: shared.AsJson = False,
) -> None:
    """Add a schedule; one of the same name is changed."""
    call: dict[str, Any] = {"args": tuple(map(value, args or ())), "kwargs": named(arguments or ())}
    options: dict[str, Any] = {
        "cron": cron,
        "interval": every,
        "timezone": timezone,
        "misfire": misfire,
        "overlap": overlap,
        "queue": queue,
        "priority": priority_of(priority),
    }

    async def act(manager: JobManager, schedule_id: str) -> Done:
        from ..infrastructure.jobs import Schedule, Schedules

        record = await Schedules(await manager.connect()).add(Schedule(task, schedule_id, **call, **options))
        return Done(
            f"{record.id}: {record.schedule}, next {shown(record.next_run, precise=True)}",
            {"next_run": plain(record.next_run) or None},
        )

    async def describe(manager: JobManager, _schedule_id: str) -> dict[str, Any]:
        from ..infrastructure.jobs.registry import checked_name

        return await hidden(manager, checked_name((await manager.connect()).registry, task, **call), **call)

    details = {name: option for name, option in options.items() if option is not None}
    act_on([name or task], "schedule.add", act, as_json=as_json, describe=describe, task=task, **details)


@schedules.command()
def pause(names: Names, *, as_json: shared.AsJson = False) -> None:
    """Let the ticks of schedules go by until they are resumed."""

    async def act(manager: JobManager, name: str) -> Done:
        await manager.pause_schedule(name)
        return Done(f"{name} is paused", {"paused": True})

    act_on(names, "schedule.pause", act, as_json=as_json)


@schedules.command()
def resume(names: Names, *, as_json: shared.AsJson = False) -> None:
    """Let schedules go on with their next tick."""

    async def act(manager: JobManager, name: str) -> Done:
        await manager.resume_schedule(name)
        return Done(f"{name} goes on", {"paused": False})

    act_on(names, "schedule.resume", act, as_json=as_json)


@schedules.command("run")
def run_now(names: Names, *, as_json: shared.AsJson = False) -> None:
    """Enqueue a job for schedules at once; their next tick comes all the same."""

    async def act(manager: JobManager, name: str) -> Done:
        job_id = await manager.run_now(name)
        sentence = f"{name} runs as {job_id}" if job_id else f"{name}: the same job is there, and its task is unique"
        return Done(sentence, {"job_id": job_id})

    act_on(names, "schedule.run", act, as_json=as_json)


@schedules.command()
def remove(names: Names, *, yes: shared.Yes = False, as_json: shared.AsJson = False) -> None:
    """Remove schedules; jobs that were enqueued for them stay. Those that stand in code can be paused only."""
    confirm(f"Remove {', '.join(names)}?", yes=yes)

    async def act(manager: JobManager, name: str) -> Done:
        from ..infrastructure.jobs import ScheduleNotFoundError

        if not await manager.unschedule(name):
            raise ScheduleNotFoundError(name)
        return Done(f"{name} is removed")

    act_on(names, "schedule.remove", act, as_json=as_json)
