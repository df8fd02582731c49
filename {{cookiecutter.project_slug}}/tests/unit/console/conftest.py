"""The command line in this process, over a queue in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unit.console.consoles import Console

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs


@pytest.fixture
def console(jobs: MemoryJobs, tables: None) -> Console:  # noqa: ARG001 - what the commands work with
    """Give a function that runs a command."""
    return Console()
