"""Every variant, installed, passes the checks and the tests that it was generated with, as it is."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from conftest import BACKENDS, run_program
from processes import Process
from service import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Render

#: Seconds that checks or tests of one project may take; they take half of it on two cores.
LIMIT = 600


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("recipe", ["check", "test"])
def test_a_generated_project_passes_its_own(synced: Render, backend: str, recipe: str, tmp_path: Path) -> None:
    """A project straight from the template passes its `just check` and `just test`, which change none of its files."""
    project = synced(backend)
    just = Process(
        f"just {recipe}", ["just", recipe], cwd=project, env=clean_environment(), log=tmp_path / "output.txt"
    )
    try:
        status = just.wait(LIMIT)
    finally:
        just.stop(number=signal.SIGINT)  # as Ctrl-C: its tests end the servers that they have started
    assert status == 0, just.output
    changes = run_program(["git", "status", "--porcelain", "--untracked-files=no"], cwd=project)
    assert (changes.returncode, changes.stdout) == (0, "")
