"""What the shell completes, and that it never says anything else."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.console import completion
from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, get_job_manager

if TYPE_CHECKING:
    from collections.abc import Callable

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs


async def complete(words: Callable[[str], list[str]], incomplete: str = "") -> list[str]:
    """Ask as the shell does: in a process, here a thread, without an event loop."""
    return await asyncio.to_thread(words, incomplete)


async def test_what_there_is_now_is_completed(jobs: MemoryJobs) -> None:
    """Tasks, queues, jobs, dead letters and schedules, by how they begin."""
    dead = await enqueue_task("example_task", message="x", seconds="x")
    await jobs.run_jobs(scheduled=True)
    waiting = await enqueue_task("example_task", message="x", _queue="emails", _job_id="job-1")
    await (await get_job_manager()).schedule("example_task", "0 9 * * *", "every morning", kwargs={"message": "x"})
    assert "example_task" in await complete(completion.task_names, "exam")
    assert await complete(completion.task_names, "nosuch") == []
    assert await complete(completion.queue_names) == ["default", "emails"]
    assert await complete(completion.job_ids) == [waiting, dead]
    assert await complete(completion.job_ids, "job-") == ["job-1"]
    assert await complete(completion.dead_ids) == [dead]
    assert await complete(completion.schedule_ids, "every") == ["every morning"]
    assert await complete(completion.worker_ids) == []


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("e", [r"every\ morning"]),
        ("cron", ["cron:one", "cron:two"]),
        ("cron\n:\nt", ["two"]),
        ("cron\n:\nc", []),
    ],
)
async def test_bash_takes_a_colon_for_a_word(
    jobs: MemoryJobs, typed: str, completed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It puts what is given after the colon, and a space needs a backslash."""
    assert jobs
    for name in ("every morning", "cron:one", "cron:two"):
        await (await get_job_manager()).schedule("example_task", "0 9 * * *", name, kwargs={"message": "x"})
    words = f"my\nschedules\nrun\n{typed}"
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count("\n")))
    assert sorted(await complete(completion.schedule_ids, typed.rpartition("\n")[2])) == completed


def test_words_that_are_always_the_same_need_no_server() -> None:
    """Statuses, causes and priorities."""
    assert completion.statuses("") == [str(status) for status in JobStatus]
    assert completion.statuses("fa") == ["failed"]
    assert completion.causes("lost") == ["lost_worker"]
    assert completion.priorities("") == ["low", "normal", "high", "critical"]


async def test_a_redis_that_is_away_completes_nothing(jobs: MemoryJobs, capfd: pytest.CaptureFixture[str]) -> None:
    """And says nothing; what is logged afterwards is logged as ever."""
    disabled = logging.root.manager.disable
    with jobs.redis_away():
        assert await complete(completion.queue_names) == []
        assert await complete(completion.job_ids) == []
        assert "example_task" in await complete(completion.task_names)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == disabled


def test_a_bad_setting_completes_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """It would end any other command with a message."""
    monkeypatch.setenv("REDIS_URL", "bogus")
    get_settings.cache_clear()
    assert completion.queue_names("") == []
    assert capfd.readouterr() == ("", "")
