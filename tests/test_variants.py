"""Every variant, installed, passes the checks and the tests that it was generated with, as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conftest import BACKENDS, run_program
from service import clean_environment

if TYPE_CHECKING:
    from conftest import Render


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("recipe", ["check", "test"])
def test_a_generated_project_passes_its_own(synced: Render, backend: str, recipe: str) -> None:
    """A project straight from the template passes its `just check` and `just test`, which change none of its files."""
    project = synced(backend)
    done = run_program(["just", recipe], cwd=project, env=clean_environment())
    assert done.returncode == 0, done.stdout
    changes = run_program(["git", "status", "--porcelain", "--untracked-files=no"], cwd=project)
    assert (changes.returncode, changes.stdout) == (0, "")
