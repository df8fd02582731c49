"""The command of the exports."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

# What a command needs is imported inside it, so that others start fast.
# ruff: noqa: PLC0415

UserId = Annotated[int, typer.Argument(help="Whose data.", min=1, max=2**31 - 1)]
Output = Annotated[
    Path | None, typer.Option(help="A file to write to, instead of the storage of the exports.", dir_okay=False)
]


def export(user_id: UserId, output: Output = None) -> None:
    """Export all that the database has about a user, as a ZIP of JSON files, and print where it is.

    In the storage it is an export as any other: the link that is printed, too, lets it be downloaded until it expires.
    """
    from ...infrastructure.database import run_command
    from ..commands import progress_bar
    from .service import UnknownUserError

    with progress_bar() as show:

        async def report(done: int, total: int, table: str) -> None:
            show(table, done, total)

        try:
            lines = run_command(_write(user_id, output, report) if output else _store(user_id, report))
        except (UnknownUserError, OSError) as error:
            raise SystemExit(str(error)) from None
    for line in lines:
        typer.echo(line)


async def _write(user_id: int, output: Path, report: Callable[..., Any]) -> list[str]:
    """Write the file under another name first: what is there is replaced by a whole one only."""
    from ...infrastructure.database import get_session_context
    from . import service

    async with get_session_context() as session:
        await service.check_user(session, user_id)
    part = output.with_name(f"{output.name}.part")
    try:
        await service.write_user_data(user_id, lambda: part.open("wb"), report=report)
        os.replace(part, output)  # noqa: PTH105
    finally:
        part.unlink(missing_ok=True)
    return [str(output)]


async def _store(user_id: int, report: Callable[..., Any]) -> list[str]:
    from ...infrastructure.database import get_session_context
    from . import service
    from .storage import get_storage, new_file_name

    async with get_session_context() as session:
        await service.check_user(session, user_id)
    file = new_file_name()
    written = await service.store_export(file, user_id=user_id, report=report)
    async with get_session_context() as session:
        export = await service.add_export(session, user_id=user_id, file=file, written=written)
    return [get_storage().path(file), str(service.download_url(export))]
