"""What a type checker makes of tasks: mypy reads this file, and reports each `type: ignore` that catches nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_type

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    BatchResult,
    InvalidScheduleError,
    JobManager,
    JobRecord,
    MemoryQueueBackend,
    ScheduleRecord,
    Step,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.decorators import background_task, retry, timeout
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidPolicyError
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import RateLimit, TaskPolicy, Unique, policy_of
from {{ cookiecutter.__package }}.infrastructure.jobs.retries import RetryConfig
from {{ cookiecutter.__package }}.infrastructure.jobs.task import ConfiguredTask, Task, set_enqueuer, task

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs.context import TaskContext


@task
async def send(ctx: dict[str, Any], to: str, *, copies: int = 1) -> bytes:
    return f"{to} {copies} {len(ctx)}".encode()


@task(
    name="checksum",
    retry=RetryConfig(max_tries=5, delay=timedelta(minutes=1), retry_on=OSError, give_up_on=(FileNotFoundError,)),
    timeout=timedelta(minutes=5),
    queue="slow",
    unique=Unique.FINISHED,
    concurrency=2,
    rate_limit=RateLimit(100, per=60),
    keep_result=60,
)
def checksum(ctx: TaskContext, text: str) -> int:
    return len(ctx) + len(text)


async def measure(ctx: TaskContext, text: str) -> int:
    return len(ctx) + len(text)


async def collect(_ctx: TaskContext, results: list[int]) -> int:
    return sum(results)


@pytest.fixture(autouse=True)
def recorder() -> Any:
    """Let wrong calls be made: nothing here is enqueued."""

    async def enqueue_task(*_args: Any, **_kwargs: Any) -> str:
        return "id"

    before = set_enqueuer(enqueue_task)
    yield
    set_enqueuer(before)


async def test_a_task_has_the_types_of_its_function() -> None:
    """Called, it takes the same arguments and gives the same result; `dict` and `TaskContext` are contexts."""
    assert_type(await send({}, "ada@example.com", copies=2), bytes)
    assert_type(checksum({}, "text"), int)
    with pytest.raises(TypeError):
        await send({}, "ada@example.com", copy=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        checksum({}, 5)  # type: ignore[arg-type]


async def test_enqueueing_takes_the_arguments_after_the_context() -> None:
    """All three ways, with and without options."""
    assert_type(await send.enqueue("ada@example.com"), str | None)
    assert_type(await send.enqueue(to="ada@example.com", copies=2), str | None)
    assert_type(await checksum.enqueue_in(timedelta(hours=1), "text"), str | None)
    assert_type(await checksum.enqueue_at(datetime(2030, 1, 1, tzinfo=UTC), text="text"), str | None)
    urgent = send.options(
        job_id="id",
        queue="urgent",
        defer_by=5,
        expires=timedelta(hours=1),
        idempotency_key="key",
        unique=Unique.PENDING,
    )
    assert_type(await urgent.enqueue("ada@example.com"), str | None)
    assert_type(await urgent.enqueue_in(5, "ada@example.com", copies=3), str | None)


async def test_wrong_arguments_are_found_by_the_type_checker() -> None:
    """Missing, unknown, mistyped, too many; and the context, which only the worker gives."""
    await send.enqueue()  # type: ignore[call-arg]
    await send.enqueue(5)  # type: ignore[arg-type]
    await send.enqueue(to=b"ada@example.com")  # type: ignore[arg-type]
    await send.enqueue("ada@example.com", copy=2)  # type: ignore[call-arg]
    await send.enqueue("ada@example.com", 2)  # type: ignore[call-arg]
    await send.enqueue({}, "ada@example.com")  # type: ignore[call-arg, arg-type]
    await send.enqueue_in("5", "ada@example.com")  # type: ignore[arg-type]
    await send.enqueue_in(5)  # type: ignore[call-arg]
    await send.enqueue_at(5, "ada@example.com")  # type: ignore[arg-type]
    await send.options(queue="urgent").enqueue()  # type: ignore[call-arg]
    await send.options(queue="urgent").enqueue_at(datetime.now(UTC), to=5)  # type: ignore[arg-type]


def test_wrong_options_are_found_by_the_type_checker() -> None:
    """Unknown and mistyped ones, of jobs and of tasks."""
    send.options(prioritty=5)  # type: ignore[call-arg]
    send.options(queue=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        task(tiemout=5)  # type: ignore[call-overload]
    with pytest.raises(InvalidPolicyError):
        task(timeout="5")  # type: ignore[call-overload]
    with pytest.raises(InvalidPolicyError):
        background_task(unique=True)  # type: ignore[call-overload]
    with pytest.raises(InvalidPolicyError):
        retry(max_tries="3")  # type: ignore[call-overload]
    with pytest.raises(InvalidPolicyError):
        timeout("5")  # type: ignore[arg-type]
    with pytest.raises(InvalidPolicyError):
        RetryConfig(retry_on=int)  # type: ignore[arg-type]


async def test_a_managers_calls_are_checked() -> None:
    """Its steps may be of any shape, and ids what enqueueing gives; its options have names and types."""
    async with JobManager(MemoryQueueBackend(functions=[send, measure, collect])) as jobs:
        assert_type(await jobs.wait_for(await jobs.enqueue(measure, "a")), JobRecord)
        steps = [("measure", ("a",), {}), (send, ("ada@example.com",)), (send, ("b",), {"copies": 2})]
        assert_type(await jobs.chain(steps, pass_result=False), str)
        assert_type(await jobs.chain([("measure", ("a",), {}), Step(send, ("b",)), [measure, ["c"]]]), str)
        assert_type(await jobs.group([(measure, (text,)) for text in "ab"], callback=collect), str)
        assert_type(await jobs.enqueue_batch(measure, [{"text": "a"}], queue="sums", key=str), BatchResult)
        assert_type(await jobs.schedule(measure, "0 9 * * *", args=("a",), timezone="Europe/Rome"), ScheduleRecord)
        with pytest.raises(TypeError):
            await jobs.chain(steps, pass_results=True)  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            await jobs.enqueue_batch(measure, [], qeue="sums")  # type: ignore[call-arg]
        with pytest.raises(InvalidScheduleError):
            await jobs.schedule_interval(measure, "5", args=("a",))  # type: ignore[arg-type]
        with pytest.raises(InvalidScheduleError):
            await jobs.schedule_interval(measure, 5, args=("a",), timezone="Europe/Rome")  # type: ignore[call-arg]


def test_the_first_parameter_is_the_context() -> None:
    """A function that takes something else first is no task."""

    def shout(text: str) -> str:
        return text.upper()

    assert task(shout).name  # type: ignore[arg-type]
    assert task(timeout=5)(shout).name  # type: ignore[arg-type]


def test_hooks_take_the_arguments_of_their_task() -> None:
    """After the context and the result, or the error; `*args, **kwargs` fit every task."""

    async def general(ctx: dict[str, Any], error: Exception, *args: Any, **kwargs: Any) -> None: ...

    @task(on_failure=general)
    async def fetch(ctx: TaskContext, number: int) -> list[str]:
        return [str(ctx)] * number

    assert_type(fetch, Task[[int], Coroutine[Any, Any, list[str]]])  # type: ignore[assert-type] # it has names too

    @fetch.on_success
    async def fetched(ctx: TaskContext, result: list[str], number: int) -> None: ...

    @checksum.on_success
    def added(ctx: TaskContext, result: int, text: str) -> None: ...

    @checksum.on_failure
    def not_added(ctx: dict[str, Any], error: Exception, text: str) -> None: ...

    assert fetch.policy == TaskPolicy(on_success=fetched, on_failure=general)
    assert (checksum.policy.on_success, checksum.policy.on_failure) == (added, not_added)


def test_wrong_hooks_are_found_by_the_type_checker() -> None:
    """What it cannot find in `@task(on_failure=...)`, the decorators of a task let it find."""

    @task
    async def fetch(ctx: TaskContext, number: int) -> list[str]:
        return [str(ctx)] * number

    @fetch.on_success  # type: ignore[arg-type]
    async def wrong_result(ctx: TaskContext, result: str, number: int) -> None: ...

    @fetch.on_failure  # type: ignore[arg-type]
    async def wrong_argument(ctx: TaskContext, error: Exception, number: str) -> None: ...

    async def missing(ctx: TaskContext, error: Exception) -> None: ...
    async def not_the_error(ctx: TaskContext, error: str, number: int) -> None: ...

    with pytest.raises(InvalidPolicyError):
        fetch.on_failure(missing)  # type: ignore[arg-type]
    assert task(on_failure=not_the_error)  # type: ignore[arg-type]


async def test_decorated_functions_keep_their_types() -> None:
    """Names of parameters and the result are those of the function, bare, with options, and in stacks."""

    @retry(max_tries=2, delay=0)
    @timeout(5)
    @background_task(queue="slow")
    async def fetch(address: str, *, times: int = 1) -> list[str]:
        return [address] * times

    @retry(delay=0)
    @background_task
    def shout(text: str) -> str:
        return text.upper()

    @task
    @retry(RetryConfig(max_tries=2))
    @timeout(timedelta(seconds=5))
    async def load(ctx: TaskContext, number: int) -> bytes:
        return bytes(number + len(ctx))

    assert_type(await fetch("address", times=2), list[str])
    assert_type(shout(text="word"), str)
    assert_type(await load({}, number=5), bytes)
    assert_type(await load.enqueue(number=5), str | None)
    await load.enqueue(number="5")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await fetch("address", time=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        shout()  # type: ignore[call-arg]


def test_tasks_are_functions_to_those_who_list_them() -> None:
    """A list of plain functions and tasks, and what is read of them."""
    functions: list[Callable[..., Any]] = [send, checksum, retry(test_the_first_parameter_is_the_context)]
    assert [assert_type(policy_of(function), TaskPolicy).timeout for function in functions] == [None, 300.0, None]
    configured: ConfiguredTask[[str]] = checksum.options(queue="urgent")
    assert configured
