"""Commands of billing."""

from __future__ import annotations

from typing import Annotated

import typer

# What a command needs is imported inside it: the command line has to start fast.
# ruff: noqa: PLC0415

commands = typer.Typer(no_args_is_help=True, help="Memberships and orders.")


@commands.command()
def remind() -> None:
    """Remind users whose membership ends soon, once for each of its ends; exit status 1 if some could not be."""
    from ..infrastructure.database import run_command
    from .memberships import send_reminders

    reminders = run_command(send_reminders())
    typer.echo(f"{reminders.sent} reminded")
    if reminders.refused or reminders.postponed:
        line = f"{reminders.refused} cannot be reached, {reminders.postponed} are left for the next time; see the log"
        typer.echo(line, err=True)
        raise typer.Exit(1)


@commands.command()
def refund(
    stalled: Annotated[
        int | None, typer.Option(min=1, help="First give up orders that have not changed for so many minutes.")
    ] = None,
) -> None:
    """Give back what is still owed for orders that have come to nothing; exit status 1 if some of it still is."""
    from datetime import timedelta

    from ..infrastructure.database import run_command
    from .orders import refund_all

    refunds = run_command(refund_all(stalled=timedelta(minutes=stalled) if stalled else None))
    typer.echo(f"{refunds.done} orders settled")
    if refunds.postponed:
        typer.echo(f"{refunds.postponed} are left for the next time: the provider does not answer", err=True)
        raise typer.Exit(1)
