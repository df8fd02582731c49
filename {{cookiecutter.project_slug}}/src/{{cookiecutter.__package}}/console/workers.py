"""`workers`: who runs jobs, and telling them to rest or to end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from . import options as shared
from .acting import Done, act_on
from .groups import ListingGroup
from .output import Column, jsonable, print_json, print_table
from .running import fail, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..infrastructure.jobs import JobManager, WorkerRecord

COLUMNS: list[Column[WorkerRecord]] = [
    Column("id", lambda worker: worker.worker_id, whole=True),
    Column("host", lambda worker: worker.host, more=True),
    Column("process", lambda worker: worker.pid, more=True),
    Column("state", lambda worker: worker.state),
    Column("queues", lambda worker: worker.queues),
    Column("running", lambda worker: worker.running),
    Column("complete", lambda worker: worker.complete),
    Column("failed", lambda worker: worker.failed),
    Column("retried", lambda worker: worker.retried, spare=2),
    Column("lost", lambda worker: worker.lost, spare=3),
    Column("started", lambda worker: datetime.fromtimestamp(worker.started, UTC)),
    Column("release", lambda worker: worker.version, spare=1),
]

WorkerIds = Annotated[list[str] | None, typer.Argument(metavar="[WORKER_ID]...", autocompletion=completion.worker_ids)]
Everyone = Annotated[bool, typer.Option("--all", help="All that are alive now.")]

workers = typer.Typer(cls=ListingGroup, help="Workers: list, quiet, stop.")


@workers.command("list")
def list_workers(*, as_json: shared.AsJson = False) -> None:
    """List workers that are alive, and what each has done since it was started."""
    found = look(lambda manager: manager.list_workers())
    if as_json:
        print_json({"workers": [described(worker) for worker in found]})
        return
    print_table(COLUMNS, found, nothing="no worker is alive")


@workers.command()
def quiet(worker_ids: WorkerIds = None, *, everyone: Everyone = False, as_json: shared.AsJson = False) -> None:
    """Let workers finish what they run, start nothing more, and live on; that is not undone but by a restart."""

    async def act(manager: JobManager, worker_id: str) -> Done:
        await manager.quiet_worker(worker_id)
        return Done(f"{worker_id} is told to start nothing more")

    act_on(_chosen(worker_ids, everyone=everyone), "worker.quiet", act, as_json=as_json)


@workers.command()
def stop(worker_ids: WorkerIds = None, *, everyone: Everyone = False, as_json: shared.AsJson = False) -> None:
    """Let workers end as SIGTERM does: they finish what they can, and hand the rest back."""

    async def act(manager: JobManager, worker_id: str) -> Done:
        await manager.stop_worker(worker_id)
        return Done(f"{worker_id} is told to end")

    act_on(_chosen(worker_ids, everyone=everyone), "worker.stop", act, as_json=as_json)


def described(worker: WorkerRecord) -> dict[str, Any]:
    """Give a worker as JSON has it: with times as times."""
    times = {name: datetime.fromtimestamp(getattr(worker, name), UTC) for name in ("started", "seen")}
    return {**jsonable(worker), **jsonable(times)}


def _chosen(worker_ids: Sequence[str] | None, *, everyone: bool) -> Sequence[str]:
    if bool(worker_ids) == everyone:
        raise typer.BadParameter("give the ids of workers, or --all")
    if not everyone:
        return worker_ids or ()
    found = [worker.worker_id for worker in look(lambda manager: manager.list_workers())]
    return found or fail("no worker is alive")
