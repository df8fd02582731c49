"""What a running task knows of its job."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from arq.utils import to_seconds

from .records import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class TaskContext(dict[str, Any]):
    """The first argument of every task: `redis`, `job_id`, `job_try`, `enqueue_time`, `score`, what start-up put in.

    Setting `ctx["job_timeout"]` to a number of seconds (or a timedelta) moves the deadline of the running task: the
    time counts from the start of this try, as `WorkerSettings.job_timeout` does.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        move_deadline: Callable[[float], None],
        save_progress: Callable[[Progress], Awaitable[None]],
    ) -> None:
        super().__init__(values)
        self._loop = asyncio.get_running_loop()
        self._move_deadline = move_deadline
        self._save_progress = save_progress
        self._unsaved: Progress | None = None
        self._saving = asyncio.Lock()

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value; `job_timeout` moves the deadline as well."""
        if key == "job_timeout":
            self._loop.call_soon_threadsafe(self._move_deadline, to_seconds(value))
        super().__setitem__(key, value)

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> Awaitable[None]:
        """Report how far the task is; whoever asks for the job's info sees the last report.

        It may be awaited, which waits until the report is stored, or not. A plain `def` task calls it from its thread.
        """
        self._unsaved = Progress(done, total, message)
        try:
            return asyncio.get_running_loop().create_task(self.save_progress())
        except RuntimeError:  # in a thread
            future = asyncio.run_coroutine_threadsafe(self.save_progress(), self._loop)
            return asyncio.wrap_future(future, loop=self._loop)

    async def save_progress(self) -> None:
        """Store the last report if that has not been done; reports that follow each other quickly become one."""
        if self._unsaved is None and not self._saving.locked():
            return
        async with self._saving:
            report, self._unsaved = self._unsaved, None
            if report is not None:
                await self._save_progress(report)
