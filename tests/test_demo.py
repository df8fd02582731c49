"""`just demo`: it works in a pipe, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from conftest import TEMPLATE
from processes import Process, wait_for

if TYPE_CHECKING:
    from pathlib import Path

DEMO = TEMPLATE / "scripts" / "demo.py"


def start_demo(folder: Path, *arguments: str) -> Process:
    """Start the demo with `folder` as the place for temporary files."""
    temporary = folder / "tmp"
    temporary.mkdir()
    env = {**os.environ, "TMPDIR": str(temporary)}
    return Process("demo", [sys.executable, DEMO, *arguments], cwd=folder, env=env, log=folder / "demo.log")


def left_behind(folder: Path) -> list[str]:
    """List the temporary files that are there, and the processes that were started from them."""
    temporary = folder / "tmp"
    listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    processes = [line for line in listing.splitlines() if str(temporary) in line]
    return [str(path) for path in temporary.iterdir()] + processes


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ("redis", ["1,000 of 1,000: 1,000 success", "1,000 jobs in", "wait      p50"]),
        ("none", ["the message was sent in the request", "to=ada@example.com"]),
    ],
)
def test_the_demo_works_in_a_pipe(tmp_path: Path, variant: str, told: list[str]) -> None:
    """It signs a user up, runs its jobs where there are any, tells so in plain lines, and leaves nothing behind."""
    demo = start_demo(tmp_path, variant)
    try:
        status = demo.wait(240)
    finally:
        demo.stop()
    assert (status, left_behind(tmp_path)) == (0, []), demo.output
    assert not re.search(r"\x1b|\r|Traceback", demo.output)
    for text in ["POST /api/v1/users: Ada is user 1", *told]:
        assert text in demo.output


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C in the middle ends what runs by then and removes every file."""
    demo = start_demo(tmp_path)
    try:
        wait_for(lambda: "embedded Redis: answers" in demo.output, what="running Redis", within=240, beside=[demo])
        assert left_behind(tmp_path)
        demo.send(signal.SIGINT)
        status = demo.wait(60)
    finally:
        demo.stop()
    assert (status, left_behind(tmp_path)) == (130, []), demo.output
    assert "Traceback" not in demo.output


def test_an_unknown_variant_is_refused() -> None:
    """A variant that does not exist is refused with the names of those that do."""
    done = subprocess.run([sys.executable, DEMO, "memcached"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "redis" in done.stderr
    assert "falkordb" in done.stderr
