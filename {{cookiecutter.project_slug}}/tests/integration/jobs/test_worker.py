"""The worker as a process: arq's command line, start, stop, and a Redis that goes away."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import arq.worker
import pytest
from arq import cron

from {{ cookiecutter.__package }}.infrastructure.embedded import embedded_redis, free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import UnsafeRedisError, Worker, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claim
from {{ cookiecutter.__package }}.infrastructure.jobs.running.consumer import Consumer
from {{ cookiecutter.__package }}.infrastructure.jobs.safety import refuse_unsafe_redis
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    WorkerSettings,
    enqueue_task,
    example_task,
    get_redis_settings,
)

from processes import command

if TYPE_CHECKING:
    from pathlib import Path

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

SETTINGS = f"{WorkerSettings.__module__}.WorkerSettings"


def arq_command(*options: str, **environment: str) -> Any:
    return command("arq", SETTINGS, *options, **environment)


async def result_of(pool: TaskPool, job_id: str | None) -> Any:
    assert job_id is not None
    job = await pool.job(job_id)
    assert job is not None
    info = await job.wait(timeout=60)
    assert info is not None
    assert info.error is None
    return info.result


async def test_arqs_command_line_runs_this_worker() -> None:
    """The command line looks `arq.worker.Worker` up when it starts, and reads its settings from the signature."""
    settings: Any = WorkerSettings
    worker = arq.worker.create_worker(settings, burst=True, handle_signals=False)
    assert type(worker) is Worker
    assert {"retry_delay", "allow_eviction", "max_tries"} <= set(arq.worker.get_kwargs(settings))


async def test_burst_runs_what_is_due_and_ends(pool: TaskPool) -> None:
    """`arq ... --burst` ends with status 0 once the queue is empty."""
    job_id = await enqueue_task("example_task", message="burst")
    async with arq_command("--burst") as worker:
        assert await worker.end() == 0
    assert await result_of(pool, job_id) == "burst (try 1)"


async def test_check_tells_whether_a_worker_is_alive(pool: TaskPool) -> None:
    """`arq --check` and `worker-check` are false without a worker, and true while one runs."""
    checks = (["arq", SETTINGS, "--check"], ["{{ cookiecutter.project_slug }}", "worker-check"])
    for words in checks:
        async with command(*words) as check:
            assert await check.end() == 1
    async with arq_command() as worker:
        job_id = await enqueue_task("example_task", message="x")
        assert await result_of(pool, job_id) == "x (try 1)"
        assert 0 < await pool.ttl(keys.health()) <= 6
        for words in checks:
            async with command(*words) as check:
                assert await check.end() == 0, check.output
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.end() == 0


async def test_watch_starts_the_worker_anew(pool: TaskPool, tmp_path: Path) -> None:
    """`arq ... --watch` runs jobs before and after a file has changed, and ends with one signal."""
    async with arq_command("--watch", str(tmp_path), "--verbose", LOG_LEVEL="INFO") as worker:
        assert await result_of(pool, await enqueue_task("example_task", message="before")) == "before (try 1)"
        await worker.until("example_task ●")
        # The watcher may not have begun when the job ran.
        for number in range(60):
            (tmp_path / f"changed-{number}.py").touch()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await worker.until("reloading arq worker")
                    break
        worker.output = ""
        assert await result_of(pool, await enqueue_task("example_task", message="after")) == "after (try 1)"
        await worker.until("example_task ●")
        assert await pool.zcard(keys.WORKERS) == 1
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.end() == 0
    assert "Traceback" not in worker.output


async def test_sigterm_lets_running_jobs_finish(pool: TaskPool) -> None:
    """A stopping worker takes no new job, finishes the one that runs, and ends with status 0."""
    running = await enqueue_task("example_task", message="running", seconds=1)
    async with arq_command() as worker:
        await worker.until("example_task(")
        worker.process.send_signal(signal.SIGTERM)
        await worker.until("to be completed")
        waiting = await enqueue_task("example_task", message="waiting", _job_id="waiting")
        assert await worker.end() == 0
    assert "Traceback" not in worker.output
    assert await result_of(pool, running) == "running (try 1)"
    info = await pool.record(str(waiting))
    assert info is not None
    assert (info.status, info.tries) == ("pending", 0)


async def test_redis_away_at_start_and_later(tmp_path: Path) -> None:
    """The worker waits for Redis with a log line, works when it comes, and again after it was away."""
    port = free_port()
    async with arq_command(REDIS_URL=f"redis://127.0.0.1:{port}", LOG_LEVEL="INFO") as worker:
        await worker.until("Redis does not answer, next try in")
        with embedded_redis(tmp_path / "data", port):
            await worker.until("Starting worker for")
        assert "Traceback" not in worker.output
        worker.output = ""
        await worker.until("Redis does not answer, next try in")
        with embedded_redis(tmp_path / "data", port):
            async with command("arq", SETTINGS, "--check", REDIS_URL=f"redis://127.0.0.1:{port}") as check:
                await check.end()
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.end() == 0
    assert "Traceback" not in worker.output


async def test_a_worker_that_waits_for_redis_can_be_stopped() -> None:
    """SIGTERM ends a worker that has never reached Redis, without a stack trace."""
    async with arq_command(REDIS_URL=f"redis://127.0.0.1:{free_port()}") as worker:
        await worker.until("Redis does not answer")
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.end() == 0
    assert "Traceback" not in worker.output


async def test_a_malformed_url_is_one_line() -> None:
    """`arq` ends at once with the name of the setting."""
    async with arq_command(REDIS_URL="redis://host:port") as worker:
        assert await worker.end() == 1
    assert worker.output.startswith("REDIS_URL: 'redis://host:port'")
    assert worker.output.count("\n") == 1


async def test_a_redis_that_evicts_is_refused(pool: TaskPool) -> None:
    """Where memory pressure would drop queued jobs, the worker does not start, and says what to do."""
    await pool.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with arq_command() as worker:
            assert await worker.end() == 1
        assert "its maxmemory-policy is 'allkeys-lru'" in worker.output
        assert "Traceback" not in worker.output
        async with arq_command("--burst", REDIS_ALLOW_EVICTION="true") as worker:
            assert await worker.end() == 0
        with pytest.raises(UnsafeRedisError, match="REDIS_ALLOW_EVICTION"):
            await refuse_unsafe_redis(pool, allow_eviction=False, allow_no_persistence=True)
    finally:
        await pool.config_set("maxmemory-policy", "noeviction")


async def test_a_redis_that_forgets_is_warned_of(pool: TaskPool, caplog: pytest.LogCaptureFixture) -> None:
    """Without append-only file and snapshots a warning is logged, unless the setting accepts it."""
    caplog.set_level(logging.WARNING)
    await refuse_unsafe_redis(pool, allow_eviction=False, allow_no_persistence=False)
    assert not caplog.records  # the embedded server appends to a file
    await pool.config_set("appendonly", "no")
    await pool.config_set("save", "")
    try:
        await refuse_unsafe_redis(pool, allow_eviction=False, allow_no_persistence=True)
        assert not caplog.records
        await refuse_unsafe_redis(pool, allow_eviction=False, allow_no_persistence=False)
        assert "persists nothing" in caplog.text
        await pool.config_set("save", "60 1")
        caplog.clear()
        await refuse_unsafe_redis(pool, allow_eviction=False, allow_no_persistence=False)
        assert not caplog.records
    finally:
        await pool.config_set("appendonly", "yes")


async def test_a_stop_while_a_hook_runs_loses_nothing(pool: TaskPool) -> None:
    """A job whose `after_job_end` is cut short has ended all the same: it is neither handed back nor lost."""
    begun = asyncio.Event()

    async def hangs(ctx: dict[str, Any]) -> None:  # noqa: ARG001
        begun.set()
        await asyncio.Event().wait()

    worker = Worker([example_task], redis_settings=get_redis_settings(), after_job_end=hangs, handle_signals=False)
    job_id = await enqueue_task("example_task", message="x")
    running = asyncio.create_task(worker.async_run())
    async with asyncio.timeout(60):
        await begun.wait()
        await worker.close()
    await asyncio.gather(running, return_exceptions=True)
    assert await result_of(pool, job_id) == "x (try 1)"
    assert (worker.jobs_complete, worker.jobs_retried, worker.jobs_lost, worker.tasks) == (1, 0, 0, {})


async def test_a_claim_that_is_lost_before_its_start_is_let_go(pool: TaskPool) -> None:
    """It is not run, its lease is renewed no longer, and the next job that may end its worker has its turn."""
    worker = Worker([example_task], redis_pool=pool, handle_signals=False)
    consumer = Consumer(worker)
    claim = Claim("a", b"", 3, 2, 0, keys.queue(), "lapsed", 0, "3:0", lost=True)
    consumer._held.take(claim)
    consumer._suspects._running = claim
    consumer._ready.append(claim)
    consumer._start()
    assert not worker.tasks
    assert not consumer._held.claims
    assert not consumer._suspects._running


async def test_a_hook_that_raises_harms_nobody(pool: TaskPool, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, the job goes on, and so does the worker."""

    async def fails(ctx: dict[str, Any]) -> None:  # noqa: ARG001
        raise ValueError("no")

    hooks: Any = dict.fromkeys(("on_job_start", "on_job_end", "after_job_end"), fails)
    worker = Worker([example_task], redis_settings=get_redis_settings(), burst=True, handle_signals=False, **hooks)
    job_ids = [await enqueue_task("example_task", message="x") for _ in range(2)]
    await worker.async_run()
    await worker.close()
    assert [await result_of(pool, job_id) for job_id in job_ids] == ["x (try 1)"] * 2
    assert caplog.text.count("failed\nTraceback") == 6


async def test_cron_runs_once_per_tick_on_two_workers(redis_url: str) -> None:  # noqa: ARG001
    """Two workers with the same schedule run each tick once."""
    ticks: list[int] = []
    enough = asyncio.Event()

    async def tick(ctx: dict[str, Any]) -> None:
        ticks.append(ctx["score"])
        if len(ticks) >= 3:
            enough.set()

    def worker() -> Worker:
        return Worker(
            cron_jobs=[cron(tick, name="tick", second=set(range(60)))],
            redis_settings=get_redis_settings(),
            handle_signals=False,
            poll_delay=0.05,
        )

    workers = [worker(), worker()]
    running = [asyncio.create_task(w.async_run()) for w in workers]
    async with asyncio.timeout(60):
        await enough.wait()
    for w in workers:
        await w.close()
    await asyncio.gather(*running, return_exceptions=True)
    assert len(ticks) == len(set(ticks))
