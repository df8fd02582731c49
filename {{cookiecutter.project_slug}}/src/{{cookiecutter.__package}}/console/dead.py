"""`dead`: jobs whose last try has failed, which are kept to be run again or thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from . import options as shared  # noqa: TC001 - typer reads it at run time
from .acting import Done, act_on, confirm
from .groups import ListingGroup, examples
from .jobs import DeadIds, retry
from .lists import DEAD_LETTERS, collect, tell_more
from .many import act_on_all, one_or_all
from .output import print_json, print_table
from .running import look, run

if TYPE_CHECKING:
    from ..infrastructure.jobs import JobManager

dead = typer.Typer(cls=ListingGroup, help="Dead letters, jobs that have failed for good: list, replay, discard.")


@dead.command("list", epilog=examples("dead list --task send_email --since 1d"))
def list_dead(
    *,
    task: shared.Task = None,
    queue: shared.Queue = None,
    cause: shared.Causes = None,
    since: shared.Since = None,
    until: shared.Until = None,
    limit: shared.Limit = 50,
    cursor: shared.Cursor = None,
    as_json: shared.AsJson = False,
) -> None:
    """List dead letters, the latest first; --since and --until are about when they died."""
    filters = _filters(task, queue, cause=cause, since=since, until=until)
    read = run if as_json else look  # JSON has the arguments, and only who knows the task knows which are secret
    found, rest = read(lambda manager: collect(manager.list_dead_letters, limit=limit, cursor=cursor, filters=filters))
    if as_json:
        print_json({"dead_letters": found, "cursor": rest})
        return
    print_table(DEAD_LETTERS, found, nothing="no dead letters")
    tell_more(rest)


dead.command(
    "replay",
    epilog=examples(
        "dead replay 18ea46051a6f788517943ebb4c546e12", "dead replay --all --task send_email --since 1d --dry-run"
    ),
)(retry)


@dead.command(epilog=examples("dead discard 18ea46051a6f788517943ebb4c546e12", "dead discard --all --until 30d --yes"))
def discard(
    job_ids: DeadIds = None,
    *,
    everything: shared.All = False,
    task: shared.Task = None,
    queue: shared.Queue = None,
    cause: shared.Causes = None,
    since: shared.Since = None,
    until: shared.Until = None,
    yes: shared.Yes = False,
    dry_run: shared.DryRun = False,
    as_json: shared.AsJson = False,
) -> None:
    """Throw dead letters away for good, or with --all those that the options choose."""
    filters = _filters(task, queue, cause=cause, since=since, until=until)
    one_or_all(job_ids, everything=everything, filters={**filters, "dry-run": dry_run})
    if everything:
        act_on_all("discard", ask="Throw {} away?", filters=filters, yes=yes, dry_run=dry_run, as_json=as_json)
    confirm(f"Throw away {', '.join(job_ids or ())}?", yes=yes)
    act_on(job_ids or (), "job.discard", _discard, as_json=as_json)


async def _discard(manager: JobManager, job_id: str) -> Done:
    await manager.discard(job_id)
    return Done(f"{job_id} is thrown away")


def _filters(task: str | None, queue: str | None, **more: Any) -> dict[str, Any]:
    return {"task": task, "queue": queue, **{name: value or None for name, value in more.items()}}
