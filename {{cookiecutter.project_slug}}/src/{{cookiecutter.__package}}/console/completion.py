"""What the shell completes: names and ids that there are now. Whatever goes wrong, it completes nothing, silently."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

from .running import glance

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from ..infrastructure.jobs import JobManager

# What a command needs is imported when it runs: `--help` has to be quick.
# ruff: noqa: PLC0415

#: Seconds after which a person no longer waits for the shell.
PATIENCE = 2.0
#: Ids that are looked at.
MOST = 100


def task_names(incomplete: str) -> list[str]:
    """Complete the name of a task."""

    async def read() -> Iterable[str]:
        from ..infrastructure.tasks import get_task_registry

        return get_task_registry().names()

    return _complete(incomplete, read())


def queue_names(incomplete: str) -> list[str]:
    """Complete the name of a queue."""

    async def read(manager: JobManager) -> Iterable[str]:
        return [queue.name for queue in await manager.list_queues()]

    return _ask(incomplete, read)


def job_ids(incomplete: str) -> list[str]:
    """Complete the id of a job, of those that have not ended or have ended last."""

    async def read(manager: JobManager) -> Iterable[str]:
        return [job.job_id for job in (await manager.list_jobs(limit=MOST)).jobs]

    return _ask(incomplete, read)


def dead_ids(incomplete: str) -> list[str]:
    """Complete the id of a dead letter."""

    async def read(manager: JobManager) -> Iterable[str]:
        return [job.job_id for job in (await manager.list_dead_letters(limit=MOST)).jobs]

    return _ask(incomplete, read)


def schedule_ids(incomplete: str) -> list[str]:
    """Complete the name of a schedule."""

    async def read(manager: JobManager) -> Iterable[str]:
        return [schedule.id for schedule in await manager.list_scheduled()]

    return _ask(incomplete, read)


def worker_ids(incomplete: str) -> list[str]:
    """Complete the id of a worker."""

    async def read(manager: JobManager) -> Iterable[str]:
        return [worker.worker_id for worker in await manager.list_workers()]

    return _ask(incomplete, read)


def statuses(incomplete: str) -> list[str]:
    """Complete the status of a job."""
    from ..infrastructure.jobs import JobStatus

    return _fitting(incomplete, JobStatus)


def causes(incomplete: str) -> list[str]:
    """Complete the cause of a failure."""
    from ..infrastructure.jobs import FailureCause

    return _fitting(incomplete, FailureCause)


def priorities(incomplete: str) -> list[str]:
    """Complete a priority."""
    from ..infrastructure.jobs import JobPriority

    return _fitting(incomplete, (priority.name.lower() for priority in JobPriority))


def _ask(incomplete: str, read: Callable[[JobManager], Awaitable[Iterable[str]]]) -> list[str]:
    async def within(manager: JobManager) -> Iterable[str]:
        async with asyncio.timeout(PATIENCE):
            return await read(manager)

    return _complete(incomplete, glance(within))


def _complete(incomplete: str, words: Coroutine[Any, Any, Iterable[str]]) -> list[str]:
    level = logging.root.manager.disable
    logging.disable()
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            return _fitting(incomplete, asyncio.run(words))
    except (Exception, SystemExit, KeyboardInterrupt):  # noqa: BLE001 - a bad setting is a SystemExit
        return []
    finally:
        logging.disable(level)


def _fitting(incomplete: str, words: Iterable[str]) -> list[str]:
    in_bash = "COMP_WORDS" in os.environ
    begun = _in_one_word() if in_bash else incomplete
    typed = begun.rfind(":") + 1 if in_bash else 0
    fitting = [str(word) for word in words if word.startswith(begun) and word.isprintable()]
    return [re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", word[typed:]) for word in fitting] if in_bash else fitting


def _in_one_word() -> str:
    """Give what has been typed of the word: to bash, a colon and what is on either side of it are words of their own.

    It replaces only what stands after the colon.
    """
    words, at = os.environ["COMP_WORDS"].split("\n"), int(os.environ.get("COMP_CWORD", "0"))
    begun = words[at] if at < len(words) else ""
    while at > 1 and at < len(words) and ":" in {words[at], words[at - 1]}:
        at -= 1
        begun = words[at] + begun
    return begun
