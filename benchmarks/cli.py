"""The command: what is measured, of whom, how often, and in which order."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.catalogue import Bench, benches
from benchmarks.environments import Workshop, workshop
from benchmarks.figures import Figures
from benchmarks.measurements import QUICK, Lab, Sizes
from benchmarks.report import About, print_tables, write_files
from benchmarks.roster import ROSTER, Contender
from benchmarks.server import running_server
from benchmarks.trials import TrialError
from processes import INTERRUPTIONS, ProcessError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DESCRIPTION = "Measure the rendered project beside its peers, in one run, on one Redis."
EPILOG = f"""peers: {", ".join(ROSTER)}.
benches: {", ".join(benches(QUICK))}.
A full run takes hours and wants a machine of its own; begin with --quick, whose figures are noise.
The status is 1 when a figure is missing."""
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    peers: list[Contender]
    benches: list[Bench]
    sizes: Sizes
    quick: bool
    repeat: int
    output: Path
    cache: Path


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; a mistake ends the program with a message."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cookiecutter-fastapi-arq" / "peers"
    parser = argparse.ArgumentParser(
        "benchmarks", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="PEER", help="only these peers, with spaces or commas between")
    parser.add_argument("--bench", nargs="+", metavar="NAME", help="only these benches")
    parser.add_argument("--quick", action="store_true", help="tiny counts and one round: shows that all works")
    parser.add_argument("--repeat", type=int, metavar="N", help="rounds (3; with --quick 1); figures are medians")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", default=Path("benchmark-results"), help="default: %(default)s"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", default=cache, help="the peers' environments: %(default)s"
    )
    said = parser.parse_args(arguments)
    sizes = QUICK if said.quick else Sizes()
    known = benches(sizes)
    repeat = said.repeat if said.repeat is not None else 1 if said.quick else 3
    if repeat < 1:
        parser.error(f"--repeat: {repeat} rounds are none")
    return Options(
        peers=[ROSTER[name] for name in chosen(parser, "--only", said.only, list(ROSTER))],
        benches=[known[name] for name in chosen(parser, "--bench", said.bench, list(known))],
        sizes=sizes,
        quick=said.quick,
        repeat=repeat,
        output=said.output,
        cache=said.cache,
    )


def chosen(parser: argparse.ArgumentParser, option: str, said: list[str] | None, known: list[str]) -> list[str]:
    """Give the names that were chosen, in the order in which we know them."""
    names = {name for word in said or known for name in word.split(",") if name}
    if unknown := sorted(names - set(known)):
        parser.error(f"{option}: unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return [name for name in known if name in names]


def plan(options: Options) -> Iterator[tuple[int, Bench, Contender]]:
    """Give every step in its order: in each round each bench for all peers in turn, another peer first each time.

    So whatever drifts, be it the machine's clock speed or its other load, hits all alike.
    """
    for turn in range(options.repeat):
        for number, bench in enumerate(options.benches):
            shift = (turn + number) % len(options.peers)
            for contender in options.peers[shift:] + options.peers[:shift]:
                if not bench.ours_only or contender.name == "ours":
                    yield turn + 1, bench, contender


class Reporter:
    """Tells what is going on: a bar on a terminal, a line for each step elsewhere; on standard error."""

    def __init__(self, steps: int) -> None:
        """Know how many steps there are."""
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            refresh_per_second=1,  # its drawing is work on the machine that is measured
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("", total=steps)

    def begin(self, text: str) -> None:
        """Say what comes now."""
        self.progress.update(self.task, description=text)
        if self.progress.disable:
            self.tell(text)

    def tell(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def measure(options: Options, lab: Lab, figures: Figures, reporter: Reporter) -> None:
    """Take every step of the plan; what fails is noted, and the rest goes on."""
    for turn, bench, contender in plan(options):
        reporter.begin(f"round {turn} of {options.repeat}: {bench.name}, {contender.title}")
        try:
            figures.add(contender.name, bench.measure(lab, contender))
        except (ProcessError, TrialError) as error:
            figures.fail(contender.name, bench.name, bench.metrics, str(error))
            reporter.tell(f"failed: {error}")
        reporter.progress.advance(reporter.task)


def run(options: Options, shop: Workshop) -> Figures:
    """Prepare, measure and report."""
    figures = Figures(
        [metric for bench in options.benches for metric in bench.metrics],
        {contender.name: contender.title for contender in options.peers},
    )
    reporter = Reporter(steps=len(options.peers) + len(list(plan(options))))
    with reporter.progress, running_server(shop.folder) as server:
        environments = {}
        for contender in options.peers:
            reporter.begin(f"installing {contender.title}")
            environments[contender.name] = shop.prepare(contender)
            reporter.progress.advance(reporter.task)
        about = About(
            started=datetime.now(UTC),
            quick=options.quick,
            rounds=options.repeat,
            sizes=options.sizes,
            redis=server.version,
            versions={name: place.versions(ROSTER[name]) for name, place in environments.items()},
        )
        measure(options, Lab(options.sizes, server, shop, environments), figures, reporter)
    print_tables(figures, Console())
    for path in write_files(figures, about, options.output):
        reporter.tell(f"wrote {path}")
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its status."""
    options = parse(arguments)
    for number in INTERRUPTIONS:  # all as Ctrl-C: what was started is ended
        signal.signal(number, signal.default_int_handler)
    try:
        with workshop(options.cache) as shop:
            return 1 if run(options, shop).failures else 0
    except ProcessError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        return INTERRUPTED
