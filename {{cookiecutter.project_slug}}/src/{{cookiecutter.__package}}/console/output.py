"""What commands print: tables for people, lines for pipes, JSON for programs.

On a terminal a table is as wide as that, and times are told by how long ago they were. Elsewhere a record is a line,
its values are whole and stand between tabs, times are in ISO 8601, durations in seconds, and there is no heading.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415

T = TypeVar("T")

COLOURS = {
    "success": "green",
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "retrying": "yellow",
    "cancelled": "yellow",
}


#: Characters between two columns of a table, and the least of one that is cut off.
GAP, CUT = 3, 16


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One value of each record of a list."""

    title: str
    value: Callable[[T], Any]
    #: Shown whole on a terminal too, however narrow: ids, which people copy. Or cut off where it does not fit.
    whole: bool = False
    cut: bool = False
    #: Left out of a table where there is no room, the highest first; 0: never.
    spare: int = 0
    #: For lines in pipes only, or for people only.
    more: bool = False
    people: bool = False


def is_terminal() -> bool:
    """Tell whether somebody reads what is printed as it comes."""
    return sys.stdout.isatty()


def print_table(columns: Sequence[Column[T]], records: Iterable[T], *, nothing: str) -> None:
    """Print a record a line, see the module; where there is none, a terminal is told so."""
    rows = list(records)
    if not is_terminal():
        for row in rows:
            print_line(*(column.value(row) for column in columns if not column.people))
        return
    if not rows:
        typer.echo(nothing)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    terminal = console()
    shown_columns, room = _fitting(columns, rows, terminal.width)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in shown_columns:
        numbers = all(isinstance(column.value(row), int | float | timedelta | None) for row in rows)
        table.add_column(
            column.title,
            justify="right" if numbers else "left",
            no_wrap=column.whole or column.cut,
            overflow="ellipsis" if column.cut else "fold",
            min_width=len(column.title),
            max_width=room if column.cut else None,
        )
    for row in rows:
        table.add_row(*(_cell(column.value(row), flat=column.cut) for column in shown_columns))
    terminal.print(table)


def print_line(*values: Any) -> None:
    """Print values between tabs."""
    typer.echo("\t".join(plain(value) for value in values))


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print what is known of one thing, a line each; what is None is left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    if not is_terminal():
        for name, value in known.items():
            print_line(name, value)
        return
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in known.items():
        table.add_row(name, _cell(value, precise=True))
    console().print(table)


def print_json(document: Any) -> None:
    """Print one document, over several lines; what JSON has no form for is given as text."""
    typer.echo(json.dumps(jsonable(document), indent=2))


def print_json_line(document: Any) -> None:
    """Print one document as one line."""
    typer.echo(json.dumps(jsonable(document)))


def jsonable(value: Any) -> Any:
    """Give a value as JSON has it, as the HTTP API does: records as objects, times in ISO 8601."""
    from pydantic_core import to_json

    return json.loads(to_json(value, fallback=repr, bytes_mode="base64", inf_nan_mode="strings"))


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how far something is, on a terminal only; what is given is called with how many are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def plain(value: Any) -> str:
    """Give a value as a line in a pipe has it: one line, without tabs or anything else that is not printable."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case datetime():
            text = value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case timedelta():
            text = f"{value.total_seconds():.3f}"
        case str():
            text = value
        case float():
            text = f"{value:.6f}".rstrip("0").removesuffix(".")
        case [*words] if words and all(isinstance(word, str) for word in words):
            text = ",".join(words)
        case _:
            text = json.dumps(jsonable(value))
    return clean(text, keep="")


def shown(value: Any, *, precise: bool = False) -> str:
    """Give a value as people read it."""
    match value:
        case None:
            text = "-"
        case datetime():
            text = distance(value)
            text = f"{value.astimezone():%Y-%m-%d %H:%M:%S %Z} ({text})" if precise else text
        case timedelta():
            text = span(value)
        case bool():
            text = plain(value)
        case int() | float():
            text = f"{round(value, 2):,}".removesuffix(".0")
        case str():
            text = clean(value)
        case _:
            text = plain(value)
    return text


def clean(text: str, *, keep: str = "\n") -> str:
    """Write as backslashes what is not printable: terminals obey some of it, and some cannot be encoded."""
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode() for each in text
    )


def distance(moment: datetime) -> str:
    """Say how long ago something was, or is to be."""
    away = moment - datetime.now(UTC)
    return f"in {span(away)}" if away > timedelta(0) else f"{span(-away)} ago"


def span(duration: timedelta) -> str:
    """Say how long something takes, in the unit that fits."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, length, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < most * length:
            return f"{seconds / length:.{1 if seconds < 10 * length else 0}f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def counted(number: int) -> str:
    """Say how many jobs."""
    return f"{number:,} job{'' if number == 1 else 's'}"


def _cell(value: Any, *, precise: bool = False, flat: bool = False) -> Any:
    from rich.text import Text

    text = shown(value, precise=precise)
    style = COLOURS.get(value, "") if isinstance(value, StrEnum) else ""
    return Text(text.replace("\n", " ") if flat else text, style=style)


def console(*, stderr: bool = False) -> Any:
    """Give the console of rich: without any style where NO_COLOR is set."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")


def _fitting(columns: Sequence[Column[T]], rows: Sequence[T], width: int) -> tuple[list[Column[T]], int]:
    """Give the columns that a terminal has room for, and the room for what is cut off."""
    fitting = [column for column in columns if not column.more]

    def needed() -> int:
        return sum(CUT if column.cut else _width(column, rows) for column in fitting) + GAP * (len(fitting) - 1)

    for column in sorted(fitting, key=lambda column: -column.spare):
        if column.spare and needed() > width:
            fitting.remove(column)
    return fitting, max(CUT, width - needed() + CUT)


def _width(column: Column[T], rows: Sequence[T]) -> int:
    return max(len(column.title), *(len(shown(column.value(row))) for row in rows))
