"""Acting on what was named: asking first where it cannot be undone, an entry of the audit log for each."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from .output import clean, is_terminal, print_json, print_line
from .running import Status, complain, explain, fail, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ..infrastructure.jobs import JobManager

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415


@dataclass(frozen=True, slots=True)
class Done:
    """What came of acting on one thing."""

    #: For people.
    sentence: str
    #: For programs, and the audit log.
    fields: dict[str, Any] = field(default_factory=dict)


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless `yes`; end the command where the answer is no, or where there is nobody to ask."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        fail(f"{question} There is no terminal to ask on; --yes says yes", Status.BAD_INPUT)
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C, or the end of what is typed
        raise typer.Exit(Status.INTERRUPTED) from None
    if not agreed:
        fail("nothing is done")


def act_on(
    targets: Iterable[str],
    action: str,
    act: Callable[[JobManager, str], Awaitable[Done]],
    *,
    as_json: bool,
    describe: Callable[[JobManager, str], Awaitable[dict[str, Any]]] | None = None,
    **details: Any,
) -> None:
    """Act on each target, and print what came of it; one that is refused does not keep the others from their turn.

    Args:
        targets: names or ids.
        action: what the audit log calls it, such as `job.retry`.
        act: does it.
        as_json: print one JSON document, `{"done": [...], "failed": [...]}`.
        describe: gives more details for the audit log, where they differ or have secrets among arguments.
        details: for the audit log.
    """
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []

    async def work(manager: JobManager) -> Status:
        from ..infrastructure.audit import audited, cli_actor

        worst = Status.DONE
        for target in dict.fromkeys(targets):
            try:
                more = await describe(manager, target) if describe else {}
                async with audited(cli_actor(), action, target, **details, **more) as entry:
                    outcome = await act(manager, target)
                    entry.details.update(outcome.fields)
            except Exception as error:
                status, problem = explain(error)
                if status not in {Status.REFUSED, Status.BAD_INPUT}:
                    raise
                complain(problem)
                failed.append({"id": clean(target), "problem": clean(problem)})
                worst = max(worst, status)
            else:
                done.append({"id": target, **outcome.fields})
                if not as_json:
                    _tell(target, outcome)
        return worst

    status = Status.UNAVAILABLE
    try:
        status = run(work)
    finally:
        if as_json and (done or failed):
            print_json({"done": done, "failed": failed})
    raise typer.Exit(status)


async def hidden(manager: JobManager, task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Give the arguments of a task as `args` and `kwargs`, with the secrets hidden, those given by position too."""
    return dict(zip(("args", "kwargs"), await manager.masked(task, args, kwargs), strict=True))


def _tell(target: str, outcome: Done) -> None:
    if is_terminal():
        typer.echo(outcome.sentence)
    else:
        print_line(target, *outcome.fields.values())
