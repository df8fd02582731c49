"""Workflows whose workers are killed, during a step and between steps, in real processes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.client import Workflows

from integration.jobs.test_recovery import PATIENCE, claims, runs, until, worker

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool
    from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.records import WorkflowRecord

    from integration.jobs.test_recovery import Runs

__all__ = ["runs"]  # a fixture


async def end_of(workflows: Workflows, workflow_id: str) -> WorkflowRecord:
    record = await workflows.wait(workflow_id, timeout=PATIENCE)
    assert record is not None
    assert record.status is JobStatus.SUCCESS, record
    return record


async def test_a_worker_is_killed_during_a_step(
    pool: TaskPool, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That step runs again elsewhere, every other one runs once, and the chain comes to its end."""
    monkeypatch.setattr(pool, "registry", None)
    workflows = Workflows(pool)
    never = str(tmp_path / "never")
    for victim in range(3):
        steps = [("waits", (never,) if number == victim else ()) for number in range(3)]
        workflow_id = await workflows.chain(steps)
        job_ids = [job.job_id for job in ((await workflows.get(workflow_id)) or raise_()).jobs]
        async with worker() as first:
            await runs.begun(job_ids[victim])
            async with worker() as second:
                first.process.kill()
                record = await end_of(workflows, workflow_id)
                assert record.result == second.process.pid
        counts = runs.counts()
        assert [counts[job_id] for job_id in job_ids] == [2 if number == victim else 1 for number in range(3)]
        assert await claims(pool) == []


def raise_() -> WorkflowRecord:
    raise AssertionError("the workflow is gone")


async def test_workers_are_killed_between_steps(pool: TaskPool, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any moment, again and again: no step is lost, and none runs more often than its workers died."""
    monkeypatch.setattr(pool, "registry", None)
    workflows = Workflows(pool)
    steps = 60
    workflow_id = await workflows.chain([("naps", (0.01,))] * steps)
    kills = 0
    for round_ in range(4):
        async with worker(lease=1, max_tries=10) as process:
            record = await workflows.get(workflow_id)
            assert record is not None
            after = record.done + 10 + round_
            await until(lambda after=after: _has_done(workflows, workflow_id, after))  # type: ignore[misc]
            process.process.kill()
            kills += 1
    async with worker(lease=1, max_tries=10):
        record = await end_of(workflows, workflow_id)
    assert record.done == steps
    counts = runs.counts()
    assert set(counts) == {job.job_id for job in record.jobs}
    assert sum(counts.values()) <= steps + kills
    assert await claims(pool) == []


async def _has_done(workflows: Workflows, workflow_id: str, number: int) -> bool:
    record = await workflows.get(workflow_id)
    return record is not None and record.done >= number


async def test_a_group_on_workers_that_are_killed(pool: TaskPool, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred members on several workers, one of which dies: the callback runs once, with every result."""
    monkeypatch.setattr(pool, "registry", None)
    workflows = Workflows(pool)
    async with worker(lease=1, max_tries=10, max_jobs=5) as victim, worker(lease=1), worker(lease=1, max_jobs=5):
        workflow_id = await workflows.group([("naps", (0.05,))] * 200, callback="counts")
        await until(lambda: _has_done(workflows, workflow_id, 20))
        victim.process.send_signal(signal.SIGKILL)
        record = await end_of(workflows, workflow_id)
    assert record.result == 200
    assert (record.done, record.failed) == (200, 0)
    assert record.callback
    counts = runs.counts()
    assert counts[record.callback.job_id] == 1
    assert set(counts) == {job.job_id for job in (*record.jobs, record.callback)}
    assert sum(counts.values()) <= 201 + 5


async def test_a_worker_that_comes_back_too_late_moves_no_chain(
    pool: TaskPool, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has to say of a step that another has ended is not heard, so the next one runs once."""
    monkeypatch.setattr(pool, "registry", None)
    workflows = Workflows(pool)
    gate = tmp_path / "gate"
    async with worker() as first:
        workflow_id = await workflows.chain([("waits", (str(gate),)), ("waits", ())])
        record = await workflows.get(workflow_id)
        assert record is not None
        step, last = [job.job_id for job in record.jobs]
        await runs.begun(step)
        async with worker():
            first.process.send_signal(signal.SIGSTOP)
            ended = await end_of(workflows, workflow_id)
            gate.touch()
            first.process.send_signal(signal.SIGCONT)
            await first.until("lost")
        assert await workflows.get(workflow_id) == ended
        assert runs.counts() == {step: 2, last: 1}
