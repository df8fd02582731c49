"""Acting on all jobs, or dead letters, that filters choose: counted, confirmed, done with a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import typer

from .acting import confirm
from .output import counted, is_terminal, print_json, print_line, progress_bar
from .running import Status, fail, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..infrastructure.jobs import BulkResult, JobManager

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415


def one_or_all(named: Sequence[str] | None, *, everything: bool, filters: dict[str, Any]) -> None:
    """Refuse a call that names something and all of it, or neither.

    Args:
        named: ids.
        everything: whether all that the filters choose are meant.
        filters: those that were given, by the names of their options.
    """
    given = [name for name, value in filters.items() if value]
    if named and everything:
        raise typer.BadParameter("give ids, or --all, but not both")
    if not named and not everything:
        raise typer.BadParameter("give an id, or --all with options that choose")
    if given and not everything:
        raise typer.BadParameter(f"--{given[0]} goes with --all only".replace("_", "-"))


def act_on_all(
    action: str, *, ask: str, filters: dict[str, Any], yes: bool, dry_run: bool, as_json: bool, terminate: bool = False
) -> NoReturn:
    """Count what is meant, ask, act on it, and end the command.

    Exit status 1: some stayed as they are, since they cannot be replayed, or a worker has begun them.

    Args:
        action: of `BulkAction`.
        ask: the question, with `{}` for "12 jobs".
        filters: see `JobManager.bulk`.
        yes: do not ask.
        dry_run: only count.
        as_json: print what the manager gives as JSON.
        terminate: end those that run, too.
    """
    wanted: dict[str, Any] = {**filters, "limit": None, "terminate": terminate}
    result = run(lambda manager: manager.bulk(action, dry_run=True, **wanted))
    if result.done and not dry_run:
        confirm(ask.format(counted(result.done)), yes=yes)
        given = {name: value for name, value in filters.items() if value}
        details = {"filter": given, "terminate": True} if terminate else {"filter": given}
        with progress_bar(action, result.done) as show:
            result = run(lambda manager: _act(manager, action, details, progress=show, **wanted))
    _tell(result, as_json=as_json, dry_run=dry_run)
    if result.refused:
        fail(f"{counted(result.refused)} cannot be helped: unreplayable, or begun by a worker")
    raise typer.Exit(Status.DONE)


async def _act(manager: JobManager, action: str, details: dict[str, Any], **wanted: Any) -> BulkResult:
    from ..infrastructure.audit import audited, cli_actor

    async with audited(cli_actor(), f"jobs.{action}", **details) as entry:
        result = await manager.bulk(action, **wanted)
        entry.details |= {"matched": result.matched, "done": result.done, "refused": result.refused}
    return result


def _tell(result: BulkResult, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json(result)
    elif is_terminal():
        typer.echo(f"{'it would be done' if dry_run else 'done'} with {result.done:,} of {counted(result.matched)}")
    else:
        print_line(result.done)
