"""Workers that serve all queues or those that they are told, and keep slots free for some."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobPriority,
    JobStatus,
    TaskContext,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    WorkerSettings,
    enqueue_task,
)

from .told_workers import ended, note, working
from processes import command

if TYPE_CHECKING:
    from redis.asyncio.client import Monitor

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from ..conftest import RunJobs

SETTINGS = f"{WorkerSettings.__module__}.WorkerSettings"


class Gate:
    """A task that goes on when the gate is opened for one of its jobs."""

    def __init__(self) -> None:
        self.inside: asyncio.Queue[str] = asyncio.Queue()
        self._open = asyncio.Semaphore(0)

    async def wait(self, ctx: TaskContext) -> None:
        self.inside.put_nowait(ctx["job_id"])
        await self._open.acquire()

    def open(self) -> None:
        self._open.release()


async def test_a_worker_of_all_queues_learns_of_a_new_one(pool: TaskPool) -> None:
    """A job in a queue that nobody has ever used is run, although every worker was idle, and so is the next one."""
    async with working(note, queues="*"), working(note, queues="*"):
        assert (await ended(pool, await pool.enqueue("note"))).status is JobStatus.SUCCESS
        for queue in ("fresh", "another", "fresh"):
            record = await ended(pool, await pool.enqueue("note", queue=queue))
            assert (record.status, record.queue) == (JobStatus.SUCCESS, queue)


async def test_a_worker_of_all_queues_starts_with_what_is_there(pool: TaskPool) -> None:
    """Jobs that were enqueued before it was started are found, whatever their queue and priority."""
    job_id = await pool.enqueue("note", queue="old", priority=JobPriority.LOW)
    async with working(note, queues="*"):
        assert (await ended(pool, job_id)).status is JobStatus.SUCCESS


async def test_a_worker_leaves_other_queues_alone(pool: TaskPool, run_jobs: RunJobs) -> None:
    """One that is told its queues serves no other, `default` included."""
    for queue in ("default", "emails", "reports"):
        await pool.enqueue("note", queue=queue, job_id=queue)
    await run_jobs(note, queues="emails,reports")
    statuses = {name: record.status for name in ("default", "emails", "reports") if (record := await pool.record(name))}
    assert statuses == {"default": JobStatus.PENDING, "emails": JobStatus.SUCCESS, "reports": JobStatus.SUCCESS}


async def test_slots_are_kept_free_for_a_queue(pool: TaskPool) -> None:
    """However many jobs of others wait, the next job of that queue starts at once; its slots are not lent."""
    gate = Gate()
    async with working(note, gate.wait, queues="emails=1,*", max_jobs=2):
        waiting = {await pool.enqueue("wait") for _ in range(3)}
        first = await gate.inside.get()
        for _ in range(3):
            assert (await ended(pool, await pool.enqueue("note", queue="emails"))).status is JobStatus.SUCCESS
        assert gate.inside.empty()
        for _ in range(2):
            gate.open()
            assert await gate.inside.get() in waiting - {first}
        gate.open()
        for job_id in waiting:
            assert (await ended(pool, job_id)).status is JobStatus.SUCCESS


async def test_a_queue_may_fill_more_than_its_own_slots(pool: TaskPool) -> None:
    """What is kept free for a queue is the least that it has, not the most."""
    gate = Gate()
    async with working(gate.wait, queues="emails=1,*", max_jobs=3):
        emails = [await pool.enqueue("wait", queue="emails") for _ in range(3)]
        assert {await gate.inside.get() for _ in range(3)} == set(emails)
        for _ in emails:
            gate.open()
        for job_id in emails:
            await ended(pool, job_id)


async def test_the_environment_says_which_queues(pool: TaskPool) -> None:
    """`WORKER_QUEUES`, as `just worker emails,reports` sets it; `worker-check` looks for a worker of the same."""
    other = await enqueue_task("example_task", message="x")
    async with command("arq", SETTINGS, WORKER_QUEUES="emails,reports") as worker:
        job_id = await enqueue_task("example_task", message="x", _queue="reports")
        assert (await ended(pool, job_id)).status is JobStatus.SUCCESS
        for queues, status in (("emails,reports", 0), ("*", 1)):
            check_command = ("{{ cookiecutter.project_slug }}", "worker-check")
            async with command(*check_command, WORKER_QUEUES=queues) as check:
                assert await check.end() == status, check.output
                assert ("queues emails, reports" if status == 0 else "queue 'default'") in check.output
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.end() == 0
    assert other
    record = await pool.record(other)
    assert record
    assert record.status is JobStatus.PENDING


@pytest.mark.parametrize(
    ("queues", "problem"),
    [("emails,emails", "named twice"), ("emails=x", "'emails=x'"), ("emails=10,*", "max_jobs=10")],
)
async def test_queues_that_make_no_sense_end_a_worker(queues: str, problem: str) -> None:
    """It says what is wrong, and with which value."""
    async with command("arq", SETTINGS, WORKER_QUEUES=queues) as worker:
        assert await worker.end() == 1
    assert problem in worker.output
    assert queues in worker.output


async def test_signs_of_life_are_those_of_the_first_queue(pool: TaskPool) -> None:
    """So workers of different queues do not stand for each other."""
    async with working(note, queues=["emails", "reports"], health_check_interval=1) as worker:
        await ended(pool, await pool.enqueue("note", queue="emails"))
        assert await pool.exists(keys.health(keys.queue("emails")))
        assert not await pool.exists(keys.health())
        assert worker.presence.record.queues == ["emails", "reports"]


async def until_listening(monitor: Monitor, *queues: str) -> None:
    """Wait until a worker begins to block on the wake lists of exactly these queues."""
    expected = ["BLPOP", *[keys.wake(keys.queue(queue)) for queue in queues]]
    async for entry in monitor.listen():
        if entry["command"].split()[:-1] == expected:
            return


async def test_a_worker_listens_for_as_long_as_it_is_idle(pool: TaskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One blocking call ends after some seconds; the next begins, however long the worker's own pauses are."""
    monkeypatch.setattr("{{ cookiecutter.__package }}.infrastructure.jobs.running.wakeup.WAIT", 0.05)
    async with pool.monitor() as monitor, working(note, queues="default"):
        for _ in range(3):
            await until_listening(monitor, "default")
        assert (await ended(pool, await pool.enqueue("note"))).status is JobStatus.SUCCESS


async def test_a_slot_that_becomes_free_is_open_to_wake_ups_at_once(pool: TaskPool) -> None:
    """A worker that could take jobs of one queue alone listens to all again when it can take others."""
    gate = Gate()
    async with pool.monitor() as monitor, working(note, gate.wait, queues="emails=1,default", max_jobs=2):
        job_id = await pool.enqueue("wait")
        await until_listening(monitor, "emails")
        gate.open()
        await ended(pool, job_id)
        for _ in range(2):
            assert (await ended(pool, await pool.enqueue("note"))).status is JobStatus.SUCCESS


async def test_an_idle_worker_takes_over_an_urgent_job(pool: TaskPool) -> None:
    """Nobody tells that the lease of a lost worker has lapsed, so with each sign of life it looks into every lane."""
    lane = keys.queue("reports", JobPriority.HIGH)
    async with pool.monitor() as monitor, working(note, health_check_interval=1, poll_delay=0.05):
        job_id = await pool.enqueue("note", queue="reports", priority=JobPriority.HIGH, defer_by=3600)
        assert job_id
        await until_listening(monitor, "default", "reports")
        seconds, _ = await pool.time()
        await pool.zadd(lane, {job_id: seconds * 1000 + 0.5})
        assert (await ended(pool, job_id)).status is JobStatus.SUCCESS


@pytest.mark.parametrize("limit", [{"queue_read_limit": 1}, {"max_burst_jobs": 1}])
async def test_what_limits_a_claim_takes_nothing_from_shared_slots(
    limit: dict[str, int], pool: TaskPool, run_jobs: RunJobs
) -> None:
    """The slots that are kept free for one queue stand beside those that another may fill, however few it asks for."""
    job_id = await pool.enqueue("note")
    assert job_id
    await run_jobs(note, queues="emails=5,default", **limit)
    record = await pool.record(job_id)
    assert record
    assert record.status is JobStatus.SUCCESS
