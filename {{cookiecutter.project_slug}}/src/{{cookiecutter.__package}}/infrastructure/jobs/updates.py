"""What jobs come to, while they do: all who watch the same job in a process share one reader of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import JobNotFoundError, QueueUnavailable
from .records import TERMINAL_STATUSES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from .manager import JobManager
    from .records import JobRecord

#: Seconds after which a reader looks for itself: not all that a workflow comes to is told.
LOOK = 2.0


@dataclass(eq=False)
class _Reader:
    """Reads one job again and again, for all who watch it."""

    watchers: int = 0
    #: How it is; None while Redis does not answer.
    record: JobRecord | None = None
    #: How often that has changed; 0: nothing is known yet.
    version: int = 0
    #: Set with the next change, or at the end; then another takes its place.
    news: asyncio.Event = field(default_factory=asyncio.Event)
    done: bool = False
    #: Why it was given up.
    error: Exception | None = None
    work: asyncio.Task[None] | None = None

    def see(self, record: JobRecord | None) -> None:
        if not self.version or record != self.record:
            self.record = record
            self.version += 1
            self._wake()

    def end(self) -> None:
        self.done = True
        self._wake()

    def _wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class Updates:
    """The jobs that are watched in this process; while none is, nothing is read and nobody listens."""

    def __init__(self, get_manager: Callable[[], Awaitable[JobManager]]) -> None:
        self._get_manager = get_manager
        self._readers: dict[str, _Reader] = {}
        self._closed = False

    async def of(self, job_id: str, seconds: float | None = None) -> AsyncGenerator[JobRecord | None, None]:
        """Give what is known of a job or a workflow now, and again whenever that has changed, until it has ended.

        None says that Redis does not answer; what is known then comes when it does again. Whoever is slow misses what
        has been overtaken, but never the last.

        Args:
            job_id: the job, or the workflow.
            seconds: stop after so many, without an error, but not before something was given; None: do not.

        Raises:
            JobNotFoundError: nothing is known of it, or not any more.
        """
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        reader = self._join(job_id)
        seen = 0
        try:
            while True:
                if reader.version != seen:
                    seen = reader.version
                    yield reader.record
                elif reader.done or not await _in_time(reader.news.wait(), deadline if seen else None):
                    break
            if reader.error:
                raise reader.error
        finally:
            self._leave(job_id, reader)

    def close(self) -> None:
        """Let everybody go who watches, and those who come from now on once they know how it is."""
        self._closed = True
        for reader in self._readers.values():
            reader.end()

    def _join(self, job_id: str) -> _Reader:
        reader = self._readers.get(job_id)
        if reader is None:
            self._readers[job_id] = reader = _Reader()
            reader.work = asyncio.create_task(self._read(job_id, reader))
        reader.watchers += 1
        return reader

    def _leave(self, job_id: str, reader: _Reader) -> None:
        reader.watchers -= 1
        if not reader.watchers:
            self._forget(job_id, reader)
            if reader.work:
                reader.work.cancel()

    def _forget(self, job_id: str, reader: _Reader) -> None:
        if self._readers.get(job_id) is reader:
            del self._readers[job_id]

    async def _read(self, job_id: str, reader: _Reader) -> None:
        try:
            manager = await self._get_manager()
            async with (await manager.backend.connect()).events.of(job_id, LOOK) as event:
                while not reader.done:
                    record = await _look(manager, job_id)
                    reader.see(record)
                    if self._closed or (record and record.status in TERMINAL_STATUSES):
                        break
                    await event.wait()
        except Exception as error:  # noqa: BLE001 - it is raised where somebody watches
            reader.error = error
        finally:
            self._forget(job_id, reader)
            reader.end()


async def _look(manager: JobManager, job_id: str) -> JobRecord | None:
    try:
        record = await manager.get_status(job_id)
    except QueueUnavailable:
        return None
    if record is None:
        raise JobNotFoundError(job_id)
    return record


async def _in_time(waiting: Awaitable[object], deadline: float | None) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            await waiting
    except TimeoutError:
        return False
    return True
