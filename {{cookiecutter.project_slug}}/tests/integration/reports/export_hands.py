"""What the worker processes of test_exports.py run: `arq integration.reports.export_hands.SETTINGS`.

They are workers of the project, but for a file that says when an export is in the middle, and one that lets it go on.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from {{ cookiecutter.__package }}.infrastructure import tasks
from {{ cookiecutter.__package }}.reports.exports import service
from {{ cookiecutter.__package }}.reports.exports.archive import write_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from {{ cookiecutter.__package }}.reports.exports.archive import Report
    from {{ cookiecutter.__package }}.reports.exports.tables import Source

MIDDLE = Path(os.environ["MIDDLE"])
GO_ON = Path(os.environ["GO_ON"])


async def write_with_a_stop(
    create: Callable[[], IO[bytes]], sources: Sequence[Source], *, user_id: int, report: Report
) -> int:
    """Stop after the first rows, until the file is there."""

    async def stop(done: int, total: int, message: str) -> None:
        await report(done, total, message)
        MIDDLE.touch()  # noqa: ASYNC240 - nothing else runs here
        while not GO_ON.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
            await asyncio.sleep(0.01)

    return await write_archive(create, sources, user_id=user_id, report=stop)


service.write_archive = write_with_a_stop  # type: ignore[attr-defined]

#: The settings of the project's workers; with these it is soon found out that one is dead.
SETTINGS: dict[str, Any] = {**vars(tasks.WorkerSettings), "lease": 2, "allow_no_persistence": True}
