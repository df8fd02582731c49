"""Commands of the reports slice: each does its work in place, before it ends."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from datetime import datetime  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from .exports.commands import export

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What a command needs is imported inside it: a health check runs every few seconds and has to start fast.
# ruff: noqa: PLC0415

commands = typer.Typer(no_args_is_help=True, help="Make reports, send newsletters, export data, and clean up.")
commands.command()(export)


@commands.command()
def daily(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day in UTC; yesterday, unless given.")
    ] = None,
) -> None:
    """Write the report of a day, and mail it to the admins unless that has been done."""
    from datetime import UTC, datetime

    from ..infrastructure.database import run_command
    from .daily import service

    of = day.date() if day else service.day_before(datetime.now(UTC))
    try:
        report, problems = run_command(service.report_in_place(of))
    except service.UnreportableDayError as error:
        raise typer.BadParameter(str(error), param_hint="--day") from None
    mailed = [to for to, problem in problems.items() if problem is None]
    for to, problem in problems.items():
        if problem:
            typer.echo(f"{to}: {problem}", err=True)
    typer.echo(service.compose(report).text.strip())
    typer.echo(f"Mailed to: {', '.join(mailed) or 'nobody'}.")
    raise typer.Exit(1 if len(mailed) < len(problems) else 0)


@commands.command()
def clean_up() -> None:
    """Delete what has been kept for as long as REPORTS_KEEP_..._DAYS say; it may be broken off and run again."""
    from ..infrastructure.database import run_command
    from .cleanup.service import delete_old

    with progress_bar() as show:
        deleted = run_command(delete_old(progress=lambda kind, number: show(kind, number, None)))
    for kind, number in deleted.items():
        typer.echo(f"{kind.replace('_', ' ')}: {number} deleted")


@commands.command()
def newsletter(
    subject: Annotated[str, typer.Argument(help="One line.")],
    body_file: Annotated[typer.FileText, typer.Argument(encoding="utf-8", help="The text; - for standard input.")],
) -> None:
    """Send a newsletter to all subscribers; the same command again goes on where it was broken off."""
    from pydantic import ValidationError

    from ..infrastructure.database import run_command
    from .newsletter.in_place import MailServerError, send_in_place
    from .newsletter.schemas import NewsletterCreate

    try:
        new = NewsletterCreate(subject=subject, body=body_file.read())
    except UnicodeError:
        raise typer.BadParameter(f"{body_file.name} is no text in UTF-8", param_hint="BODY_FILE") from None
    except ValidationError as error:
        wrong = error.errors()[0]
        raise typer.BadParameter(wrong["msg"], param_hint=str(wrong["loc"][0])) from None
    with progress_bar() as show:
        sending = send_in_place(
            subject=new.subject, body=new.body, progress=lambda done, total: show("Newsletter", done, total)
        )
        try:
            result = run_command(sending)
        except MailServerError as error:
            raise SystemExit(str(error)) from None
    for to, problem in result.failed.items():
        typer.echo(f"{to}: {problem}", err=True)
    typer.echo(f"newsletter {result.newsletter_id}: {result.sent} sent, {len(result.failed)} failed")
    raise typer.Exit(1 if result.failed else 0)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how far something is, on a terminal only; what is given is called with what, how many, and of how many."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, disable=not sys.stderr.isatty() or "NO_COLOR" in os.environ, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)
