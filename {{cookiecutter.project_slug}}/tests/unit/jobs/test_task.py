"""Tasks that can be enqueued."""

from __future__ import annotations

import inspect
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from arq import cron, func

from {{ cookiecutter.__package }}.infrastructure.jobs import JobError
from {{ cookiecutter.__package }}.infrastructure.jobs.decorators import timeout
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidPolicyError
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import TaskPolicy, Unique
from {{ cookiecutter.__package }}.infrastructure.jobs.task import set_enqueuer, task

if TYPE_CHECKING:
    from collections.abc import Iterator


@task
async def double(ctx: dict[str, Any], number: int, *, word: str = "job") -> str:
    """Say a number twice over."""
    return f"{word} {ctx.get('job_id')}: {2 * number}"


@task(name="checksum", in_process=True)
def checksum(ctx: dict[str, Any], text: str) -> int:
    """Add up letters."""
    return sum(map(ord, text)) + len(ctx)


@pytest.fixture
def enqueued() -> Iterator[list[tuple[Any, ...]]]:
    """Collect what the front door is called with."""
    calls: list[tuple[Any, ...]] = []

    async def enqueue_task(*args: Any, **kwargs: Any) -> str:
        calls.append((*args, kwargs))
        return f"id-{len(calls)}"

    before = set_enqueuer(enqueue_task)
    yield calls
    set_enqueuer(before)


async def test_a_task_is_called_as_its_function() -> None:
    """An `async def` is awaited, a `def` answers at once; no policy stands between."""
    assert await double({"job_id": "a"}, 4) == "job a: 8"
    assert await double({}, number=4, word="no") == "no None: 8"
    assert checksum({}, "ab") == 195


async def test_a_task_made_from_a_decorated_function_calls_that() -> None:
    """What `@timeout` does in a direct call, it does below `@task` too."""

    @task(queue="mail")
    @timeout(5)
    async def send(ctx: dict[str, Any]) -> str:
        return f"{ctx} sent"

    assert await send({}) == "{} sent"
    assert send.policy == TaskPolicy(queue="mail", timeout=5)


def test_a_task_looks_like_its_function() -> None:
    """Name, text, module, parameters, and whether it is an `async def`: for `inspect`, and so for arq."""
    for made, is_async in (double, True), (checksum, False):
        function: Any = made.function
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            assert getattr(made, name) == getattr(function, name)
        assert inspect.unwrap(made) is function
        assert inspect.signature(made) == inspect.signature(function)
        assert inspect.iscoroutinefunction(made) is is_async
    assert func(double).name == "double"
    assert cron(double, hour=3).name == "cron:double"


def test_a_task_has_a_name() -> None:
    """That of the function, unless it is given one."""
    assert (double.name, repr(double)) == ("double", "<task double>")
    assert (checksum.name, repr(checksum)) == ("checksum", "<task checksum>")
    assert "<lambda>" in task(lambda ctx: ctx).name


def test_a_task_is_pickled_by_where_it_stands() -> None:
    """So another process finds the same task, with its policy, by importing its module."""
    assert pickle.loads(pickle.dumps(double)) is double
    assert pickle.loads(pickle.dumps(checksum)) is checksum


def test_a_task_is_made_once() -> None:
    """`@task` twice is a mistake."""
    with pytest.raises(InvalidPolicyError, match="<task double>: is a Task already"):
        task(double)


async def test_enqueueing_goes_through_the_front_door(enqueued: list[tuple[Any, ...]]) -> None:
    """It gets the task, its arguments, and only those options that were given; what it answers is given back."""
    assert await double.enqueue(4) == "id-1"
    assert await double.enqueue(number=4, word="no") == "id-2"
    assert await double.enqueue_in(60, 4) == "id-3"
    when = datetime(2030, 1, 1, tzinfo=UTC)
    assert await double.enqueue_at(when, 4, word="no") == "id-4"
    assert enqueued == [
        (double, 4, {}),
        (double, {"number": 4, "word": "no"}),
        (double, 4, {"_defer_by": 60}),
        (double, 4, {"_defer_until": when, "word": "no"}),
    ]


async def test_options_hold_for_each_job_enqueued_through_them(enqueued: list[tuple[Any, ...]]) -> None:
    """They become the options of `enqueue_task`; the task itself keeps none."""
    hour = timedelta(hours=1)
    session: Any = object()
    urgent = double.options(queue="urgent", expires=hour, unique=Unique.PENDING, session=session)
    expected = {"_queue": "urgent", "_expires": hour, "_unique": Unique.PENDING, "_session": session}
    await urgent.enqueue(1)
    await urgent.enqueue_in(hour, 2)
    await double.options(job_id="id", idempotency_key="key", defer_by=5).enqueue(3)
    await double.enqueue(4)
    assert enqueued == [
        (double, 1, expected),
        (double, 2, expected | {"_defer_by": hour}),
        (double, 3, {"_job_id": "id", "_idempotency_key": "key", "_defer_by": 5}),
        (double, 4, {}),
    ]


async def test_arguments_may_be_called_as_our_own(enqueued: list[tuple[Any, ...]]) -> None:
    """`delay`, `when`, `function` are free for tasks."""

    @task
    async def remind(ctx: dict[str, Any], delay: int, when: str, function: str) -> None: ...

    await remind.enqueue_in(5, delay=1, when="now", function="none")
    assert enqueued == [(remind, {"_defer_by": 5, "delay": 1, "when": "now", "function": "none"})]


@pytest.mark.usefixtures("enqueued")
async def test_without_the_front_door_nothing_is_enqueued() -> None:
    """The error says what to import."""
    set_enqueuer(None)
    with pytest.raises(JobError, match=r"<task double>: .*import the front door"):
        await double.enqueue(4)


@pytest.mark.usefixtures("enqueued")
async def test_the_front_door_can_be_replaced_for_a_while() -> None:
    """Setting an enqueuer gives the one before, to be set again."""

    async def enqueue_task(*_args: Any, **_kwargs: Any) -> str:
        return "mine"

    before = set_enqueuer(enqueue_task)
    assert await double.enqueue(4) == "mine"
    assert set_enqueuer(before) is enqueue_task
    assert await double.enqueue(4) == "id-1"


def test_hooks_can_be_set_by_decorators() -> None:
    """They become part of the policy, and stay functions."""

    @task(timeout=5)
    async def send(ctx: dict[str, Any], to: str) -> int:
        return len(ctx) + len(to)

    @send.on_success
    async def sent(ctx: dict[str, Any], result: int, to: str) -> None: ...

    @send.on_failure
    async def failed(ctx: dict[str, Any], error: Exception, to: str) -> None: ...

    assert send.policy == TaskPolicy(timeout=5, on_success=sent, on_failure=failed)
    assert inspect.isfunction(sent)
    with pytest.raises(InvalidPolicyError, match=r"on_failure of .*send=.*already.*once"):
        send.on_failure(failed)
