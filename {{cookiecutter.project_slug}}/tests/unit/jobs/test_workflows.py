"""What a caller says of a workflow is checked before anything is sent, and errors say where it is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import func

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    InvalidJobError,
    RedisSettings,
    TaskPool,
    TaskRegistry,
    Unique,
    close_client,
    keys,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidWorkflowError
from {{ cookiecutter.__package }}.infrastructure.jobs.messages import new_job_id
from {{ cookiecutter.__package }}.infrastructure.jobs.records import JobStatus
from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows import parts
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.client import MAX_JOBS, Workflows
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.records import (
    WorkflowJob,
    WorkflowKind,
    WorkflowRecord,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.steps import Step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def add(ctx: dict[str, Any], one: int, two: int = 0) -> None: ...


async def total(ctx: dict[str, Any], results: list[int], *, plus: int = 0) -> None: ...


@task(unique=Unique.PENDING)
async def alone(ctx: dict[str, Any]) -> None: ...


@pytest.fixture
async def workflows() -> AsyncIterator[Workflows]:
    """Give workflows whose Redis is nowhere: whoever asks it fails."""
    pool = TaskPool.from_settings(
        RedisSettings(host="nowhere.invalid"), registry=TaskRegistry([add, total, alone]), max_payload=1000
    )
    yield Workflows(pool)
    await close_client(pool)


GOOD = ("add", (1,))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "chain: []: it has no step; give one at least"),
        ("add", "chain: 'add': give a list of steps, each as (task, args, kwargs)"),
        (Step("add"), "chain: Step.*: give a list of steps"),
        (5, "chain: 5: give a list of steps"),
        ([GOOD, ()], r"step 2: (): give (task, args, kwargs), or a Step"),
        ([GOOD, ("add", (1,), {}, 1)], "step 2: .*: give (task, args, kwargs), or a Step"),
        ([("add", "one")], "step 1: 'one': give the arguments as a tuple, as in (task, (1, 2), {})"),
        ([("add", {"one": 1})], "step 1: {'one': 1}: give the arguments as a tuple"),
        ([("add", (), ["one"])], "step 1: ['one']: give the named arguments as a dict, by their names"),
        ([("add", (), {1: 1})], "step 1: {1: 1}: give the named arguments as a dict, by their names"),
        ([GOOD, GOOD, "ad"], "step 3: 'ad': no task is registered as 'ad': did you mean 'add'?"),
        ([GOOD, None], "step 2: None: no task is registered as 'None'"),
        ([GOOD, ("add", (1, 2, 3))], "step 2: 'add': add: too many positional arguments"),
        ([GOOD, "add"], "step 2: 'add': add: missing a required argument: 'one'"),
        ([GOOD, ("add", (object(),))], "step 2: 'add': add: "),
        ([GOOD, ("add", ("x" * 1000,))], "step 2: 'add': add: the job takes 1,"),
        ([GOOD, "alone"], "step 2: 'alone': is unique, so it may be left out, and a workflow needs all its jobs"),
        ([Step("add", (1,), queue="not a name")], "step 1: 'add': queue 'not a name': "),
        ([Step("add", (1,), priority=7)], "step 1: 'add': priority=7: "),  # type: ignore[arg-type]
        ([Step("add", (1,), pass_result=True)], "step 1: 'add': pass_result: there is no step before it"),
        ([GOOD, Step("add", (1, 2), pass_result=True)], "step 2: 'add': add: too many positional arguments"),
        ([GOOD] * (MAX_JOBS + 1), "chain: 10001: steps are too many; it may have 10,000"),
    ],
)
async def test_a_chain_is_refused_with_the_step_and_the_value(workflows: Workflows, steps: Any, message: str) -> None:
    """The error says which step, what was given, and what is wrong with it; nothing is sent."""
    with pytest.raises(InvalidWorkflowError) as caught:
        await workflows.chain(steps)
    assert isinstance(caught.value, InvalidJobError)
    beginning, _, rest = message.partition(".*")
    assert str(caught.value).startswith(beginning)
    assert rest in str(caught.value)


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([], {}, "group: []: it has no member; give one at least"),
        ([GOOD, "nobody"], {}, "member 2: 'nobody': no task is registered"),
        ([Step("add", (1,), pass_result=True)], {}, "member 1: 'add': pass_result is for the steps of a chain"),
        (
            [GOOD],
            {"callback": Step("total", pass_result=True)},
            "callback: 'total': pass_result is for the steps of a chain",
        ),
        ({"add": (1, 2)}, {}, "group: {'add': (1, 2)}: give a list of members, each as (task, args, kwargs)"),
        (b"add", {}, "group: b'add': give a list of members, each as (task, args, kwargs)"),
        ([GOOD], {"callback": "total", "callback_args": "12"}, "callback: '12': give the arguments as a tuple"),
        ([GOOD], {"callback": "total", "callback_args": 5}, "callback: 5: give the arguments as a tuple"),
        ([GOOD], {"callback_args": (1,)}, "callback_args, callback_kwargs: (1,): leave them out, for there is no"),
        (
            [GOOD],
            {"callback": Step("total"), "callback_kwargs": {"minus": 1}},
            "callback_args, callback_kwargs: {'minus': 1}: leave them out, for the callback comes with its own",
        ),
        ([GOOD], {"callback": "nobody"}, "callback: 'nobody': no task is registered"),
        ([GOOD], {"callback": "add"}, "callback: 'add': add: "),
        ([GOOD], {"callback": ("total", (1, 2))}, "callback: 'total': total: "),
        ([GOOD], {"callback": "total", "callback_args": (1, 2)}, "callback: 'total': total: "),
        ([GOOD], {"callback": "total", "callback_kwargs": {"minus": 1}}, "callback: 'total': total: "),
        (
            [GOOD],
            {"callback": "total", "callback_kwargs": {"results": [1]}},
            "callback: [1]: `results` is what the members return; leave it out",
        ),
        ([GOOD], {"on_failure": "stop"}, "on_failure: 'stop': give one of fail, cancel, continue"),
    ],
)
async def test_a_group_is_refused_with_the_member_and_the_value(
    workflows: Workflows, members: Any, options: dict[str, Any], message: str
) -> None:
    """So it is with members, the callback and the policy."""
    with pytest.raises(InvalidWorkflowError) as caught:
        await workflows.group(members, **options)
    assert str(caught.value).startswith(message)


async def test_a_client_that_knows_no_tasks_takes_names_and_functions(workflows: Workflows) -> None:
    """Without a registry any name will do, but not just anything."""
    workflows._pool.registry = None
    steps: Any = ["whatever", 5]
    with pytest.raises(InvalidWorkflowError, match=r"^step 2: 5: "):
        await workflows.chain(steps)


@pytest.mark.parametrize(
    "value",
    ["add", add, ("add",), ["add"], ("add", ()), ("add", [], {}), Step("add")],
)
def test_what_stands_for_a_step(value: Any) -> None:
    """A task alone, or with some of its arguments."""
    step = Step.of("step 1", value)
    assert (step.task in {"add", add}, tuple(step.args), dict(step.kwargs)) == (True, (), {})


def test_ids_of_jobs_tell_their_place() -> None:
    """The place is read back from the id, and ids sort as places do; no other id has one."""
    workflow_id = new_job_id()
    job_ids = [keys.workflow_job(workflow_id, number) for number in (0, 1, 9, 10, 9_999, MAX_JOBS)]
    assert job_ids == sorted(job_ids)
    assert keys.workflow_part(job_ids[3]) == (workflow_id, 10)
    for other in ("", workflow_id, f"{workflow_id}-1", f"{workflow_id}_00001", f"{workflow_id}-0000x", "a-00001"):
        assert keys.workflow_part(other) is None


def test_why_a_workflow_has_stopped() -> None:
    """It says which job, and why; where nobody knows, it says that much."""
    assert parts.reason("w", "chain", "3", "1", "add failed: no") == "step 2 of 3, job w-00001: add failed: no"
    assert parts.reason("w", "group", "3", "1", "add failed: no") == "member 2 of 3, job w-00001: add failed: no"
    assert parts.reason("w", "group", "3", "3", "total failed: no") == "callback, job w-00003: total failed: no"
    assert parts.reason("w", "group", "3", None, "somebody's wish") == "somebody's wish"
    assert parts.reason("w", None, None, None, None) == "its workflow was cancelled"


async def test_workflows_in_memory() -> None:
    """Chains and groups run on the Redis inside the process as on a real one, failures and all."""

    async def sums(ctx: dict[str, Any], one: int = 0, two: int = 0) -> int:  # noqa: ARG001
        return one + two

    async def fails(ctx: dict[str, Any], *_args: int) -> int:  # noqa: ARG001
        raise ValueError("no luck")

    async def collects(ctx: dict[str, Any], *, results: list[Any]) -> list[str]:  # noqa: ARG001
        return list(map(repr, results))

    tasks = [func(function, name=function.__name__, max_tries=1) for function in (sums, fails, collects)]
    async with MemoryJobs({"functions": tasks}) as jobs:
        memory = Workflows(jobs.pool)
        ids = [
            await memory.chain([("sums", (1,)), ("sums", (2,)), ("sums", (3,))], pass_result=True),
            await memory.chain([("sums", (1,)), "fails", "sums"]),
            await memory.group([("sums", (number,)) for number in range(600)], callback="collects"),
            await memory.group(["sums", "fails"], callback="collects", on_failure="continue"),
            await memory.group(["fails", "sums"], callback="collects", on_failure="cancel"),
            await memory.chain(["sums", "sums"]),
        ]
        assert await memory.cancel(ids[-1])
        await jobs.run_jobs(at_most=2000)
        records = [record for workflow_id in ids if (record := await memory.get(workflow_id))]
        assert [record.status.value for record in records] == [
            *("success", "failed", "success", "success", "failed", "cancelled"),
        ]
        assert records[0].result == 6
        assert records[2].result == [str(number) for number in range(600)]
        assert records[3].result == ["0", "ValueError('no luck')"]
        assert [job.status.value for job in records[1].jobs] == ["success", "failed", "cancelled"]
        waited = await jobs.pool.record(records[1].jobs[2].job_id)
        assert waited
        assert waited.error == f"CancelledError: {records[1].error}"
        assert not await jobs.pool.keys("arq:job:*")


def test_the_record_counts() -> None:
    """Progress is how many steps or members have ended, and how; the callback is not counted."""
    statuses = [JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SUCCESS, JobStatus.RUNNING]
    record = WorkflowRecord(
        "w",
        WorkflowKind.GROUP,
        JobStatus.RUNNING,
        tuple(WorkflowJob(str(number), "add", status) for number, status in enumerate(statuses)),
        WorkflowJob("5", "total", JobStatus.PENDING),
    )
    assert (record.total, record.done, record.failed, record.cancelled) == (5, 2, 1, 1)
