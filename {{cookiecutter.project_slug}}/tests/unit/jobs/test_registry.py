"""How tasks are named, and how calls are checked."""

from __future__ import annotations

import asyncio
from functools import partial, wraps
from typing import Any

import pytest
from arq import cron, func
from arq.worker import Function

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidJobError,
    Schedule,
    TaskRegistry,
    UnknownTaskError,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.decorators import retry, timeout
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidPolicyError
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import TaskPolicy, function_of
from {{ cookiecutter.__package }}.infrastructure.jobs.registry import with_scheduled
from {{ cookiecutter.__package }}.infrastructure.jobs.retries import RetryConfig
from {{ cookiecutter.__package }}.infrastructure.jobs.task import as_function, task


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


@task(name="mail.send", timeout=60, retry=4, keep_result=5, queue="mail")
async def typed(ctx: dict[str, Any], to: str) -> None: ...


@retry(max_tries=2)
@timeout(5)
async def decorated(ctx: dict[str, Any], to: str) -> None: ...


@pytest.mark.parametrize(
    ("known_as", "name"),
    [
        (typed, "mail.send"),
        (typed.function, "mail.send"),
        (f"{__name__}.typed", "mail.send"),
        ("mail.send", "mail.send"),
        (decorated, "decorated"),
        (function_of(decorated), "decorated"),
        (f"{__name__}.decorated", "decorated"),
        ("decorated", "decorated"),
    ],
)
def test_a_task_object_and_a_decorated_function_are_found(known_as: Any, name: str) -> None:
    """By name, by path, by what was listed, and by the function that it was made from; calls are checked as ever."""
    registry = TaskRegistry([typed, decorated])
    assert registry.name_of(known_as) == name
    registry.check_call(name, ("ada@example.com",), {})
    with pytest.raises(InvalidJobError, match=rf"^{name}: .*'to'"):
        registry.check_call(name, (), {"too": "ada@example.com"})


def test_the_registry_knows_the_policies() -> None:
    """Also of cron jobs, and of what sets nothing."""
    registry = TaskRegistry([typed, send_letter, func(decorated, name="other")], [cron(typed, hour=1)])
    assert registry.policy_of("mail.send") is typed.policy is registry.policy_of("cron:typed")
    assert registry.policy_of("other") == TaskPolicy(retry=RetryConfig(max_tries=2), timeout=5)
    assert registry.policy_of("send_letter") == TaskPolicy()
    assert registry.find_policy("mail.send") is typed.policy
    assert registry.find_policy("zzz") is None


def test_one_call_has_one_form() -> None:
    """However arguments are given, and whether defaults are, they are the same by name."""
    registry = TaskRegistry([send_letter])
    expected = {"to": "Ada", "urgent": False}
    assert registry.bound("send_letter", ("Ada",), {}) == expected
    assert registry.bound("send_letter", (), {"urgent": False, "to": "Ada"}) == expected
    with pytest.raises(InvalidJobError, match=r"^send_letter: .*'to'"):
        registry.bound("send_letter", (), {})


def test_several_tasks_may_be_made_from_one_function() -> None:
    """Each is found by itself; the function itself means the one that was listed as it is, or else the first."""
    quick, slow = task(name="quick")(send_letter), task(name="slow")(send_letter)
    registry = TaskRegistry([quick, slow])
    assert [registry.name_of(known_as) for known_as in (quick, slow, send_letter)] == ["quick", "slow", "quick"]
    assert TaskRegistry([quick, send_letter]).name_of(send_letter) == "send_letter"


def test_a_task_that_is_not_listed_is_unknown() -> None:
    """Also if its function is, for its policy would not hold; the error shows its name."""
    with pytest.raises(UnknownTaskError, match=r"'<task mail\.send>'"):
        TaskRegistry([typed.function]).name_of(typed)


def test_a_task_takes_the_context() -> None:
    """A function with no place for it is refused when it is listed; one with another argument there, at the call."""

    async def forgot() -> None: ...
    async def by_name_only(*, ctx) -> None: ...
    async def greet(name: str) -> None: ...

    for function in (forgot, by_name_only):
        with pytest.raises(InvalidJobError, match=r"has no place for the context: let `ctx` be its first parameter"):
            TaskRegistry([function])
    registry = TaskRegistry([greet])
    with pytest.raises(InvalidJobError, match="multiple values for argument 'name'; its first parameter, 'name', is"):
        registry.check_call(registry.name_of(greet), (), {"name": "Ada"})


def test_a_function_that_is_not_listed_is_shown_by_where_it_stands() -> None:
    """Not by its address, and with the task that bears its name."""
    with pytest.raises(UnknownTaskError) as caught:
        TaskRegistry([plain_task]).name_of(send_letter)
    path = f"{__name__}.send_letter"
    hint = "registered are plain_task. Tasks are registered in WorkerSettings.functions."
    assert str(caught.value) == f"no task is registered as {path!r}: {hint}"


def test_names_of_task_objects_count_twice_too() -> None:
    """A name given by `@task(name=...)` can be taken."""
    with pytest.raises(InvalidJobError, match=r"two tasks are named 'mail\.send'"):
        TaskRegistry([typed, func(send_letter, name="mail.send")])


def test_arq_gets_what_the_policy_says() -> None:
    """The record holds name, timeout, tries and time to keep; its `coroutine` is what was listed."""
    record: Any = as_function(typed)
    assert (record.name, record.timeout_s, record.max_tries, record.keep_result_s) == ("mail.send", 60, 4, 5)
    assert record.keep_result_forever is False
    assert record.coroutine is typed
    plain = as_function(send_letter)
    assert (plain.timeout_s, plain.max_tries, plain.keep_result_s, plain.keep_result_forever) == (None,) * 4


def test_what_arq_func_was_given_wins_over_the_policy() -> None:
    """What it was not given comes from the policy, the name too."""
    record = as_function(func(typed, timeout=1, keep_result=2))
    assert (record.name, record.timeout_s, record.max_tries, record.keep_result_s) == ("mail.send", 1, 4, 2)
    record = as_function(func(typed, name="other", max_tries=1, keep_result_forever=True))
    assert (record.name, record.timeout_s, record.max_tries) == ("other", 60, 1)
    assert record.keep_result_forever is True
    letter: Any = partial(send_letter, to="x")
    assert as_function(Function("letter", letter, None, None, None, None)).name == "letter"


def test_a_task_object_can_be_listed_by_its_path() -> None:
    """The path is its name, as in arq; its policy holds."""
    path = f"{__name__}.typed"
    registry = TaskRegistry([path])
    assert registry.name_of(typed) == path
    assert registry.policy_of(path) is typed.policy


def test_what_has_no_name_needs_one() -> None:
    """A partial cannot be listed as it is."""
    with pytest.raises(InvalidJobError, match="is no function"):
        TaskRegistry([partial(send_letter, to="x")])


def test_a_hidden_policy_is_an_error() -> None:
    """A worker would not keep to it."""

    @wraps(decorated)
    async def logged(ctx: dict[str, Any], to: str) -> None:
        await decorated(ctx, to)

    with pytest.raises(InvalidPolicyError, match="below another decorator"):
        TaskRegistry([logged])


def test_a_function_that_a_schedule_names_is_a_task() -> None:
    """It need not be listed, as with arq's `cron()`; one that is listed is there once, and names are left alone."""

    async def listed(_ctx: dict[str, Any]) -> None: ...

    async def scheduled(_ctx: dict[str, Any]) -> None: ...

    listed_task = task(listed)
    schedules = [Schedule(function, f"{number}", interval=60) for number, function in enumerate((listed, scheduled))]
    schedules += [Schedule(scheduled, "again", interval=60), Schedule("by its name", "name", interval=60)]
    assert with_scheduled([listed_task], schedules) == [listed_task, scheduled]
    assert with_scheduled([listed_task], None) == [listed_task]
