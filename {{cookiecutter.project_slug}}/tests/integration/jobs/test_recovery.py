"""What becomes of jobs when a worker or Redis dies, stands still, restarts or is told to stop, in real processes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from arq.connections import RedisSettings as ArqRedisSettings
from arq.connections import create_pool
from arq.jobs import Job
from arq.worker import func
from redis.asyncio import Redis

from {{ cookiecutter.__package }}.infrastructure.embedded import embedded_redis, free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobError,
    JobRecord,
    JobStatus,
    TaskPool,
    Worker,
    close_client,
    codec,
    keys,
    parse_redis_url,
)

from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from arq.connections import ArqRedis

    from processes import Process

CRASHERS = "integration.jobs.crashers"
SETTINGS = f"{CRASHERS}.SETTINGS"
TESTS = str(Path(__file__).parents[2])
#: Seconds of a lease of these workers.
LEASE = 2
#: Seconds after which what does not happen is taken never to happen.
PATIENCE = 60
#: How often a worker under load is told to stop.
STOPS = int(os.environ.get("RECOVERY_STOPS", "12"))


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Look again and again until the condition holds; for what only Redis or a file tells."""
    async with asyncio.timeout(PATIENCE):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.02)


class Runs:
    """The runs of tasks, as they have noted them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def pids(self, job_id: str) -> list[int]:
        """Give the processes in which the job began to run, in order."""
        lines = [line.split() for line in self._path.read_text().splitlines()]
        return [int(pid) for job, pid in lines if job == job_id]

    def counts(self) -> dict[str, int]:
        """Give how often each job began to run."""
        jobs = [line.split()[0] for line in self._path.read_text().splitlines()]
        return {job: jobs.count(job) for job in set(jobs)}

    async def begun(self, job_id: str, *, times: int = 1) -> None:
        """Wait until the job has begun to run so often."""
        await until(lambda: len(self.pids(job_id)) >= times)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    return Runs(tmp_path / "runs")


class Server:
    """A Redis of the test's own, which may be stopped and started; what it holds stays."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._port = free_port()
        self._running = ExitStack()
        self.url = self.start()
        self.pool = TaskPool.from_settings(parse_redis_url(self.url))

    def start(self) -> str:
        return self._running.enter_context(embedded_redis(self._data, self._port))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    running = Server(tmp_path / "redis")
    monkeypatch.setenv("REDIS_URL", running.url)
    yield running
    await close_client(running.pool)
    running.stop()


@asynccontextmanager
async def worker(*options: str, log: str = "INFO", **settings: Any) -> AsyncIterator[Process]:
    """Run a worker as a process, with settings that differ from those of `crashers`; it has reached Redis."""
    own = json.dumps(settings)
    async with command("arq", SETTINGS, *options, PYTHONPATH=TESTS, WORKER=own, LOG=log) as process:
        await process.until("up\n")
        yield process


async def ends(pool: TaskPool, job_ids: Iterable[str | None]) -> list[JobRecord]:
    """Wait until all these jobs have ended, and give what is known of them."""

    async def end(job_id: str | None) -> JobRecord:
        job = await pool.job(str(job_id))
        assert job is not None, f"{job_id} is lost"
        record = await job.wait(timeout=PATIENCE)
        assert record is not None
        return record

    return [await end(job_id) for job_id in job_ids]


async def record_of(pool: TaskPool, job_id: str) -> JobRecord:
    record = await pool.record(job_id)
    assert record is not None
    return record


async def claims(pool: TaskPool) -> list[bytes]:
    return [key async for key in pool.scan_iter(match=keys.in_progress("*"), count=10_000)]


async def sign_of_life(pool: TaskPool, process: Process) -> dict[str, Any] | None:
    """Read what a worker says of itself."""
    async for key in pool.scan_iter(match=keys.worker("*"), count=10_000):
        sign = await pool.get(key)
        record: dict[str, Any] = json.loads(sign) if sign else {}
        if record.get("pid") == process.process.pid:
            return record
    return None


async def is_alive() -> bool:
    """Ask as a container platform does."""
    async with command("arq", SETTINGS, "--check", PYTHONPATH=TESTS) as check:
        return await check.end() == 0


# A worker dies, or stands still


@pytest.mark.parametrize("max_tries", [2, 3])
async def test_a_killed_workers_jobs_run_elsewhere(max_tries: int, pool: TaskPool, runs: Runs, tmp_path: Path) -> None:
    """What a worker ran when it was killed, another runs to its end, and nothing is left of the first one's claims."""
    job_ids = [f"job-{number}" for number in range(5)]
    async with worker(max_tries=max_tries) as first:
        for job_id in job_ids:
            await pool.enqueue("waits", (str(tmp_path / "never"),), job_id=job_id)
            await runs.begun(job_id)
        async with worker(max_tries=max_tries) as second:
            first.process.kill()
            records = await ends(pool, job_ids)
            assert [(record.status, record.tries) for record in records] == [(JobStatus.SUCCESS, 1)] * 5
            assert [record.result for record in records] == [second.process.pid] * 5
            assert await claims(pool) == []
            assert await pool.zcard(keys.queue()) == 0


async def test_a_worker_that_comes_back_too_late_changes_nothing(pool: TaskPool, runs: Runs, tmp_path: Path) -> None:
    """A worker that stood still, and finds its job done by another, neither records nor deletes; it counts the loss."""
    gate = tmp_path / "gate"
    async with worker() as first:
        await pool.enqueue("waits", (str(gate),), job_id="a")
        await runs.begun("a")
        async with worker() as second:
            first.process.send_signal(signal.SIGSTOP)
            (record,) = await ends(pool, ["a"])
            assert (record.status, record.result, record.tries) == (JobStatus.SUCCESS, second.process.pid, 1)
            gate.touch()  # so the first finds its own run ended
            first.process.send_signal(signal.SIGCONT)
            await first.until("lost")
            second.process.send_signal(signal.SIGTERM)
            assert await second.end() == 0
        assert await record_of(pool, "a") == record
        await one_lost_and_works_on(pool, first)
        assert runs.counts() == {"a": 2, "next": 1}


async def test_a_worker_that_comes_back_leaves_anothers_claim(pool: TaskPool, runs: Runs, tmp_path: Path) -> None:
    """A worker that stood still, and finds its job run by another, gives it up; the other's claim stays."""
    gate = tmp_path / "gate"
    async with worker() as first:
        await pool.enqueue("waits", (str(tmp_path / "never"), str(gate)), job_id="a")
        await runs.begun("a")
        async with worker() as second:
            first.process.send_signal(signal.SIGSTOP)
            await runs.begun("a", times=2)
            token = await pool.get(keys.in_progress("a"))
            first.process.send_signal(signal.SIGCONT)
            await first.until("lease lost, given up")
            assert await pool.get(keys.in_progress("a")) == token
            assert (await record_of(pool, "a")).status is JobStatus.RUNNING
            gate.touch()
            (record,) = await ends(pool, ["a"])
            assert (record.status, record.result, record.tries) == (JobStatus.SUCCESS, second.process.pid, 1)
            second.process.send_signal(signal.SIGTERM)
            assert await second.end() == 0
        await one_lost_and_works_on(pool, first)
        assert runs.counts() == {"a": 2, "next": 1}


async def one_lost_and_works_on(pool: TaskPool, process: Process) -> None:
    """The worker says that it has lost one job, and runs the next one."""

    async def says_so() -> bool:
        sign = await sign_of_life(pool, process)
        return sign is not None and sign["lost"] == 1

    await until(says_so)
    await pool.enqueue("naps", (0,), job_id="next")
    (record,) = await ends(pool, ["next"])
    assert (record.status, record.result) == (JobStatus.SUCCESS, process.process.pid)
    assert await claims(pool) == []


async def test_a_blocked_event_loop_keeps_its_jobs(pool: TaskPool, runs: Runs) -> None:
    """A task that blocks its worker for three leases runs once, though another is idle; its worker counts as alive."""
    async with worker() as blocked:
        await pool.enqueue("blocks", (3 * LEASE,), job_id="a")
        await runs.begun("a")
        async with worker(health_check_key="another"):
            looks = 0
            while (await record_of(pool, "a")).status is JobStatus.RUNNING:
                assert await is_alive()
                assert await sign_of_life(pool, blocked)
                looks += 1
            assert looks > 1
            (record,) = await ends(pool, ["a"])
    assert (record.status, record.result, record.tries) == (JobStatus.SUCCESS, blocked.process.pid, 1)
    assert runs.counts() == {"a": 1}


@pytest.mark.parametrize("max_tries", [2, 3])
async def test_a_job_that_kills_its_worker_harms_no_other(max_tries: int, pool: TaskPool, runs: Runs) -> None:
    """It is started `max_tries` times and has failed then; the jobs beside it run to their end."""
    await pool.enqueue("dies", job_id="killer")
    neighbours = [f"neighbour-{number}" for number in range(3)]
    for job_id in neighbours:
        await pool.enqueue("naps", (0.3,), job_id=job_id)
    ended = asyncio.create_task(ends(pool, ["killer", *neighbours]))
    while not ended.done():
        async with worker(max_tries=max_tries, lease=1) as process:
            dead = asyncio.create_task(process.end())
            await asyncio.wait([dead, ended], return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            await asyncio.gather(dead, return_exceptions=True)
    killer, *others = await ended
    assert [record.status for record in others] == [JobStatus.SUCCESS] * 3, others
    assert killer.status is JobStatus.FAILED
    assert killer.error == f"JobExecutionFailed: max {max_tries} retries exceeded: its worker was lost"
    assert runs.counts()["killer"] == max_tries
    assert await claims(pool) == []


# Redis dies, stands still, or is full


@pytest.mark.parametrize("seconds", [0, LEASE + 1])
async def test_redis_restarts(seconds: float, server: Server, runs: Runs, tmp_path: Path) -> None:
    """Jobs in flight end once, during the outage or after it, however long it was; workers stay, and run what comes."""
    during, after = tmp_path / "during", tmp_path / "after"
    async with worker() as first, worker() as second:
        for gate in (during, after):
            await server.pool.enqueue("waits", (str(gate),), job_id=gate.name)
            await runs.begun(gate.name)
        await asyncio.to_thread(server.stop)
        during.touch()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)
        (record,) = await ends(server.pool, ["during"])
        assert (record.status, record.tries) == (JobStatus.SUCCESS, 1)
        assert await server.pool.enqueue("naps", (0,), job_id="next")
        (record,) = await ends(server.pool, ["next"])
        assert (record.status, record.tries) == (JobStatus.SUCCESS, 1)
        after.touch()
        (record,) = await ends(server.pool, ["after"])
        assert (record.status, record.tries) == (JobStatus.SUCCESS, 1)
        assert runs.counts() == {"during": 1, "after": 1, "next": 1}
        assert await claims(server.pool) == []
        for process in (first, second):
            process.process.send_signal(signal.SIGTERM)
            assert await process.end() == 0
            assert "Traceback" not in process.output


async def test_redis_stands_still(server: Server, runs: Runs, tmp_path: Path) -> None:
    """When Redis answers nobody for longer than a lease, and then goes on, jobs in flight run once all the same."""
    during, after = tmp_path / "during", tmp_path / "after"
    pid = (await server.pool.info("server"))["process_id"]
    async with worker() as first, worker() as second:
        for gate in (during, after):
            await server.pool.enqueue("waits", (str(gate),), job_id=gate.name)
            await runs.begun(gate.name)
        os.kill(pid, signal.SIGSTOP)
        try:
            during.touch()
            await asyncio.sleep(LEASE + 1)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await server.pool.enqueue("naps", (0,), job_id="next")
        records = await ends(server.pool, ["during", "next"])
        after.touch()
        records += await ends(server.pool, ["after"])
        assert [(record.status, record.tries) for record in records] == [(JobStatus.SUCCESS, 1)] * 3
        assert runs.counts() == {"during": 1, "after": 1, "next": 1}
        assert await claims(server.pool) == []
        for process in (first, second):
            process.process.send_signal(signal.SIGTERM)
            assert await process.end() == 0


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
async def test_connections_break_under_load(kind: str, server: Server, runs: Runs) -> None:
    """Whatever connection is cut whenever, every job ends well, and who waits for one learns of it."""
    chance = random.Random(1)
    async with worker(log="ERROR"), worker(log="ERROR"), Redis.from_url(server.url) as knife:
        job_ids = await server.pool.enqueue_many("naps", [{"seconds": chance.uniform(0, 0.05)} for _ in range(400)])
        waiting = asyncio.create_task(ends(server.pool, job_ids)) if kind == "pubsub" else None
        async with asyncio.timeout(PATIENCE), knife.client() as one:
            while await one.zcard(keys.queue()):
                await one.client_kill_filter(_type=kind, skipme=True)
                await asyncio.sleep(chance.uniform(0, 0.1))
        records = await (waiting or ends(server.pool, job_ids))
    assert {record.status for record in records} == {JobStatus.SUCCESS}
    assert set(runs.counts()) == set(job_ids)
    assert await claims(server.pool) == []


@pytest.mark.parametrize("job_id", ["refused", None])
async def test_a_full_redis_loses_nothing(job_id: str | None, server: Server, runs: Runs, tmp_path: Path) -> None:
    """While Redis has no memory left, enqueueing fails with a word, and workers go on: only they can make room."""
    gate = tmp_path / "gate"
    job_ids = [f"job-{number}" for number in range(6)]
    async with worker(max_jobs=2) as process:
        for each in job_ids:
            await server.pool.enqueue("waits", (str(gate),), job_id=each)
        await runs.begun(job_ids[1])
        await server.pool.config_set("maxmemory", (await server.pool.info("memory"))["used_memory"] // 2)
        gate.touch()
        records = await ends(server.pool, job_ids)
        assert [(record.status, record.tries) for record in records] == [(JobStatus.SUCCESS, 1)] * 6
        assert runs.counts() == dict.fromkeys(job_ids, 1)
        assert await claims(server.pool) == []
        with pytest.raises(JobError, match=r"Redis refused the job: .*maxmemory"):
            await server.pool.enqueue("naps", (0,), job_id=job_id)
        await process.until("Redis is full")
        await server.pool.config_set("maxmemory", 0)
        assert await server.pool.enqueue("naps", (0,), job_id="later") == "later"
        assert [record.status for record in await ends(server.pool, ["later"])] == [JobStatus.SUCCESS]
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0


# A worker is told to stop


async def test_a_stopping_worker_hands_back_what_takes_too_long(pool: TaskPool, runs: Runs, tmp_path: Path) -> None:
    """What ends within `job_completion_wait` is recorded, the rest waits for another worker and has lost no try."""
    gate = tmp_path / "gate"
    async with worker(job_completion_wait=2) as process:
        await pool.enqueue("waits", (str(gate),), job_id="short")
        await pool.enqueue("naps", (3600,), job_id="long")
        await runs.begun("short")
        await runs.begun("long")
        assert await sign_of_life(pool, process)
        process.process.send_signal(signal.SIGTERM)
        await process.until("2 to be completed")
        gate.touch()
        assert await process.end() == 0
        assert "on_shutdown has run" in process.output
        assert "Traceback" not in process.output
        assert await sign_of_life(pool, process) is None
    short, long = await record_of(pool, "short"), await record_of(pool, "long")
    assert (short.status, short.tries) == (JobStatus.SUCCESS, 1)
    assert (long.status, long.tries) == (JobStatus.PENDING, 0)
    assert await claims(pool) == []


@pytest.mark.parametrize("task", ["naps", "sleeps"])
async def test_a_second_signal_ends_a_worker_at_once(task: str, pool: TaskPool, runs: Runs) -> None:
    """However long it would wait, and though no thread can be stopped, the worker ends; the job has lost no try."""
    async with worker(job_completion_wait=3600) as process:
        await pool.enqueue(task, (3600,), job_id="a")
        await runs.begun("a")
        process.process.send_signal(signal.SIGTERM)
        await process.until("1 to be completed")
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0
        assert "on_shutdown has run" in process.output
        assert "Traceback" not in process.output
        assert await sign_of_life(pool, process) is None
    record = await record_of(pool, "a")
    assert (record.status, record.tries) == (JobStatus.PENDING, 0)
    assert await claims(pool) == []


async def test_a_thread_does_not_hold_a_stopping_worker_up(pool: TaskPool, runs: Runs) -> None:
    """After `job_completion_wait` the worker ends although a plain function still runs; its job is handed back."""
    async with worker(job_completion_wait=0) as process:
        await pool.enqueue("sleeps", (3600,), job_id="a")
        await runs.begun("a")
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0
        assert "on_shutdown has run" in process.output
    record = await record_of(pool, "a")
    assert (record.status, record.tries) == (JobStatus.PENDING, 0)
    assert await claims(pool) == []


async def test_threads_that_have_nothing_to_do_end(pool: TaskPool) -> None:
    """A worker that ran a plain function ends like any other: what is registered to run at its exit, runs."""
    async with worker() as process:
        await ends(pool, [await pool.enqueue("sleeps", (0,))])
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0
        assert "still run in threads" not in process.output


@pytest.mark.parametrize("how", ["gone", "frozen"])
async def test_a_worker_ends_without_redis(how: str, server: Server, runs: Runs) -> None:
    """Where Redis refuses to answer, or just does not, a worker can be told to stop; its job runs elsewhere later."""
    pid = (await server.pool.info("server"))["process_id"]
    async with worker(job_completion_wait=3600) as process:
        await server.pool.enqueue("naps", (3600,), job_id="a")
        await runs.begun("a")
        if how == "gone":
            await asyncio.to_thread(server.stop)
            await process.until("Redis does not answer")
        else:
            os.kill(pid, signal.SIGSTOP)
        try:
            process.process.send_signal(signal.SIGTERM)
            await process.until("1 to be completed")
            process.process.send_signal(signal.SIGTERM)
            assert await process.end() == 0
        finally:
            if how == "frozen":
                os.kill(pid, signal.SIGCONT)
        assert "on_shutdown has run" in process.output
        assert "Traceback" not in process.output
        assert process.output.count("left to lapse") == 1  # it has waited for Redis once, no longer
    if how == "gone":
        await asyncio.to_thread(server.start)
    async with worker():
        await runs.begun("a", times=2)


async def test_workers_are_stopped_under_load(pool: TaskPool, runs: Runs) -> None:
    """Whenever a worker is told to stop, once or twice, it leaves no claim behind; no job is lost or has lost a try."""
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    job_ids = await pool.enqueue_many("naps", [{"seconds": chance.uniform(0, 0.05)} for _ in range(100 * STOPS)])
    for stop in range(STOPS):
        async with worker(log="WARNING") as process:
            await asyncio.sleep(chance.uniform(0, 0.4))
            process.process.send_signal(chance.choice([signal.SIGTERM, signal.SIGINT]))
            expected = {0}
            if chance.random() < 0.5:
                await asyncio.sleep(chance.uniform(0, 0.05))
                if process.process.returncode is None:
                    process.process.send_signal(signal.SIGTERM)
                    expected.add(-signal.SIGTERM)  # it had closed everything, and Python was about to end
            status = await process.end()
            where = f"seed {seed}, stop {stop}, status {status}:\n{process.output}"
            assert status in expected, where
            assert "on_shutdown has run" in process.output, where
            assert await claims(pool) == [], where
    async with worker("--burst", log="WARNING") as process:
        assert await process.end() == 0
    records = await ends(pool, job_ids)
    failed = [record for record in records if (record.status, record.tries) != (JobStatus.SUCCESS, 1)]
    assert not failed, f"seed {seed}: {failed[:3]}"
    assert set(runs.counts()) == set(job_ids), f"seed {seed}"
    assert await claims(pool) == [], f"seed {seed}"


async def test_the_last_worker_takes_the_sign_of_life_along(pool: TaskPool, runs: Runs) -> None:  # noqa: ARG001
    """`arq --check` is true as long as one worker lives, whoever else ends, and false when the last one has ended."""
    async with worker() as first, worker() as second:
        for process in (first, second):

            async def shown(process: Process = process) -> bool:
                return await sign_of_life(pool, process) is not None

            await until(shown)
        assert await is_alive()
        first.process.send_signal(signal.SIGTERM)
        assert await first.end() == 0
        assert await is_alive()
        second.process.send_signal(signal.SIGTERM)
        assert await second.end() == 0
        assert not await is_alive()


# Workers and clients of other kinds


async def test_an_unknown_task_is_left_to_a_worker_that_knows_it(pool: TaskPool, runs: Runs) -> None:
    """A worker of an older release puts the job back, which has lost no try, and a newer one runs it."""
    await pool.enqueue("waits", job_id="a")
    async with worker(functions=["naps"]) as older:
        await older.until("left to a worker that knows it")

        async def is_back() -> bool:
            return (await record_of(pool, "a")).status is JobStatus.SCHEDULED

        await until(is_back)
        record = await record_of(pool, "a")
        assert record.tries == 0
        async with worker() as newer:
            # As if the pause were over: an older worker that comes first would only put it back again.
            older.process.send_signal(signal.SIGTERM)
            assert await older.end() == 0
            await pool.zadd(keys.queue(), {"a": 0}, xx=True)
            (record,) = await ends(pool, ["a"])
            assert (record.status, record.result, record.tries) == (JobStatus.SUCCESS, newer.process.pid, 1)
    assert runs.pids("a") == [newer.process.pid]


@pytest.fixture
async def plain_client(redis_url: str) -> AsyncIterator[ArqRedis]:
    """Give arq's own client, set to the engine's codec."""
    client = await create_pool(
        ArqRedisSettings.from_dsn(redis_url),
        job_serializer=codec.serialize,
        job_deserializer=codec.deserialize,
    )
    yield client
    await client.aclose(close_connection_pool=True)


@asynccontextmanager
async def plain_worker(client: ArqRedis, **settings: Any) -> AsyncIterator[None]:
    """Run arq's own worker, set to the engine's codec, in this process."""
    plain = Worker.__mro__[2](
        [func(f"{CRASHERS}.{name}", name=name) for name in ("naps", "waits")],
        redis_pool=client,
        handle_signals=False,
        poll_delay=0.05,
        job_serializer=codec.serialize,
        job_deserializer=codec.deserialize,
        **settings,
    )
    assert type(plain).__module__ == "arq.worker"
    running = asyncio.create_task(plain.async_run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, *plain.tasks.values(), return_exceptions=True)


async def test_workers_and_clients_of_arq_share_the_queue(pool: TaskPool, plain_client: ArqRedis, runs: Runs) -> None:
    """Jobs of both kinds of client, run by both kinds of worker at once: each runs once, and arq's `Job` reads all."""
    async with worker(log="ERROR") as process, plain_client, plain_worker(plain_client):
        jobs = []
        for _ in range(100):
            jobs += [await client.enqueue_job("naps", 0.01) for client in (pool, plain_client)]
        results = []
        for job in jobs:
            assert job is not None
            plain = Job(job.job_id, plain_client, _deserializer=codec.deserialize)
            results.append(await plain.result(timeout=PATIENCE, poll_delay=0.05))
            info = await plain.result_info()
            assert info is not None
            assert (info.success, info.job_try) == (True, 1)
    assert runs.counts() == {job.job_id: 1 for job in jobs if job}
    assert set(results) == {process.process.pid, os.getpid()}
    assert await pool.zcard(keys.queue()) == 0


async def test_jobs_that_arq_holds_are_passed_by(
    pool: TaskPool, plain_client: ArqRedis, runs: Runs, tmp_path: Path
) -> None:
    """Jobs that a worker of arq's own class runs stay at the head of the queue; what is behind them is found."""
    gate = tmp_path / "gate"
    async with plain_worker(plain_client, max_jobs=120):
        held = [f"held-{number}" for number in range(120)]
        for job_id in held:
            await plain_client.enqueue_job("waits", str(gate), _job_id=job_id)
        await until(lambda: len(runs.counts()) == 120)
        async with worker(max_jobs=3) as process:
            behind = [f"behind-{number}" for number in range(10)]
            for job_id in behind:
                await plain_client.enqueue_job("naps", 0, _job_id=job_id)
            records = await ends(pool, behind)
            assert {record.status for record in records} == {JobStatus.SUCCESS}
            assert {record.result for record in records} == {process.process.pid}
            gate.touch()
            assert {record.status for record in await ends(pool, held)} == {JobStatus.SUCCESS}
    assert runs.counts() == dict.fromkeys([*held, *behind], 1)


async def test_an_idle_worker_finds_a_job_of_arqs_client(plain_client: ArqRedis, runs: Runs) -> None:
    """A client of arq's own wakes nobody, so the worker looks by itself."""
    async with worker() as process:
        job = await plain_client.enqueue_job("naps", 0)
        assert job is not None
        assert await job.result(timeout=PATIENCE, poll_delay=0.05) == process.process.pid
    assert runs.counts() == {job.job_id: 1}
