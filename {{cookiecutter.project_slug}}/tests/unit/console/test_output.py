"""Tables for people, lines for pipes, JSON for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from {{ cookiecutter.__package }}.console import output
from {{ cookiecutter.__package }}.console.output import (
    Column,
    clean,
    counted,
    plain,
    print_fields,
    print_json,
    print_table,
    shown,
    span,
)
from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus

COLUMNS: list[Column[tuple[Any, ...]]] = [
    Column("id", lambda row: row[0], whole=True),
    Column("status", lambda row: row[1]),
    Column("tries", lambda row: row[2], spare=1),
    Column("started", lambda row: row[3], more=True),
    Column("when", lambda row: row[3], people=True),
    Column("error", lambda row: row[4], cut=True),
]
LONG = "ValueError: \x1b[31m" + "x" * 200 + "\nsecond\tline"
ROW = ("18ea46051a6f788517943ebb4c546e12", JobStatus.FAILED, 3, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), LONG)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let standard output look like a terminal, 60 columns wide."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    for name, value in {"COLUMNS": "60", "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch


def test_a_line_in_a_pipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Values stand between tabs, none is cut, there is no heading, and what is not printable is written out."""
    print_table(COLUMNS, [ROW], nothing="none")
    line = capsys.readouterr().out
    error = f"ValueError: \\x1b[31m{'x' * 200}\\nsecond\\tline"
    assert line.rstrip("\n").split("\t") == [ROW[0], "failed", "3", "2026-01-02T03:04:05.000Z", error]


def test_nothing_is_no_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever counts lines counts right."""
    print_table(COLUMNS, [], nothing="none")
    assert capsys.readouterr().out == ""


def test_a_table_fits_the_terminal(terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids are whole, an error is cut off, what may be spared is left out, and colours tell the status."""
    print_table(COLUMNS, [ROW], nothing="none")
    table = capsys.readouterr().out
    assert ROW[0] in table
    assert "\x1b[31m" in table.replace("\\x1b[31m", "")  # red, and the error's own escape is text
    assert "tries" not in table
    terminal.setenv("NO_COLOR", "1")
    print_table(COLUMNS, [ROW], nothing="none")
    table = capsys.readouterr().out
    assert "\x1b" not in table
    assert max(map(len, table.splitlines())) <= 80  # the id needs more than the 60
    assert "second" not in table


def test_a_wide_terminal_shows_all(terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row is a line, as wide as the terminal lets it be."""
    terminal.setenv("COLUMNS", "400")
    terminal.setenv("NO_COLOR", "1")
    print_table(COLUMNS, [ROW], nothing="none")
    heading, _, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["id", "status", "tries", "when", "error"]
    assert f"{'x' * 200} second\\tline" in row


@pytest.mark.usefixtures("terminal")
def test_nothing_is_said_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table would be a riddle."""
    print_table(COLUMNS, [], nothing="no jobs")
    assert capsys.readouterr().out == "no jobs\n"


def test_fields_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not known is left out; what looks like markup is text."""
    print_fields({"id": "[bold]x", "kwargs": {"a": 1}, "result": None, "took": timedelta(seconds=1.5)})
    assert capsys.readouterr().out == 'id\t[bold]x\nkwargs\t{"a": 1}\ntook\t1.500\n'


@pytest.mark.usefixtures("terminal")
def test_markup_is_text_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A task's name or an error may hold brackets."""
    print_fields({"error": "[bold]x[/nonsense]"})
    assert "[bold]x[/nonsense]" in capsys.readouterr().out


def test_anything_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As the HTTP API gives it: what JSON has no form for is text."""
    print_json({"when": ROW[3], "error": ValueError("no"), "bytes": b"\xff", "nan": float("nan"), "text": "\x9b"})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {
        "when": "2026-01-02T03:04:05Z",
        "error": "ValueError('no')",
        "bytes": "_w==",
        "nan": "NaN",
        "text": "\x9b",
    }


@pytest.mark.parametrize(
    ("value", "in_pipe", "on_terminal"),
    [
        (None, "", "-"),
        (True, "yes", "yes"),
        (1234, "1234", "1,234"),
        (0.123456789, "0.123457", "0.12"),
        (3.0, "3", "3"),
        (timedelta(seconds=90), "90.000", "90 s"),
        (["a", "b"], "a,b", "a,b"),
        ([], "[]", "[]"),
        (JobStatus.FAILED, "failed", "failed"),
        ("a\tb\r\x07", "a\\tb\\r\\x07", "a\\tb\\r\\x07"),
        ("\udc80", "\\udc80", "\\udc80"),
        ("one\ntwo", "one\\ntwo", "one\ntwo"),
    ],
)
def test_values_read_well_and_parse_well(value: Any, in_pipe: str, on_terminal: str) -> None:
    """A pipe gets one line in one form; people get units and separators."""
    assert (plain(value), shown(value)) == (in_pipe, on_terminal)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (1.25, "1.2 s"),
        (59.9, "60 s"),
        (150, "2.5 min"),
        (5400, "90 min"),
        (9000, "2.5 h"),
        (2e5, "2 d"),
    ],
)
def test_durations_have_the_unit_that_fits(seconds: float, text: str) -> None:
    """Nobody wants to read 200,000 seconds."""
    assert span(timedelta(seconds=seconds)) == text


def test_moments_are_told_by_their_distance() -> None:
    """Before and after now."""
    assert shown(datetime.now(UTC) - timedelta(minutes=5)) == "5.0 min ago"
    assert shown(datetime.now(UTC) + timedelta(hours=5, seconds=1)) == "in 5.0 h"


def test_clean_keeps_what_is_printable() -> None:
    """Text of any language, and line ends unless told otherwise."""
    assert clean("Grüße 你好\n\x00") == "Grüße 你好\n\\x00"


def test_one_job_is_no_jobs() -> None:
    """Numbers and nouns agree."""
    assert [counted(1), counted(0), counted(1200)] == ["1 job", "0 jobs", "1,200 jobs"]
