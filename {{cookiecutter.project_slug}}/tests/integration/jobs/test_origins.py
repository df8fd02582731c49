"""Whose a job is: who has the request, or the job, that enqueued it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog

from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    DeadLetters,
    RetryConfig,
    TaskPool,
    Workflows,
    current_owner,
    owned_by,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.relay import Relay
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, example_task, find_job

if TYPE_CHECKING:
    from ..conftest import RunJobs


async def tell(ctx: dict[str, Any]) -> str | None:  # noqa: ARG001
    """Give the owner that a job of this one would have."""
    return current_owner()


async def pass_on(ctx: dict[str, Any]) -> str:
    """Enqueue a job."""
    return str(await ctx["redis"].enqueue("tell", (), {}))


@task(retry=RetryConfig(max_tries=1))
async def fail(ctx: dict[str, Any]) -> None:
    """Become a dead letter."""
    raise ValueError(ctx["job_id"])


async def owner_of(pool: TaskPool, job_id: str | None) -> str | None:
    """Look a job's owner up."""
    record = await pool.record(str(job_id))
    assert record is not None
    return record.owner


async def test_a_job_is_of_whoever_enqueues_it(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The owner is known while the job waits and when it has ended, and its task finds it; others have none."""
    with owned_by("7"):
        own = await pool.enqueue("tell", (), {})
    nobodys = await pool.enqueue("tell", (), {})
    given = await pool.enqueue("tell", (), {}, owner="8")
    owners = [await owner_of(pool, job_id) for job_id in (own, nobodys, given)]
    assert owners == ["7", None, "8"]
    await run_jobs(tell)
    for job_id, owner in zip((own, nobodys, given), owners, strict=True):
        record = await pool.record(str(job_id))
        assert record is not None
        assert (record.owner, record.result) == (owner, owner)


async def test_a_job_that_a_job_enqueues_is_of_the_same_owner(pool: TaskPool, run_jobs: RunJobs) -> None:
    """What a job leads to belongs to whoever has led to that job."""
    with owned_by("7"):
        first = await pool.enqueue("pass_on", (), {})
    await run_jobs(pass_on, tell)
    record = await pool.record(str(first))
    assert record is not None
    assert await owner_of(pool, record.result) == "7"


@pytest.mark.parametrize("owner", ["7", ""])
async def test_a_replay_is_of_the_first_owner(pool: TaskPool, run_jobs: RunJobs, owner: str) -> None:
    """It does not become that of whoever replays it, also where it was nobody's."""
    with owned_by(owner):
        first = await pool.enqueue("fail", (), {})
    await run_jobs(fail)
    letters = DeadLetters(pool)
    assert (await letters.get(str(first))).owner == (owner or None)
    with owned_by("the administrator"):
        again = await letters.replay(str(first))
    assert await owner_of(pool, again) == (owner or None)


async def test_a_cancelled_job_keeps_its_owner(pool: TaskPool) -> None:
    """Its record says whose it was."""
    with owned_by("7"):
        job_id = str(await pool.enqueue("tell", (), {}))
    assert await pool.cancel(job_id)
    assert await owner_of(pool, job_id) == "7"


async def test_a_workflow_and_its_jobs_are_of_one_owner(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The workflow as a whole, read as a job, has the owner of its jobs."""
    workflows = Workflows(pool)
    with owned_by("7"):
        workflow_id = await workflows.chain([(example_task, ("x",), {}), (example_task, ("y",), {})])
    nobodys = await workflows.group([(example_task, ("z",), {})])
    await run_jobs(example_task)
    workflow, other = await workflows.get(workflow_id), await workflows.get(nobodys)
    assert workflow is not None
    assert other is not None
    assert (workflow.owner, workflow.as_job().owner, other.owner) == ("7", "7", None)
    assert [await owner_of(pool, job.job_id) for job in workflow.jobs] == ["7", "7"]


@pytest.mark.usefixtures("redis_url", "tables")
async def test_a_job_in_the_outbox_has_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks before it is published is told, too."""
    monkeypatch.setattr(Relay, "nudge", lambda _: None)
    async with get_session_context() as session:
        with owned_by("7"):
            job_id = await enqueue_task("example_task", message="x", _session=session)
        await session.commit()
    record = await find_job(str(job_id))
    assert record is not None
    assert (record.owner, record.status) == ("7", "pending")


async def test_the_log_tells_whose_job_it_is(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Lines that a task logs carry the owner."""
    seen: list[dict[str, Any]] = []

    async def look(ctx: dict[str, Any]) -> None:  # noqa: ARG001
        seen.append(structlog.contextvars.get_contextvars())

    with owned_by("7"):
        await pool.enqueue("look", (), {})
    await run_jobs(look)
    assert [values["owner"] for values in seen] == ["7"]
