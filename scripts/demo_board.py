"""What the demo shows of its jobs: a live table and a progress bar on a terminal, a few plain lines in a pipe."""

from __future__ import annotations

import time
from contextlib import nullcontext
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

#: Jobs that the table shows: those that changed last.
ROWS = 12
#: Lines of the terminal that the rest of the board takes.
FRAME = 8
#: What times are measured to, in seconds.
SHORTEST = 0.001
STYLES = {"success": "green", "failed": "red", "cancelled": "red", "running": "yellow", "retrying": "yellow"}
ENDED = ("success", "failed", "cancelled")

Facts = dict[str, Any]


def is_live(console: Console) -> bool:
    """Tell whether the output is a terminal that lines can be rewritten on."""
    return console.is_terminal and not console.is_dumb_terminal


def seconds(value: float | None) -> str:
    """Write a time down in the unit that fits; nothing for one that is not known yet."""
    if value is None:
        return ""
    if value < SHORTEST:
        return "< 1 ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


class Board:
    """The jobs as last heard of."""

    def __init__(self, console: Console, total: int) -> None:
        """Show nothing yet."""
        self.console = console
        self.total = total
        self.started = time.monotonic()
        self._jobs: dict[str, Facts] = {}
        self._told = 0
        self._progress = Progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)
        self._bar = self._progress.add_task("", total=total)
        self._live = Live(self, console=console, refresh_per_second=10) if is_live(console) else None

    def start(self) -> None:
        """Let the time count from now."""
        self.started = time.monotonic()
        self._progress.reset(self._bar)

    def shown(self) -> AbstractContextManager[object]:
        """Keep the board on the terminal while the block runs."""
        return self._live or nullcontext()

    def update(self, facts: Facts) -> None:
        """Take in what is new about one job."""
        self._jobs.pop(facts["job"], None)  # so that those that changed last stand last
        self._jobs[facts["job"]] = facts
        ended = self.ended
        self._progress.update(self._bar, completed=ended)
        tenth = ended * 10 // self.total
        if self._live is None and tenth > self._told:
            self._told = tenth
            self.console.print(
                f"{time.monotonic() - self.started:6.1f} s  {ended:,} of {self.total:,}: {self.counts()}"
            )

    @property
    def ended(self) -> int:
        """How many jobs have ended."""
        return sum(job["status"] in ENDED for job in self._jobs.values())

    def counts(self) -> str:
        """Give the number of jobs in each status."""
        numbers: dict[str, int] = {}
        for job in self._jobs.values():
            numbers[job["status"]] = numbers.get(job["status"], 0) + 1
        numbers["pending"] = numbers.get("pending", 0) + self.total - len(self._jobs)
        return ", ".join(f"{number:,} {status}" for status, number in sorted(numbers.items()) if number)

    def table(self) -> Table:
        """Make the table of the jobs that changed last."""
        table = Table(header_style="bold")
        for heading in ("job", "status"):
            table.add_column(heading, min_width=9)
        for heading in ("tries", "wait", "duration"):
            table.add_column(heading, min_width=8, justify="right")
        rows = min(ROWS, max(3, self.console.height - FRAME)) if self._live else ROWS
        for job in [job for job in self._jobs.values() if job["status"] != "pending"][-rows:]:
            status = job["status"]
            style = STYLES.get(status, "")
            table.add_row(
                job["job"],
                f"[{style}]{status}[/]" if style else status,
                str(job["tries"]),
                seconds(job["wait"]),
                seconds(job["duration"]),
            )
        return table

    def __rich__(self) -> Group:
        """Draw the board."""
        return Group(self.table(), self._progress, Text(self.counts()))

    def finish(self) -> None:
        """Leave the last state on the page."""
        if self._live is None:
            self.console.print(self.table())

    def summary(self, *, enqueued: float) -> list[str]:
        """Sum up what was measured; waits count from the moment that a job was due."""
        took = time.monotonic() - self.started
        waits = [job["wait"] for job in self._jobs.values() if job["wait"] is not None]
        durations = [job["duration"] for job in self._jobs.values() if job["duration"] is not None]
        return [
            f"{self.ended:,} jobs in {took:.1f} s ({self.ended / took:,.0f} a second): {self.counts()}",
            f"enqueued in {seconds(enqueued)}, one call after the other",
            f"wait      p50 {seconds(median(waits))}, longest {seconds(max(waits))}",
            f"duration  p50 {seconds(median(durations))}, longest {seconds(max(durations))}",
        ]
