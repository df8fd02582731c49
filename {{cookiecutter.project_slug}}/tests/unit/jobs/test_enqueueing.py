"""Enqueueing without a pool or a manager: what the front door is called with."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobError,
    JobPriority,
    enqueue,
    enqueue_delayed,
    enqueue_in,
    set_enqueuer,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext

#: What the front door was called with.
calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []


async def enqueue_task(*args: Any, **kwargs: Any) -> str:
    calls.append((args, kwargs))
    return "an id"


@pytest.fixture(autouse=True)
def enqueuer() -> Iterator[None]:
    """Stand in for the front door."""
    calls.clear()
    before = set_enqueuer(enqueue_task)
    yield
    set_enqueuer(before)


@task
async def greet(ctx: TaskContext, name: str) -> None:
    """Greet somebody."""


async def test_arguments_go_to_the_task() -> None:
    """Options become those of `enqueue_task`, only if they were given, and all else goes to the task."""
    assert await enqueue("greet", "Ada", loud=True) == "an id"
    await enqueue(greet, name="Ada", priority=JobPriority.LOW, queue="mail")
    assert calls == [
        (("greet", "Ada"), {"loud": True}),
        ((greet,), {"name": "Ada", "_priority": JobPriority.LOW, "_queue": "mail"}),
    ]


async def test_a_delay_stands_where_it_reads_well() -> None:
    """By name, or in front as in `Task.enqueue_in`: both defer the job."""
    hour = timedelta(hours=1)
    await enqueue_delayed(greet, "Ada", delay=hour)
    await enqueue_in(hour, greet, "Ada")
    await enqueue_in(60, "greet", name="Ada", priority=JobPriority.HIGH, queue="mail")
    assert calls == [
        ((greet, "Ada"), {"_defer_by": hour}),
        ((greet, "Ada"), {"_defer_by": hour}),
        (("greet",), {"name": "Ada", "_defer_by": 60, "_priority": JobPriority.HIGH, "_queue": "mail"}),
    ]


async def test_a_task_takes_a_priority() -> None:
    """As an option of the jobs that it enqueues."""
    await greet.options(priority=JobPriority.CRITICAL, queue="mail").enqueue("Ada")
    assert calls == [((greet, "Ada"), {"_priority": JobPriority.CRITICAL, "_queue": "mail"})]


async def test_nothing_is_enqueued_without_the_front_door() -> None:
    """The error says what to import."""
    set_enqueuer(None)
    with pytest.raises(JobError, match=r"'greet': nothing enqueues yet; import the front door, infrastructure\.tasks"):
        await enqueue("greet", "Ada")
