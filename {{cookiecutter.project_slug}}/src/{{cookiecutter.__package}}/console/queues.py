"""`queues`: what waits where, and whether it may be started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from . import options as shared
from .acting import Done, act_on, confirm
from .groups import ListingGroup, examples
from .lists import seconds
from .output import Column, counted, jsonable, print_json, print_table, progress_bar
from .running import fail, look

if TYPE_CHECKING:
    from ..infrastructure.jobs import JobManager, QueueRecord

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415

COLUMNS: list[Column[QueueRecord]] = [
    Column("queue", lambda queue: queue.name),
    Column("waiting", lambda queue: queue.waiting),
    Column("scheduled", lambda queue: queue.scheduled),
    Column("parked", lambda queue: queue.parked),
    Column("running", lambda queue: queue.running),
    Column("oldest", lambda queue: seconds(queue.age)),
    Column("a minute", lambda queue: queue.rate),
    Column("paused", lambda queue: queue.paused),
]

Names = Annotated[list[str], typer.Argument(metavar="NAME...", autocompletion=completion.queue_names)]
Name = Annotated[str, typer.Argument(autocompletion=completion.queue_names)]

queues = typer.Typer(cls=ListingGroup, help="Queues: list, pause, resume, purge.")


@queues.command("list")
def list_queues(*, as_json: shared.AsJson = False) -> None:
    """List queues: jobs that are due, that wait for their time or for a limit, that run, and that end in a minute.

    `oldest` says for how long the oldest job has been due.
    """
    found = look(lambda manager: manager.list_queues())
    if as_json:
        print_json({"queues": [described(queue) for queue in found]})
        return
    print_table(COLUMNS, found, nothing="no queues")


@queues.command()
def pause(names: Names, *, as_json: shared.AsJson = False) -> None:
    """Start nothing more of a queue, on no worker; what runs goes on, and new jobs wait."""

    async def act(manager: JobManager, name: str) -> Done:
        await manager.pause(name)
        return Done(f"{name} is paused", {"paused": True})

    act_on(names, "queue.pause", act, as_json=as_json)


@queues.command()
def resume(names: Names, *, as_json: shared.AsJson = False) -> None:
    """Let a paused queue go on, at once."""

    async def act(manager: JobManager, name: str) -> Done:
        await manager.resume(name)
        return Done(f"{name} goes on", {"paused": False})

    act_on(names, "queue.resume", act, as_json=as_json)


@queues.command(epilog=examples("queues purge emails --yes"))
def purge(name: Name, *, yes: shared.Yes = False, as_json: shared.AsJson = False) -> None:
    """Cancel all jobs that wait in a queue; those that run go on. Exit status 1: there is no such queue."""
    known = {queue.name: queue for queue in look(lambda manager: manager.list_queues())}
    if name not in known:
        fail(f"no queue is called {name!r}: it has had no job in the last day")
    depth = known[name].depth
    if depth:
        confirm(f"Cancel {counted(depth)} waiting in {name}?", yes=yes)
    with progress_bar(name, depth) as show:

        async def act(manager: JobManager, queue: str) -> Done:
            from ..infrastructure.jobs import Queues

            gone = await Queues(await manager.connect()).purge(queue, progress=show)
            return Done(f"{counted(gone)} cancelled", {"cancelled": gone})

        act_on([name], "queue.purge", act, as_json=as_json)


def described(queue: QueueRecord) -> dict[str, Any]:
    """Give a queue as JSON has it: with its depth."""
    return {**jsonable(queue), "depth": queue.depth}
