"""How tasks are named, and how calls are checked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from arq import cron, func

from {{ cookiecutter.__package }}.infrastructure.jobs import InvalidJobError, TaskRegistry, UnknownTaskError


async def send_letter(ctx, to: str, *, urgent: bool = False) -> None: ...


def plain_task(ctx) -> None: ...


async def other_task(ctx) -> None: ...


@pytest.fixture
def registry() -> TaskRegistry:
    return TaskRegistry([send_letter, plain_task, func(other_task, name="renamed")], [cron(other_task, hour=1)])


@pytest.mark.parametrize("task", ["send_letter", f"{__name__}.send_letter", send_letter])
def test_a_task_is_found_by_name_path_and_itself(registry: TaskRegistry, task: Any) -> None:
    """All three name the same task."""
    assert registry.name_of(task) == "send_letter"


def test_a_name_given_by_arq_func_counts(registry: TaskRegistry) -> None:
    """`arq.func(task, name=...)` renames a task; cron jobs are known by arq's name for them."""
    assert registry.name_of("renamed") == "renamed"
    assert registry.name_of(other_task) == "renamed"
    assert registry.name_of("cron:other_task") == "cron:other_task"


@pytest.mark.parametrize("task", ["send_leter", "letter", f"{__name__}.send_lettr"])
def test_an_unknown_name_suggests_near_misses(registry: TaskRegistry, task: str) -> None:
    """The error names what was asked for and what may have been meant."""
    with pytest.raises(UnknownTaskError, match=r"send_letter") as caught:
        registry.name_of(task)
    assert repr(task) in str(caught.value)


@pytest.mark.parametrize("task", ["zzz", "os.getcwd", "no.such.module", "", ".", len, lambda: None, [], None])
def test_what_is_no_task_is_refused(registry: TaskRegistry, task: Any) -> None:
    """Nothing that is not registered can be enqueued, importable or not."""
    with pytest.raises(UnknownTaskError, match=r"registered are|did you mean"):
        registry.name_of(task)


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {}, "'to'"),
        (("a", "b"), {}, "positional"),
        (("a",), {"urgnt": True}, "urgnt"),
        (("a",), {"_defer": 5}, "_defer"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    registry: TaskRegistry, args: tuple[object, ...], kwargs: dict[str, object], problem: str
) -> None:
    """The error names the task and the argument, where the mistake was made and not in the worker."""
    with pytest.raises(InvalidJobError, match=rf"^send_letter: .*{problem}"):
        registry.check_call("send_letter", args, kwargs)


def test_two_tasks_cannot_share_a_name() -> None:
    """One would never run."""
    with pytest.raises(InvalidJobError, match="two tasks are named 'send_letter'"):
        TaskRegistry([send_letter, func(other_task, name="send_letter")])


def test_a_text_in_the_list_of_functions_is_imported() -> None:
    """As in arq, a dotted path is a task of that name; one that leads nowhere is an error that says so."""
    assert TaskRegistry(["asyncio.sleep"]).name_of(asyncio.sleep) == "asyncio.sleep"
    with pytest.raises(InvalidJobError, match=r"'send_letter' in WorkerSettings\.functions cannot be imported"):
        TaskRegistry(["send_letter"])
    with pytest.raises(InvalidJobError, match="42 is no function"):
        TaskRegistry([42])
