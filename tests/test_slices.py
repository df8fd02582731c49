"""Slices are taken out as docs/services.md says, and the examples by an answer; what remains works."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from conftest import run_program
from service import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Render

#: Leaves out the tests of the engine and its commands, which know of no slice, and what whole projects are tried with.
IGNORED = (
    "tests/unit/jobs",
    "tests/integration/jobs",
    "tests/integration/console",
    "tests/e2e/test_job_events.py",
    "tests/e2e/test_openapi.py",
    "tests/e2e/test_pages.py",
)
APPLICATION = ["tests", *(f"--ignore={path}" for path in IGNORED)]
#: Seconds that they may take.
LIMIT = 600


def commands_of(page: str, slice_name: str) -> str:
    """Give the commands that a page has for removing a slice."""
    section = page[page.index(f"### Removing {slice_name}\n") :]
    found = re.search(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, f"no commands for removing {slice_name}"
    return found[1]


@pytest.mark.parametrize(
    ("backend", "slices"),
    [
        pytest.param("redis", ["billing", "reports"], id="redis"),
        pytest.param("falkordb", ["social"], id="falkordb"),
        pytest.param("none", ["reports", "billing"], id="none"),
    ],
)
def test_slices_are_removed_as_the_page_says(synced: Render, tmp_path: Path, backend: str, slices: list[str]) -> None:
    """The page's commands, run as they stand, leave each time a project that passes its checks and its tests."""
    project = tmp_path / "project"
    shutil.copytree(synced(backend), project, symlinks=True, ignore=shutil.ignore_patterns(".venv", "*.db*", ".data"))
    assert run_program(["uv", "sync"], cwd=project).returncode == 0
    for name in slices:
        commands = commands_of((project / "docs" / "services.md").read_text(encoding="utf-8"), name)
        done = run_program(["bash", "-euxc", commands], cwd=project, env=clean_environment())
        assert done.returncode == 0, done.stdout
        trace = rf"^ *(from|import) .*\b{name}\b|^{name.upper()}_"
        traces = run_program(["git", "grep", "-nE", trace, "--", "src", "tests", ".env.example"], cwd=project)
        assert not traces.stdout, f"{name} is still there:\n{traces.stdout}"
        tests = ["uv", "run", "just", "test", *APPLICATION]
        done = run_program(tests, cwd=project, env=clean_environment(), seconds=LIMIT)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("backend", ["redis", "none"])
def test_a_project_without_examples_passes_its_own(synced: Render, backend: str) -> None:
    """Rendered with `include_examples=no`, a project passes its checks and its tests as it is."""
    project = synced(backend, include_examples="no")
    for words in (["check"], ["test", *APPLICATION]):
        done = run_program(["uv", "run", "just", *words], cwd=project, env=clean_environment(), seconds=LIMIT)
        assert done.returncode == 0, done.stdout
