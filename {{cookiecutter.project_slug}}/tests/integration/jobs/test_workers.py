"""Who is alive, and telling one worker to rest or to end, in real processes."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobStatus,
    QueueUnavailable,
    Schedule,
    Schedules,
    TaskPool,
    Worker,
    WorkerNotFoundError,
    WorkerRecord,
    Workers,
    WorkerState,
    close_client,
    keys,
    parse_redis_url,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.running.consumer import Consumer
from {{ cookiecutter.__package }}.infrastructure.tasks import example_task, get_redis_settings

from .scripts.test_full_redis import full
from .test_recovery import (
    claims,
    ends,
    is_alive,
    plain_client,
    plain_worker,
    record_of,
    runs,
    server,
    until,
    worker,
)
from processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arq.connections import ArqRedis

    from .test_recovery import Runs, Server
    from processes import Process

__all__ = ["plain_client", "runs", "server"]  # fixtures

#: Seconds between signs of life, where none but the first is to be given.
NEVER = 3600


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[TaskPool]:
    """Give a pool that takes any task."""
    client = TaskPool.from_settings(parse_redis_url(redis_url))
    yield client
    await close_client(client)


@pytest.fixture
def workers(pool: TaskPool) -> Workers:
    return Workers(pool)


async def shown(workers: Workers, process: Process) -> WorkerRecord:
    """Wait until a worker says that it is there."""
    found: list[WorkerRecord] = []

    async def look() -> bool:
        found.extend(record for record in await workers.list() if record.pid == process.process.pid)
        return bool(found)

    await until(look)
    return found[0]


async def state(workers: Workers, worker_id: str, wanted: WorkerState, *, running: int = 0) -> None:
    """Wait until a worker says that it is in this state, with so many jobs."""

    async def is_so() -> bool:
        record = await workers.get(worker_id)
        return (record.state, record.running) == (wanted, running)

    await until(is_so)


async def gone(workers: Workers, worker_id: str) -> None:
    """Wait until a worker is known no more."""

    async def is_gone() -> bool:
        return worker_id not in {record.worker_id for record in await workers.list()}

    await until(is_gone)


async def status(pool: TaskPool, job_id: str) -> tuple[JobStatus, int]:
    record = await record_of(pool, job_id)
    return record.status, record.tries


# Who is alive


async def test_all_workers_are_listed(pool: TaskPool, workers: Workers) -> None:
    """Whichever queues they serve; the one that was started first stands in front, one that is killed is left out."""
    assert await workers.list() == []
    async with worker(queues="emails") as first:
        await shown(workers, first)
        async with worker(queues="reports,default") as second:
            await shown(workers, second)
            one, two = await workers.list()
            assert [one.pid, two.pid] == [first.process.pid, second.process.pid]
            assert [one.queues, two.queues] == [["emails"], ["reports", "default"]]
            assert [one.state, two.state] == [WorkerState.RUNNING] * 2
            assert await workers.get(two.worker_id) == two
            second.process.kill()
            await gone(workers, two.worker_id)
            assert [record.worker_id for record in await workers.list()] == [one.worker_id]
            with pytest.raises(WorkerNotFoundError, match=f"no worker '{two.worker_id}' is alive"):
                await workers.get(two.worker_id)
    assert await pool.exists(keys.WORKERS)  # what is left of both is forgotten later


async def test_a_list_is_two_commands(pool: TaskPool, workers: Workers) -> None:
    """However many workers there are."""
    async with worker() as process:
        record = await pool.get(keys.worker((await shown(workers, process)).worker_id))
    for number in range(300):
        await pool.set(keys.worker(f"w{number}"), record)
        await pool.zadd(keys.WORKERS, {f"w{number}": 0})
    await pool.config_resetstat()
    assert len(await workers.list()) >= 300
    counted = {name: entry["calls"] for name, entry in (await pool.info("commandstats")).items()}
    del counted["cmdstat_config|resetstat"]
    assert counted == {"cmdstat_zrange": 1, "cmdstat_mget": 1}


async def test_ids_of_the_lost_are_forgotten(pool: TaskPool, workers: Workers) -> None:
    """A worker that was killed long ago leaves nothing behind for ever; whose clock is a little wrong, is not hit."""
    seconds, _ = await pool.time()
    await pool.zadd(keys.WORKERS, {"killed": (seconds - 4000) * 1000, "late": (seconds - 60) * 1000})
    async with worker() as process:
        await shown(workers, process)
        assert await pool.zscore(keys.WORKERS, "killed") is None
        assert await pool.zscore(keys.WORKERS, "late") is not None


async def test_the_last_of_a_queue_takes_its_sign_of_life_along(pool: TaskPool, workers: Workers) -> None:
    """Workers of other queues do not keep it, nor do they lose theirs."""
    async with worker(queues="*,emails") as other, worker() as first, worker() as second:
        for process in (other, first, second):
            await shown(workers, process)
        first.process.send_signal(signal.SIGTERM)
        assert await first.end() == 0
        assert await is_alive()
        second.process.send_signal(signal.SIGTERM)
        assert await second.end() == 0
        assert not await is_alive()
        assert await pool.exists(keys.health(keys.queue("emails")))


# Quiet


async def test_a_quiet_worker_finishes_what_it_runs(
    pool: TaskPool, workers: Workers, runs: Runs, tmp_path: Path
) -> None:
    """It starts nothing more, lives on, and still enqueues the ticks of schedules."""
    gate = tmp_path / "gate"
    async with worker() as process:
        await pool.enqueue("waits", (str(gate),), job_id="running")
        await runs.begun("running")
        worker_id = (await shown(workers, process)).worker_id
        await workers.quiet(worker_id)
        await state(workers, worker_id, WorkerState.QUIET, running=1)
        await pool.enqueue("naps", (0,), job_id="waiting")
        await Schedules(pool).add(Schedule("naps", "tick", interval=timedelta(seconds=1), args=(0,)))

        async def ticked() -> bool:
            return (await Schedules(pool).get("tick")).last_job_id is not None

        await until(ticked)
        gate.touch()
        assert [record.status for record in await ends(pool, ["running"])] == [JobStatus.SUCCESS]
        await state(workers, worker_id, WorkerState.QUIET)
        assert await status(pool, "waiting") == (JobStatus.PENDING, 0)
        assert runs.counts() == {"running": 1}
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0
        assert "ordered to be quiet ◆ 1 running jobs are finished" in process.output


async def test_only_the_one_worker_is_quiet(pool: TaskPool, workers: Workers, runs: Runs) -> None:
    """The other one takes what is enqueued from then on, and is woken for each job."""
    async with worker(health_check_interval=NEVER, poll_delay=60) as first, worker(poll_delay=60) as second:
        one, two = await shown(workers, first), await shown(workers, second)
        await workers.quiet(one.worker_id)
        await state(workers, one.worker_id, WorkerState.QUIET)
        job_ids = [await pool.enqueue("naps", (0,)) for _ in range(20)]
        assert {record.result for record in await ends(pool, job_ids)} == {second.process.pid}
        assert (await workers.get(two.worker_id)).state is WorkerState.RUNNING
    assert {pid for job_id in job_ids for pid in runs.pids(str(job_id))} == {second.process.pid}


async def test_an_order_under_load_loses_nothing(pool: TaskPool, workers: Workers, runs: Runs) -> None:
    """Whatever is on its way to a worker that becomes quiet runs elsewhere, and has lost no try."""
    job_ids = await pool.enqueue_many("naps", [{"seconds": 0.01} for _ in range(1000)])
    async with worker(log="WARNING") as first:
        one = await shown(workers, first)
        await runs.begun(str(job_ids[20]))
        await workers.quiet(one.worker_id)
        await state(workers, one.worker_id, WorkerState.QUIET)
        await until(lambda: has_no_claims(pool))
        assert len(runs.counts()) < 1000
        async with worker(log="WARNING"):
            records = await ends(pool, job_ids)
    assert {(record.status, record.tries) for record in records} == {(JobStatus.SUCCESS, 1)}
    assert runs.counts() == dict.fromkeys(job_ids, 1)


async def has_no_claims(pool: TaskPool) -> bool:
    return not await claims(pool)


async def test_what_a_quiet_worker_has_claimed_goes_back(pool: TaskPool) -> None:
    """An order that comes between claim and start: the jobs wait for another worker, and have lost no try."""
    other = Worker([example_task], redis_pool=pool, handle_signals=False)
    consumer = other._consumer = Consumer(other)
    for job_id in "abc":
        await pool.enqueue("example_task", ("x",), job_id=job_id)
    await consumer._claim(3, asyncio.get_running_loop().time())
    assert [claim.job_id for claim in consumer._ready] == ["a", "b", "c"]
    other.quiet()
    consumer._start()
    await consumer._committer.flush()
    assert not other.tasks
    assert [await status(pool, job_id) for job_id in "abc"] == [(JobStatus.PENDING, 0)] * 3
    assert not consumer._held.claims


async def test_quiet_ends_with_the_run_of_a_worker(pool: TaskPool) -> None:
    """A worker that is started again, as `arq --watch` does, begins as any other, though its id is the same."""
    again = Worker([example_task], redis_settings=get_redis_settings(), handle_signals=False, allow_no_persistence=True)
    for _ in range(2):
        running = asyncio.create_task(again.async_run())
        await until(lambda: pool_has(pool, again))
        assert again.state is WorkerState.RUNNING
        await Workers(pool).quiet(again.presence.record.worker_id)
        await until(lambda: again.state is WorkerState.QUIET)
        await again.close()
        await asyncio.gather(running, return_exceptions=True)


async def pool_has(pool: TaskPool, one: Worker) -> bool:
    return bool(await pool.exists(keys.worker(one.presence.record.worker_id)))


# Stop


async def test_a_worker_is_stopped_in_the_middle(pool: TaskPool, workers: Workers, runs: Runs, tmp_path: Path) -> None:
    """As on SIGTERM: what runs may end, nothing else is started, status 0; to order it again changes nothing."""
    gate = tmp_path / "gate"
    async with worker(job_completion_wait=3600) as process:
        await pool.enqueue("waits", (str(gate),), job_id="running")
        await runs.begun("running")
        worker_id = (await shown(workers, process)).worker_id
        await workers.stop(worker_id)
        await process.until("1 to be completed")
        await workers.stop(worker_id)
        await workers.quiet(worker_id)
        await state(workers, worker_id, WorkerState.STOPPING, running=1)
        await pool.enqueue("naps", (0,), job_id="waiting")
        gate.touch()
        assert await process.end() == 0
        assert "on_shutdown has run" in process.output
        assert "again: handing back" not in process.output
        assert "Traceback" not in process.output
    assert await status(pool, "running") == (JobStatus.SUCCESS, 1)
    assert await status(pool, "waiting") == (JobStatus.PENDING, 0)
    with pytest.raises(WorkerNotFoundError):
        await workers.get(worker_id)
    assert not await pool.exists(keys.order(worker_id))
    assert await claims(pool) == []


async def test_sigterm_shows_as_stopping(pool: TaskPool, workers: Workers, runs: Runs, tmp_path: Path) -> None:
    """However a worker was told to end, its record says at once that it is about to."""
    gate = tmp_path / "gate"
    async with worker(health_check_interval=NEVER, job_completion_wait=3600) as process:
        await pool.enqueue("waits", (str(gate),), job_id="a")
        await runs.begun("a")
        worker_id = (await shown(workers, process)).worker_id
        process.process.send_signal(signal.SIGTERM)
        await state(workers, worker_id, WorkerState.STOPPING, running=1)
        gate.touch()
        assert await process.end() == 0


async def test_a_stopped_worker_hands_back_what_takes_too_long(pool: TaskPool, workers: Workers, runs: Runs) -> None:
    """`job_completion_wait` holds for the order as for the signal; the job has lost no try."""
    async with worker(job_completion_wait=0) as process:
        await pool.enqueue("naps", (3600,), job_id="a")
        await runs.begun("a")
        await workers.stop((await shown(workers, process)).worker_id)
        assert await process.end() == 0
        assert "on_shutdown has run" in process.output
        assert "Traceback" not in process.output
    assert await status(pool, "a") == (JobStatus.PENDING, 0)


async def test_a_quiet_worker_can_be_stopped(workers: Workers, runs: Runs) -> None:  # noqa: ARG001
    """As a deploy does: first quiet, and when nothing runs, the end."""
    async with worker() as process:
        worker_id = (await shown(workers, process)).worker_id
        await workers.quiet(worker_id)
        await state(workers, worker_id, WorkerState.QUIET)
        await workers.stop(worker_id)
        assert await process.end() == 0


@pytest.mark.parametrize("order", ["quiet", "stop"])
async def test_a_burst_ends_after_its_last_job(
    order: str, pool: TaskPool, workers: Workers, runs: Runs, tmp_path: Path
) -> None:
    """A worker that is to empty the queue does not go on waiting for jobs that it will not start."""
    gate = tmp_path / "gate"
    for job_id in ("running", "waiting"):
        await pool.enqueue("waits", (str(gate),), job_id=job_id)
    async with worker("--burst", max_jobs=1) as process:
        await runs.begun("running")
        worker_id = (await shown(workers, process)).worker_id
        await getattr(workers, order)(worker_id)
        await state(workers, worker_id, WorkerState("quiet" if order == "quiet" else "stopping"), running=1)
        gate.touch()
        assert await process.end() == 0
    assert await status(pool, "running") == (JobStatus.SUCCESS, 1)
    assert await status(pool, "waiting") == (JobStatus.PENDING, 0)


# On its way


async def test_an_order_waits_for_a_worker_that_is_cut_off(pool: TaskPool, workers: Workers) -> None:
    """What is told while its connection is gone, the worker hears as soon as it listens again."""
    async with worker(health_check_interval=NEVER, poll_delay=60) as process:
        worker_id = (await shown(workers, process)).worker_id
        await until(lambda: listens(pool, worker_id))
        process.process.send_signal(signal.SIGSTOP)
        await pool.client_kill_filter(_type="pubsub")
        await workers.stop(worker_id)
        await workers.quiet(worker_id)  # which is less
        process.process.send_signal(signal.SIGCONT)
        assert await process.end() == 0


async def listens(pool: TaskPool, worker_id: str) -> bool:
    return bool((await pool.pubsub_numsub(keys.order(worker_id)))[0][1])


async def test_an_order_that_was_not_heard_is_found(pool: TaskPool, workers: Workers) -> None:
    """With the next sign of life, whatever became of the message."""
    async with worker() as process:
        worker_id = (await shown(workers, process)).worker_id
        await pool.set(keys.order(worker_id), "stop")
        assert await process.end() == 0


async def test_an_order_survives_a_restart_of_redis(server: Server) -> None:
    """A worker that stood still meanwhile obeys when it comes back."""
    workers = Workers(server.pool)
    async with worker() as process:
        worker_id = (await shown(workers, process)).worker_id
        process.process.send_signal(signal.SIGSTOP)
        await workers.stop(worker_id)
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        process.process.send_signal(signal.SIGCONT)
        assert await process.end() == 0
        assert "on_shutdown has run" in process.output


async def test_a_full_redis_passes_orders_on(server: Server) -> None:
    """Workers may be stopped because it is full."""
    workers = Workers(server.pool)
    async with worker() as process:
        worker_id = (await shown(workers, process)).worker_id
        async with full(server.pool):
            await workers.stop(worker_id)
            assert await process.end() == 0


async def test_a_worker_that_is_gone_cannot_be_told(pool: TaskPool, workers: Workers) -> None:
    """Nothing is left that anybody could obey later."""
    async with worker() as process:
        worker_id = (await shown(workers, process)).worker_id
        process.process.kill()
        await gone(workers, worker_id)
    for order in (workers.quiet, workers.stop):
        for lost in (worker_id, "nobody"):
            with pytest.raises(WorkerNotFoundError, match=lost):
                await order(lost)
            assert not await pool.exists(keys.order(lost))


async def test_an_order_that_nobody_takes_is_forgotten(pool: TaskPool, workers: Workers) -> None:
    """Its worker was killed before it could obey."""
    async with worker() as process:
        worker_id = (await shown(workers, process)).worker_id
        process.process.send_signal(signal.SIGSTOP)
        await workers.quiet(worker_id)
        process.process.kill()
    assert 3000 < await pool.ttl(keys.order(worker_id)) <= 3600


async def test_workers_of_arq_are_left_alone(
    pool: TaskPool, workers: Workers, plain_client: ArqRedis, runs: Runs
) -> None:
    """One of arq's own class on the same queue goes on, whatever this engine's workers are told; it is not listed."""
    async with worker() as process, plain_client, plain_worker(plain_client):
        record = await shown(workers, process)
        assert await workers.list() == [record]
        await workers.quiet(record.worker_id)
        await state(workers, record.worker_id, WorkerState.QUIET)
        job_ids = [await pool.enqueue("naps", (0,)) for _ in range(10)]
        assert process.process.pid not in {record.result for record in await ends(pool, job_ids)}
        await workers.stop(record.worker_id)
        assert await process.end() == 0
        job_ids = [await pool.enqueue("naps", (0,))]
        assert [record.status for record in await ends(pool, job_ids)] == [JobStatus.SUCCESS]
    assert set(runs.counts().values()) == {1}


async def test_without_redis_nothing_is_known() -> None:
    """It is said within a second, for whoever waits."""
    away = TaskPool.from_settings(parse_redis_url(f"redis://127.0.0.1:{free_port()}"))
    workers: Any = Workers(away)
    for ask in (workers.list, lambda: workers.get("a"), lambda: workers.quiet("a"), lambda: workers.stop("a")):
        with pytest.raises(QueueUnavailable, match="Redis does not answer"):
            await ask()
    await close_client(away)
