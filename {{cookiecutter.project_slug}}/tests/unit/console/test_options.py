"""What `--help` says is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    FailureCause,
    JobPriority,
    JobStatus,
    Misfire,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unit.console.consoles import Console


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["jobs", "list"], JobStatus),
        (["dead", "list"], FailureCause),
        (["schedules", "add"], Misfire),
        (["enqueue"], [priority.name.lower() for priority in JobPriority]),
    ],
)
async def test_help_names_what_can_be_given(
    console: Console, words: list[str], names: Iterable[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each status, cause, way to misfire and priority; and there are examples."""
    monkeypatch.setenv("COLUMNS", "400")
    said = await console(*words, "--help")
    assert [name for name in names if name not in said] == []
    assert "Examples:" in said
