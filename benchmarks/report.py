"""What is shown and written: tables on the terminal, and JSON, Markdown and a chart in a folder."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.chart import draw
from benchmarks.roster import OURS

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from rich.console import Console

    from benchmarks.figures import Figures, Metric
    from benchmarks.measurements import Sizes

#: Characters of a line where there is no terminal to ask.
WIDTH = 120
FAILED, NONE = "failed", "-"
NOISE = "The counts were tiny (--quick): these figures show that the harness works, and nothing else."


@dataclass(frozen=True, slots=True)
class About:
    """What a reader has to know of a run."""

    started: datetime
    quick: bool
    rounds: int
    sizes: Sizes
    redis: str
    versions: dict[str, dict[str, str]]

    def as_data(self) -> dict[str, object]:
        """Give it as data for JSON, with what this machine is."""
        return {
            **asdict(self),
            "started": self.started.isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
        }

    def as_sentence(self) -> str:
        """Give it as a sentence or two."""
        rounds = "one round" if self.rounds == 1 else f"medians of {self.rounds} rounds"
        return (
            f"{self.started:%Y-%m-%d}, {rounds}, Redis {self.redis}, Python {platform.python_version()}, "
            f"{os.cpu_count()} cores of {processor()}.{' ' + NOISE if self.quick else ''}"
        )


def processor() -> str:
    """Name the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - no file of ours
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def cell(figures: Figures, metric: Metric, peer: str) -> str:
    """Give a figure as text."""
    value = figures.value(metric, peer)
    if value is None:
        return FAILED if figures.failure(metric, peer) else NONE
    return f"{value:,.{metric.digits}f}"


def best(figures: Figures, metric: Metric) -> str | None:
    """Name the peer with the best figure, where there can be one."""
    if metric.more_is_better is None:
        return None
    values = {peer: value for peer in figures.peers if (value := figures.value(metric, peer)) is not None}
    choose = max if metric.more_is_better else min
    return choose(values, key=values.__getitem__) if values else None


def rows(figures: Figures, metrics: list[Metric]) -> list[str]:
    """Name the peers that have anything to say on some metrics."""
    return [peer for peer in figures.peers if any(cell(figures, metric, peer) != NONE for metric in metrics)]


def print_tables(figures: Figures, console: Console) -> None:
    """Print a table for each group; the best figure of a column is bold."""
    if not console.is_terminal:
        console.width = WIDTH
    for group, metrics in figures.groups.items():
        table = Table(title=group, title_justify="left")
        table.add_column("", no_wrap=True)
        for metric in metrics:
            table.add_column(metric.title, justify="right")
        winners = [best(figures, metric) for metric in metrics]
        for peer in rows(figures, metrics):
            texts = [cell(figures, metric, peer) for metric in metrics]
            marked = [
                f"[bold]{text}[/]" if peer == winner else text for text, winner in zip(texts, winners, strict=True)
            ]
            table.add_row(figures.peers[peer], *marked, style="cyan" if peer == OURS else "")
        console.print(table)
    for what, reason in figures.failures.items():
        first, *log = reason.splitlines()
        words = " ... ".join([first, *(line.strip() for line in log[-1:])])
        console.print(f"failed: {what}: {words}", markup=False, highlight=False, soft_wrap=True)


def as_markdown(figures: Figures, about: About) -> str:
    """Write the same as a page."""
    lines = ["# Benchmark results", "", about.as_sentence(), ""]
    for group, metrics in figures.groups.items():
        winners = [best(figures, metric) for metric in metrics]
        lines += [f"## {group}", "", "| | " + " | ".join(metric.title for metric in metrics) + " |"]
        lines += ["| --- |" + " ---: |" * len(metrics)]
        for peer in rows(figures, metrics):
            texts = [cell(figures, metric, peer) for metric in metrics]
            marked = [f"**{text}**" if peer == winner else text for text, winner in zip(texts, winners, strict=True)]
            lines += [f"| {figures.peers[peer]} | " + " | ".join(marked) + " |"]
        lines += [""]
    if figures.failures:
        lines += ["## Failed", ""]
        for what, reason in figures.failures.items():
            lines += [f"- {what}:", "", *(f"      {line}" for line in reason.splitlines()), ""]
    lines += ["## Versions", ""]
    for peer, versions in about.versions.items():
        lines += [f"- {figures.peers[peer]}: " + ", ".join(f"{name} {number}" for name, number in versions.items())]
    return "\n".join(lines) + "\n"


def write_files(figures: Figures, about: About, folder: Path) -> list[Path]:
    """Write the three files, over those that are there, and give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps({"about": about.as_data(), "metrics": figures.as_data()}, indent=2, default=str)
    contents = {
        "results.json": data + "\n",
        "results.md": as_markdown(figures, about),
        "results.svg": draw(figures, about.as_sentence()),
    }
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in contents]
