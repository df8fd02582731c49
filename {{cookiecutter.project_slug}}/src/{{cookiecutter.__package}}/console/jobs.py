"""`jobs`: looking at jobs, watching them, running them again, ending them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from . import options as shared
from .acting import Done, act_on, confirm, hidden
from .details import print_details
from .groups import ListingGroup, examples
from .inputs import named, value
from .lists import JOBS, collect, tell_more
from .many import act_on_all, one_or_all
from .output import jsonable, print_json, print_json_line, print_table
from .running import fail, look, run
from .watching import end_as, watch_to_end

if TYPE_CHECKING:
    from ..infrastructure.jobs import JobManager

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415

JobId = Annotated[str, typer.Argument(help="Its id.", autocompletion=completion.job_ids)]
JobIds = Annotated[list[str] | None, typer.Argument(metavar="[JOB_ID]...", autocompletion=completion.job_ids)]
DeadIds = Annotated[list[str] | None, typer.Argument(metavar="[JOB_ID]...", autocompletion=completion.dead_ids)]

jobs = typer.Typer(cls=ListingGroup, help="Jobs: list, show, watch, retry, cancel.")


@jobs.command(
    "list", epilog=examples("jobs list --status failed --since 2h", "jobs list --task send_email --queue emails -n 500")
)
def list_jobs(
    *,
    status: shared.Statuses = None,
    task: shared.Task = None,
    queue: shared.Queue = None,
    since: shared.Since = None,
    until: shared.Until = None,
    limit: shared.Limit = 50,
    cursor: shared.Cursor = None,
    as_json: shared.AsJson = False,
) -> None:
    """List jobs: those that wait or run, then those that have ended, the latest first."""
    filters: dict[str, Any] = {"status": status or None, "task": task, "queue": queue, "since": since, "until": until}
    records, rest = look(lambda manager: collect(manager.list_jobs, limit=limit, cursor=cursor, filters=filters))
    if as_json:
        print_json({"jobs": [{**jsonable(job), "duration": job.duration} for job in records], "cursor": rest})
        return
    print_table(JOBS, records, nothing="no jobs")
    tell_more(rest)


@jobs.command()
def show(job_id: JobId, *, as_json: shared.AsJson = False) -> None:
    """Show all that is known of a job, or of a chain or a group: its tries, arguments, error, and relatives."""
    details = run(lambda manager: manager.inspect(job_id))
    if details is None:
        fail(f"{job_id!r} is no job or workflow that is known; perhaps its result is no longer kept")
    if as_json:
        print_json(details)
    else:
        print_details(details)


@jobs.command()
def watch(
    job_id: JobId,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document a line for each change.")] = False,
) -> None:
    """Watch a job, a chain or a group to its end: exit status 0 if it succeeds, 1 if it fails or is cancelled.

    Ctrl-C ends the watching, not the job.
    """
    record = watch_to_end(job_id, print_json_line if as_json else None)
    end_as(record, quiet=as_json)


@jobs.command(
    epilog=examples(
        "jobs retry 18ea46051a6f788517943ebb4c546e12 --set seconds=0",
        "jobs retry --all --task send_email --cause timeout --dry-run",
    )
)
def retry(
    job_ids: DeadIds = None,
    *,
    everything: shared.All = False,
    task: shared.Task = None,
    queue: shared.Queue = None,
    cause: shared.Causes = None,
    since: shared.Since = None,
    until: shared.Until = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a named argument; may be given again."),
    ] = None,
    args: shared.Positional = None,
    yes: shared.Yes = False,
    dry_run: shared.DryRun = False,
    as_json: shared.AsJson = False,
) -> None:
    """Run jobs that have failed again, each as a new job, or with --all those that the options choose."""
    filters = {"task": task, "queue": queue, "cause": cause or None, "since": since, "until": until}
    one_or_all(job_ids, everything=everything, filters={**filters, "dry-run": dry_run})
    if everything:
        if changes or args:
            raise typer.BadParameter("--set and --arg go with one id only")
        act_on_all("retry", ask="Run {} again?", filters=filters, yes=yes, dry_run=dry_run, as_json=as_json)
    edits = named(changes or ()), tuple(map(value, args)) if args else None
    if any(edits) and len(job_ids or ()) > 1:
        raise typer.BadParameter("--set and --arg go with one id only")

    async def act(manager: JobManager, job_id: str) -> Done:
        new = await _run_again(manager, job_id, *edits)
        return Done(f"{job_id} runs again as {new}", {"new_job_id": new})

    async def describe(manager: JobManager, job_id: str) -> dict[str, Any]:
        details = await manager.inspect(job_id) if any(edits) else None
        if details is None:
            return {}
        changed, positional = edits
        edited = await hidden(manager, details.job.task, positional or (), changed)
        return {name: values for name, values in edited.items() if values}

    act_on(job_ids or (), "job.retry", act, as_json=as_json, describe=describe)


async def _run_again(manager: JobManager, job_id: str, changes: dict[str, Any], args: tuple[Any, ...] | None) -> str:
    if not changes:
        return await manager.retry(job_id, args=args)
    details = await manager.inspect(job_id)  # a secret shows as a mask, which stands for the value that it hides
    kwargs = {**(details.job.kwargs if details else {}), **changes}
    return await manager.retry(job_id, args=args, kwargs=kwargs)


@jobs.command(
    epilog=examples(
        "jobs cancel 18ea46051a6f788517943ebb4c546e12 --terminate",
        "jobs cancel --all --task send_email --status scheduled",
    )
)
def cancel(
    job_ids: JobIds = None,
    *,
    everything: shared.All = False,
    status: shared.Statuses = None,
    task: shared.Task = None,
    queue: shared.Queue = None,
    since: shared.Since = None,
    until: shared.Until = None,
    terminate: Annotated[bool, typer.Option("--terminate", help="Those that run, too.")] = False,
    yes: shared.Yes = False,
    dry_run: shared.DryRun = False,
    as_json: shared.AsJson = False,
) -> None:
    """Cancel jobs that wait, chains and groups as a whole, or with --all the jobs that the options choose."""
    filters = {"status": status or None, "task": task, "queue": queue, "since": since, "until": until}
    one_or_all(job_ids, everything=everything, filters={**filters, "dry-run": dry_run})
    if everything:
        act_on_all(
            "cancel",
            ask="Cancel {}?",
            filters=filters,
            terminate=terminate,
            yes=yes,
            dry_run=dry_run,
            as_json=as_json,
        )
    if terminate:
        confirm(f"Cancel {', '.join(job_ids or ())}, even if running?", yes=yes)

    async def act(manager: JobManager, job_id: str) -> Done:
        from ..infrastructure.jobs import JobStatus

        record = await manager.end(job_id, terminate=terminate)
        sentence = f"{job_id} is {record.status}"
        if record.status is JobStatus.RUNNING:
            sentence += ", and its worker is about to end it"
        return Done(sentence, {"status": str(record.status)})

    act_on(job_ids or (), "job.cancel", act, as_json=as_json, terminate=terminate)
