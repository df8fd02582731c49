"""`just bench`: it runs from end to end and writes its files. No figure is looked at: the machine is not ours alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from benchmarks.ledger import Ledger

from conftest import TEMPLATE, run_program

if TYPE_CHECKING:
    from pathlib import Path

#: What the run below measures, and the figures that it gives; the others take minutes.
BENCHES = "enqueue,drain,cost"
METRICS = {
    "enqueue",
    "drain",
    *("bytes-waiting", "bytes-kept", "enqueue-commands", "enqueue-reads", "run-commands", "run-reads"),
}


def benchmark(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as `just bench` does."""
    return run_program([sys.executable, "-m", "benchmarks", *arguments], cwd=TEMPLATE, seconds=600)


def test_a_quick_run_measures_both_peers_and_writes_three_files(tmp_path: Path) -> None:
    """A quick run has a figure for each metric and peer, prints plain tables, and leaves no process."""
    folders = ("--output", tmp_path / "out", "--cache", tmp_path / "cache")
    done = benchmark("--quick", "--only", "ours,arq", "--bench", BENCHES, *folders)
    assert done.returncode == 0, done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.json", "results.md", "results.svg"]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    figures = {metric["key"]: metric["peers"] for metric in results["metrics"]}
    assert set(figures) == METRICS
    for key in METRICS:
        assert set(figures[key]) == {"ours", "arq"}, key
        assert all(peer["failure"] is None and len(peer["values"]) == 1 for peer in figures[key].values()), key
    assert results["about"]["versions"]["arq"]["arq"] == results["about"]["versions"]["ours"]["arq"]
    page = (tmp_path / "out" / "results.md").read_text()
    assert page.count("| this template |") == len({metric["group"] for metric in results["metrics"]})
    assert ET.parse(tmp_path / "out" / "results.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own
    assert not re.search(r"\x1b|\r|Traceback", done.stdout)
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in processes


@pytest.mark.parametrize(("option", "word"), [("--only", "sidekiq"), ("--bench", "speed")])
def test_an_unknown_name_is_refused_with_those_that_there_are(option: str, word: str) -> None:
    """A peer or bench that does not exist ends the command before anything is installed or started."""
    done = benchmark(option, word)
    assert done.returncode == 2
    assert f"{option}: unknown: {word}; there are " in done.stdout


def test_the_ledger_tells_lost_jobs_from_doubled_ones(tmp_path: Path) -> None:
    """A job that never ran and one that ran twice are counted, so that no figure hides them."""
    ledger = Ledger.create(tmp_path / "ledger", 4)
    worker = Ledger(tmp_path / "ledger")
    for job in (0, 2, 2, 3):
        worker.start(job)
    assert ledger.tally() == (1, 2, 1)
    assert ledger.first_not_run(0, 4) == 1
    assert ledger.first_not_run(2, 4) == 4


def test_waits_are_counted_from_the_call_that_enqueues(tmp_path: Path) -> None:
    """The wait of a job is the time from its enqueueing to its start, whichever process writes either down."""
    ledger = Ledger.create(tmp_path / "ledger", 1)
    ledger.enqueue(0)
    Ledger(tmp_path / "ledger").start(0)
    [wait] = ledger.waits(0, 1)
    assert 0 <= wait < 60, os.getloadavg()
