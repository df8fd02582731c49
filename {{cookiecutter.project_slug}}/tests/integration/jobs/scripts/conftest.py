"""Two workers that have no tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.jobs.scripts.calls import Hand

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool


@pytest.fixture
def me(pool: TaskPool) -> Hand:
    """Give the worker whose calls are looked at."""
    return Hand(pool, "me")


@pytest.fixture
def other(pool: TaskPool) -> Hand:
    """Give somebody else."""
    return Hand(pool, "somebody else")
