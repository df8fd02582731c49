"""Effects that happen once: how far, when tries fail, workers are killed, and Redis is away."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.embedded import embedded_redis, free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobStatus,
    QueueUnavailable,
    TaskPool,
    UnserializableError,
    close_client,
    keys,
    parse_redis_url,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import (
    EffectInProgressError,
    EffectValueUnknownError,
    InvalidEffectError,
    OvertakenError,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.idempotency import once

from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord

    from ..conftest import RunJobs

SETTINGS = "integration.jobs.chargers.SETTINGS"
TESTS = str(Path(__file__).parents[2])
#: Seconds after which what does not happen is taken never to happen.
PATIENCE = 60
KEY = keys.once("a", "charge")


def run_of(pool: TaskPool, job_id: str = "a", enqueued: int = 1, **more: Any) -> dict[str, Any]:
    """Give the context of a run of a job that was enqueued at that second, as it is where no worker runs it."""
    return {"redis": pool, "job_id": job_id, "enqueue_time": datetime.fromtimestamp(enqueued, UTC), **more}


async def claimed(pool: TaskPool, number: int, job_id: str = "a") -> dict[str, Any]:
    """Give the context of a run under a claim of its own, which takes the place of those before."""
    token = f"worker-{number}:{number}:{1000 + number}"
    await pool.set(keys.in_progress(job_id), token)
    await pool.set(keys.tries(job_id), number)
    return run_of(pool, job_id, fencing_token=token)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Look again and again until the condition holds; for what only Redis, a file or the log tells."""
    async with asyncio.timeout(PATIENCE):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.02)


# Runs of one job


async def test_a_second_run_gets_the_first_ones_value(pool: TaskPool) -> None:
    """The first run acts and records; each later one finds that, and is not to act."""
    async with once(run_of(pool), "charge") as effect:
        assert (effect.first, effect.uncertain, effect.value) == (True, False, None)
        effect.value = {"receipt": 7}
    assert effect.value == {"receipt": 7}
    for _ in range(2):
        async with once(run_of(pool), "charge") as effect:
            assert (effect.first, effect.uncertain, effect.value) == (False, False, {"receipt": 7})


async def test_a_block_that_sets_no_value_records_none(pool: TaskPool) -> None:
    """An effect without a value, such as a message that was sent, is done when the block is left."""
    async with once(run_of(pool), "charge") as effect:
        assert effect.first
    async with once(run_of(pool), "charge") as effect:
        assert (effect.first, effect.value) == (False, None)


async def test_an_exception_records_nothing(pool: TaskPool) -> None:
    """After a run that failed in the block, nobody knows: the next may act, is told so, and has the same key."""
    names = []
    with suppress(ConnectionError):
        async with once(run_of(pool), "charge") as effect:
            names.append(effect.idempotency_key)
            effect.value = "not recorded"
            raise ConnectionError
    async with once(run_of(pool), "charge") as effect:
        names.append(effect.idempotency_key)
        assert (effect.first, effect.uncertain, effect.value) == (True, True, None)
        effect.value = "recorded"
    async with once(run_of(pool), "charge") as effect:
        names.append(effect.idempotency_key)
        assert (effect.first, effect.value) == (False, "recorded")
    assert names == ["a:1000:charge"] * 3


async def test_the_keys_of_a_job_are_apart(pool: TaskPool) -> None:
    """Two effects of a job, and the same effect of two jobs, do not know of each other, whatever they are called."""
    names = set()
    for job_id, key in ("a", "b:c"), ("a:b", "c"), ("a", "ü"), ("b", "ü"):
        async with once(run_of(pool, job_id), key) as effect:
            assert effect.first
        names.add(effect.idempotency_key)
    assert len(names) == 4
    assert all(name.isascii() for name in names)


async def test_a_decorated_function_is_called_once(pool: TaskPool) -> None:
    """It is called with its arguments in the first run; later runs get what it gave."""
    calls = []

    async def charge(amount: int, *, currency: str) -> str:
        """Charge somebody."""
        calls.append((amount, currency))
        return f"receipt {len(calls)}"

    for _ in range(2):
        charge_once = once(run_of(pool), "charge")(charge)
        assert charge_once.__doc__ == "Charge somebody."
        for _ in range(2):
            assert await charge_once(7, currency="EUR") == "receipt 1"
    assert calls == [(7, "EUR")]


async def test_who_is_not_first_cannot_set_the_value(pool: TaskPool) -> None:
    """A block that acts without looking is told so, rather than acting in silence."""
    async with once(run_of(pool), "charge"):
        pass
    effect = await once(run_of(pool), "charge").__aenter__()
    with pytest.raises(InvalidEffectError, match=r"'charge': it has been done before; act only `if effect\.first`"):
        effect.value = 1


@dataclass
class Receipt:
    """What a provider gives."""

    number: int


async def test_the_value_is_the_same_in_every_run(pool: TaskPool) -> None:
    """The first run, too, gets it as it is stored: a tuple stays one, a dataclass becomes plain data."""
    for _ in range(2):
        async with once(run_of(pool), "charge") as effect:
            if effect.first:
                effect.value = (Receipt(7), 1.5)
        assert effect.value == ({"number": 7}, 1.5)


async def test_a_value_that_cannot_be_stored_is_done_all_the_same(pool: TaskPool) -> None:
    """The run that acted fails, and no other acts again; only who reads the value gets an error."""
    with pytest.raises(UnserializableError, match="once 'charge': field 'value' is a object, which cannot be stored"):
        async with once(run_of(pool), "charge") as effect:
            effect.value = object()
    async with once(run_of(pool), "charge") as effect:
        assert not effect.first
    with pytest.raises(EffectValueUnknownError, match="'charge': it has been done, but its value is unknown"):
        _ = effect.value


@pytest.mark.parametrize("ttl", [0.2, timedelta(milliseconds=200)])
async def test_after_its_time_an_effect_is_forgotten(ttl: float | timedelta, pool: TaskPool) -> None:
    """What has been done is known for `ttl`, from when it was; then a run acts again."""
    async with once(run_of(pool), "charge", ttl=ttl) as effect:
        assert 0 < await pool.pttl(KEY) <= 200
    assert 0 < await pool.pttl(KEY) <= 200

    async def is_over() -> bool:
        return not bool(await pool.exists(KEY))

    await until(is_over)
    async with once(run_of(pool), "charge", ttl=ttl) as effect:
        assert (effect.first, effect.uncertain) == (True, False)


async def test_a_week_by_default(pool: TaskPool) -> None:
    """Unless told otherwise, what has been done is known for seven days."""
    async with once(run_of(pool), "charge"):
        pass
    assert timedelta(days=6, hours=23) < timedelta(milliseconds=await pool.pttl(KEY)) <= timedelta(days=7)


async def test_a_time_that_ends_during_the_effect_loses_nothing(pool: TaskPool) -> None:
    """An effect that takes longer than its `ttl` is recorded when it has happened."""
    async with once(run_of(pool), "charge") as effect:
        await pool.delete(KEY)
        effect.value = 7
    async with once(run_of(pool), "charge") as effect:
        assert (effect.first, effect.value) == (False, 7)


@pytest.mark.parametrize(
    ("key", "options", "problem"),
    [
        ("", {}, "once '', scope=None: give a name that is not empty"),
        ("charge", {"scope": ""}, "once 'charge', scope='': give a name"),
        ("charge", {"ttl": 0}, "once 'charge': ttl is 0; give a time"),
        ("charge", {"ttl": timedelta(-1)}, "once 'charge': ttl is datetime.timedelta"),
    ],
)
async def test_what_makes_no_sense_is_refused(key: str, options: dict[str, Any], problem: str, pool: TaskPool) -> None:
    """Before anything is done, an error says what is wrong."""
    with pytest.raises(InvalidEffectError, match=problem):
        once(run_of(pool), key, **options)


# Which runs belong together


async def test_a_replay_gets_the_value_of_the_job_it_replays(pool: TaskPool) -> None:
    """What the first job has done, or begun, its replays know of; its key stays the same."""
    async with once(run_of(pool, "a", 1), "charge") as effect:
        effect.value = 7
    with suppress(ConnectionError):
        async with once(run_of(pool, "a", 1), "post") as begun:
            raise ConnectionError
    replay = run_of(pool, "b", 2, replay_of="a")
    async with once(replay, "charge") as effect:
        assert (effect.first, effect.value, effect.idempotency_key) == (False, 7, "a:1000:charge")
    async with once(replay, "post") as effect:
        assert (effect.uncertain, effect.idempotency_key) == (True, begun.idempotency_key)


async def test_another_job_with_a_used_id_is_another_job(pool: TaskPool) -> None:
    """An id of one's own may be used again later: the new job acts, and the other side sees another key."""
    names = []
    for second in (1, 2):
        async with once(run_of(pool, "nightly", second), "charge") as effect:
            assert (effect.first, effect.uncertain) == (True, False)
        names.append(effect.idempotency_key)
    assert names == ["nightly:1000:charge", "nightly:2000:charge"]


async def test_a_run_of_the_job_that_had_the_id_before_records_nothing(pool: TaskPool) -> None:
    """A run that goes on after its id has been used again stops, and does not touch what the new job knows."""
    old = once(run_of(pool, "nightly", 1), "charge")
    await old.__aenter__()
    async with once(run_of(pool, "nightly", 2), "charge") as effect:
        effect.value = "new"
    with pytest.raises(OvertakenError):
        await old.__aexit__(None, None, None)
    async with once(run_of(pool, "nightly", 2), "charge") as effect:
        assert effect.value == "new"


async def test_jobs_that_give_a_scope_share_the_effect(pool: TaskPool) -> None:
    """`scope` ties an effect to something else than the job: whichever job comes first does it for all."""
    async with once(run_of(pool, "a", 1), "charge", scope="order-7") as effect:
        effect.value = 7
    assert effect.idempotency_key == "order-7:charge"
    async with once(run_of(pool, "b", 2), "charge", scope="order-7") as effect:
        assert (effect.first, effect.value, effect.idempotency_key) == (False, 7, "order-7:charge")
    async with once(run_of(pool, "b", 2), "charge", scope="order-8") as effect:
        assert effect.first


async def test_a_job_waits_for_another_that_is_at_it(pool: TaskPool, run_jobs: RunJobs) -> None:
    """While a job is inside the block, another with the same scope fails its try, and gets the value in a later one."""
    inside, other_failed = asyncio.Event(), asyncio.Event()
    acted = []

    async def first(ctx: dict[str, Any]) -> Any:
        async with once(ctx, "charge", scope="order-7") as effect:
            inside.set()
            await other_failed.wait()
            acted.append(ctx["job_id"])
            effect.value = "receipt"
        return effect.value

    async def second(ctx: dict[str, Any]) -> Any:
        await inside.wait()
        if other_failed.is_set():
            return await once(ctx, "charge", scope="order-7")(act)()
        with pytest.raises(EffectInProgressError, match="once 'charge': job a is at it right now") as caught:
            await once(ctx, "charge", scope="order-7")(act)()
        other_failed.set()
        raise caught.value

    async def act() -> None:
        acted.append("b")

    await pool.enqueue("first", job_id="a")
    await pool.enqueue("second", job_id="b")
    await run_jobs(first, second, max_tries=100, retry_delay=timedelta(milliseconds=20))
    for job_id in ("a", "b"):
        record = await pool.record(job_id)
        assert record is not None
        assert (record.status, record.result) == (JobStatus.SUCCESS, "receipt")
    assert acted == ["a"]


# Runs at the same time


async def test_of_many_runs_at_once_one_is_the_first(pool: TaskPool) -> None:
    """However many begin at the same moment, all but one are told that somebody else has begun."""

    async def begin() -> bool:
        effect = await once(run_of(pool), "charge").__aenter__()
        return effect.uncertain

    assert sorted(await asyncio.gather(*(begin() for _ in range(50)))) == [False, *[True] * 49]


async def test_a_run_that_was_overtaken_does_not_act(pool: TaskPool) -> None:
    """A run whose job has been started again gets an error in place of the block; so does one whose job has ended."""
    old, new = await claimed(pool, 1), await claimed(pool, 2)
    with pytest.raises(OvertakenError, match="job a was started again, or has ended"):
        await once(old, "charge").__aenter__()
    async with once(new, "charge") as effect:
        assert (effect.first, effect.uncertain) == (True, False)
    await pool.delete(keys.in_progress("a"), keys.tries("a"))
    with pytest.raises(OvertakenError):
        await once(new, "post").__aenter__()


async def test_a_lapsed_lease_that_nobody_took_is_no_hindrance(pool: TaskPool) -> None:
    """After a Redis that stood still, a run goes on as long as no other has begun."""
    ctx = await claimed(pool, 1)
    await pool.delete(keys.in_progress("a"))
    async with once(ctx, "charge") as effect:
        assert effect.first


async def test_of_two_that_acted_the_first_to_record_is_believed(pool: TaskPool) -> None:
    """A run that is overtaken inside the block still records; the others, told that it may be so, take that value."""
    async with once(await claimed(pool, 1), "charge") as old:
        async with once(await claimed(pool, 2), "charge") as new:
            assert (new.first, new.uncertain) == (True, True)
            async with once(await claimed(pool, 3), "charge") as newest:
                newest.value = 3
            new.value = 2
        old.value = 1
    assert (old.value, new.value, newest.value) == (3, 3, 3)


# Real workers


@pytest.fixture
def files(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Give a function that reads the lines that runs have left."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    for name in ("RUNS", "CHARGES", "SEEN"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).touch()
    return lambda name: (tmp_path / name).read_text().splitlines()


async def ended(pool: TaskPool, job_id: str) -> JobRecord:
    job = await pool.job(job_id)
    assert job is not None
    record = await job.wait(timeout=PATIENCE)
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("end", "charges", "seen"),
    [
        ("before", 1, ["True False"]),
        ("begun", 1, ["True False", "True True"]),
        ("acted", 2, ["True False", "True True"]),
        ("recorded", 1, ["True False", "False False"]),
        ("begun, raises", 1, ["True False", "True True"]),
        ("acted, raises", 2, ["True False", "True True"]),
        ("recorded, raises", 1, ["True False", "False False"]),
    ],
)
async def test_a_run_that_dies(
    end: str, charges: int, seen: list[str], pool: TaskPool, files: Callable[[str], list[str]]
) -> None:
    """Only one that dies between effect and record makes the next one act again: warned, and with the same key."""
    await pool.enqueue("charges", (end,), job_id="a")
    async with command("arq", SETTINGS, PYTHONPATH=TESTS) as first:
        if "raises" not in end:
            assert await first.end() == 1
        async with command("arq", SETTINGS, PYTHONPATH=TESTS):
            record = await ended(pool, "a")
    assert record.status is JobStatus.SUCCESS
    assert record.result == {"amount": 7, "receipt": charges - 1}
    assert len(files("CHARGES")) == charges
    assert len(set(files("CHARGES"))) == 1
    assert files("SEEN") == seen


async def test_runs_that_die_everywhere(pool: TaskPool, files: Callable[[str], list[str]]) -> None:
    """Two deaths in a row, in the block and after it, leave one effect and one value."""
    await pool.enqueue("charges", ("begun", "recorded"), job_id="a")
    for _ in range(2):
        async with command("arq", SETTINGS, PYTHONPATH=TESTS) as worker:
            assert await worker.end() == 1
    async with command("arq", SETTINGS, PYTHONPATH=TESTS):
        record = await ended(pool, "a")
    assert record.result == {"amount": 7, "receipt": 0}
    assert files("SEEN") == ["True False", "True True", "False False"]


async def test_a_worker_that_comes_back_too_late_does_not_act(
    pool: TaskPool, files: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """A run that stood still before its effect, while another had the job, wakes up and leaves it alone."""
    await pool.enqueue("hesitates", (str(tmp_path / "gate"),), job_id="a")
    async with command("arq", SETTINGS, PYTHONPATH=TESTS) as late:
        await until(lambda: files("RUNS") == ["a"])
        late.process.send_signal(signal.SIGSTOP)
        async with command("arq", SETTINGS, PYTHONPATH=TESTS):
            record = await ended(pool, "a")
            assert record.result == {"amount": 7, "receipt": 0}
            (tmp_path / "gate").touch()
            late.process.send_signal(signal.SIGCONT)
            await late.until("lost")
    assert files("CHARGES") == ["a"]


# Redis is away, or full


class Server:
    """A Redis of the test's own, which may be stopped and started; what it holds stays."""

    def __init__(self, data: Path) -> None:
        self._data, self._port, self._running = data, free_port(), ExitStack()
        self.pool = TaskPool.from_settings(parse_redis_url(self.start()))

    def start(self) -> str:
        return self._running.enter_context(embedded_redis(self._data, self._port))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    running = Server(tmp_path / "redis")
    yield running
    await close_client(running.pool)
    running.stop()


async def test_redis_away_before_the_effect(server: Server) -> None:
    """Nothing is done; the error lets the try be repeated."""
    await asyncio.to_thread(server.stop)
    acted = []
    with pytest.raises(QueueUnavailable, match="once 'charge': not begun, Redis does not answer"):
        async with once(run_of(server.pool), "charge"):
            acted.append(1)
    assert acted == []


async def test_redis_away_after_the_effect(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The run waits until Redis is back, and records then."""

    async def run() -> Any:
        async with once(run_of(server.pool), "charge") as effect:
            await asyncio.to_thread(server.stop)
            effect.value = 7
        return effect.value

    running = asyncio.create_task(run())
    await until(lambda: "Redis does not answer, next try in" in caplog.text)
    await asyncio.to_thread(server.start)
    assert await running == 7
    async with once(run_of(server.pool), "charge") as effect:
        assert (effect.first, effect.value) == (False, 7)


async def test_a_deadline_while_redis_is_away_leaves_it_uncertain(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that is cancelled before it could record has the next one warned."""

    async def run() -> None:
        async with once(run_of(server.pool), "charge"):
            await asyncio.to_thread(server.stop)

    running = asyncio.create_task(run())
    await until(lambda: "Redis does not answer, next try in" in caplog.text)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.to_thread(server.start)
    async with once(run_of(server.pool), "charge") as effect:
        assert (effect.first, effect.uncertain) == (True, True)


async def test_a_full_redis_is_no_hindrance(server: Server) -> None:
    """Where there is no room for more jobs, what running ones do is recorded all the same."""
    await server.pool.config_set("maxmemory", 1)
    with suppress(ConnectionError):
        async with once(run_of(server.pool), "charge"):
            raise ConnectionError
    async with once(run_of(server.pool), "charge") as effect:
        assert effect.uncertain
        effect.value = 7
    async with once(run_of(server.pool), "charge") as effect:
        assert (effect.first, effect.value) == (False, 7)


async def test_a_redis_that_lost_its_data_lets_no_run_act(pool: TaskPool) -> None:
    """A run whose claim is gone with everything else is refused: nobody could keep what it would do."""
    ctx = await claimed(pool, 1)
    await pool.flushall()
    with pytest.raises(OvertakenError):
        await once(ctx, "charge").__aenter__()
