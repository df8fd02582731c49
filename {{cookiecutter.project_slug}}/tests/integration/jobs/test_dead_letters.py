"""Dead letters, through real workers on a real Redis: what is kept of them, and what can be done with them."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    FailureCause,
    InvalidJobError,
    JobError,
    JobPriority,
    JobStatus,
    TaskRegistry,
    UnknownTaskError,
    UnserializableError,
    codec,
    keys,
    scripts,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.dead_letters import DeadLetters
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import (
    DeadLetterNotFoundError,
    InvalidQueryError,
    UnreplayableError,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.outcomes import result_data
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import Unique
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task

from integration.jobs.scripts.calls import listening

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskContext, TaskPool

    from ..conftest import RunJobs

#: An hour ago, so that workers keep them.
DIED = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
DIED_MS = round(DIED.timestamp() * 1000)


@pytest.fixture
def dead_letters(pool: TaskPool) -> DeadLetters:
    """Give the dead letters; the pool knows one task."""
    pool.registry = TaskRegistry([charge])
    return DeadLetters(pool)


async def execute(pool: TaskPool, *words: str) -> Any:
    """Run a command for which the client has no asynchronous type."""
    client: Any = pool
    return await client.execute_command(*words)


async def charge(ctx: TaskContext, customer: str, cents: int = 100) -> str:  # noqa: ARG001
    if cents < 0:
        raise ValueError(f"cannot charge {cents}")
    return f"{customer}: {cents}"


async def kill(pool: TaskPool, died: dict[str, int], cause: str = "exception", **data: Any) -> None:
    """Write dead letters as a worker does; each died at its time in ms."""
    for job_id, time in died.items():
        known: dict[str, Any] = {"task": "charge", "args": ("ada",), "kwargs": {}, "queue_key": keys.queue()}
        known["tries"] = 3
        times = {"enqueued": time - 2_000, "started": time - 1_000, "finished": time}
        known |= times | {"success": False, "result": ValueError("no luck"), "cause": FailureCause(cause)} | data
        await pool.set(keys.dead_letter(job_id), codec.serialize(result_data(job_id=job_id, **known)))
        await pool.zadd(keys.DEAD, {job_id: time})


async def record_of(pool: TaskPool, job_id: str) -> JobRecord:
    record = await pool.record(job_id)
    assert record is not None
    return record


async def dead_ids(dead_letters: DeadLetters, **query: Any) -> str:
    return "".join(record.job_id for record in (await dead_letters.list(**query)).jobs)


# What is kept


async def test_a_dead_letter_keeps_everything(pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs) -> None:
    """What it was to do, how often it was tried, when, where and by whom, and why it failed."""
    await pool.enqueue("charge", ("ada",), {"cents": -1}, job_id="a", correlation_id="request 7", queue="default")
    worker = await run_jobs(charge)
    record = await dead_letters.get("a")
    assert (record.task, record.args, record.kwargs, record.queue) == ("charge", ("ada",), {"cents": -1}, "default")
    assert (record.status, record.error) == (JobStatus.FAILED, "ValueError: cannot charge -1")
    assert (record.cause, record.tries, record.correlation_id) == (FailureCause.EXCEPTION, 3, "request 7")
    assert record.traceback is not None
    assert "in charge" in record.traceback
    assert record.worker == worker.presence.record.worker_id
    assert [attempt.outcome for attempt in record.attempts] == ["failed"] * 3
    assert {attempt.error for attempt in record.attempts} == {"ValueError: cannot charge -1"}
    assert record == await pool.record("a")
    assert (await dead_letters.list()).jobs == (record,)
    assert await dead_letters.count() == 1


async def test_a_dead_letter_outlives_the_result(pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs) -> None:
    """Also where results are not kept at all: its tries are known for as long as it is."""
    await pool.enqueue("charge", ("ada", -1), job_id="a")
    await run_jobs(charge, keep_result=0)
    assert await pool.record("a") is None
    assert len((await dead_letters.get("a")).attempts) == 3
    assert await pool.pttl(keys.dead_attempts("a")) == -1


async def test_a_dead_letter_is_not_touched_by_a_new_job_of_its_id(
    pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs
) -> None:
    """The id can be used again once the result has gone; the dead letter says what it said before."""
    await pool.enqueue("charge", ("ada", -1), job_id="a")
    await run_jobs(charge, keep_result=0)
    before = await dead_letters.get("a")
    await pool.enqueue("charge", ("ada", 5), job_id="a")
    await run_jobs(charge)
    assert (await record_of(pool, "a")).status is JobStatus.SUCCESS
    assert await dead_letters.get("a") == before
    await dead_letters.discard("a")
    assert (await record_of(pool, "a")).status is JobStatus.SUCCESS


async def test_a_second_death_under_one_id_replaces_the_first(
    pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs
) -> None:
    """Nothing of the first is left, nor of its tries."""
    await pool.enqueue("charge", ("ada", -1), job_id="a")
    await run_jobs(charge, keep_result=0)
    await pool.enqueue("charge", ("ada", -2), job_id="a")
    await run_jobs(charge, max_tries=1)
    record = await dead_letters.get("a")
    assert (record.args, len(record.attempts)) == (("ada", -2), 1)
    assert await dead_letters.count() == 1


async def test_jobs_that_end_otherwise_are_no_dead_letters(
    pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs
) -> None:
    """A success, and a cancelled job."""
    await pool.enqueue("charge", ("ada",))
    await pool.enqueue("charge", ("ada", -1), job_id="cancelled", defer_by=60)
    await pool.cancel("cancelled")
    await run_jobs(charge)
    assert await dead_letters.count() == 0


# Lists


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "fedcba"),
        ({"task": "mail"}, "c"),
        ({"queue": "slow"}, "d"),
        ({"cause": "timeout"}, "b"),
        ({"cause": ["timeout", FailureCause.EXPIRED]}, "eb"),
        ({"since": DIED + timedelta(milliseconds=4)}, "fe"),
        ({"until": DIED + timedelta(milliseconds=1)}, "a"),
        ({"cause": "exception", "queue": "default", "until": DIED + timedelta(seconds=1)}, "fca"),
        ({"limit": 2}, "fe"),
    ],
)
async def test_dead_letters_are_listed(
    query: dict[str, Any], expected: str, pool: TaskPool, dead_letters: DeadLetters
) -> None:
    """The latest first, by task, queue, cause and time."""
    await kill(pool, {"a": DIED_MS, "f": DIED_MS + 5})
    await kill(pool, {"b": DIED_MS + 1}, "timeout")
    await kill(pool, {"c": DIED_MS + 2}, task="mail")
    await kill(pool, {"d": DIED_MS + 3}, "unknown_task", queue_key=keys.queue("slow"))
    await kill(pool, {"e": DIED_MS + 4}, "expired")
    assert await dead_ids(dead_letters, **query) == expected


@pytest.mark.parametrize("limit", [1, 4, 10])
async def test_pages_give_each_dead_letter_once(limit: int, pool: TaskPool, dead_letters: DeadLetters) -> None:
    """Although some die, and those that were given are discarded, between two pages."""
    job_ids = ["a", "aa", "aaa", "b", "c", "ca", "d", "ä"]
    await kill(pool, dict.fromkeys(job_ids, DIED_MS))
    given, cursor = [], None
    while True:
        page = await dead_letters.list(limit=limit, cursor=cursor)
        for record in page.jobs:
            given.append(record.job_id)
            await dead_letters.discard(record.job_id)
        await kill(pool, {"ö": DIED_MS, f"later {len(given)}": DIED_MS + 1})
        cursor = page.cursor
        if cursor is None:
            break
    assert given == job_ids[::-1]


async def test_a_dead_letter_that_cannot_be_read_hides_no_other(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """It is listed as what it is, and can be discarded."""
    await kill(pool, {"a": DIED_MS, "b": DIED_MS + 1})
    await pool.set(keys.dead_letter("b"), b"\xc1")
    assert await dead_ids(dead_letters) == "ba"
    record = await dead_letters.get("b")
    assert (record.task, record.cause) == ("<unknown>", FailureCause.UNDECODABLE)
    assert record.finish_time == DIED + timedelta(milliseconds=1)
    assert record.error == "what was kept of it cannot be read"
    with pytest.raises(UnreplayableError):
        await dead_letters.replay("b")
    await dead_letters.discard("b")
    assert await dead_letters.count() == 1


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"limit": 0}, "limit=0: give a whole number from 1 to 1000"),
        ({"cause": "bad luck"}, "cause='bad luck': give one of exception, timeout,"),
        ({"cause": []}, r"cause=\[\]: give one at least"),
        ({"since": 5}, "since=5: give a datetime"),
        ({"cursor": "x"}, "cursor='x': no earlier page with these filters gave it"),
        ({"taks": "charge"}, "taks='charge': there is no such filter, only cause, queue, since, task, until"),
    ],
)
async def test_what_makes_no_sense_is_refused(query: dict[str, Any], complaint: str, dead_letters: DeadLetters) -> None:
    """The error names what was wrong, and its value."""
    with pytest.raises(InvalidQueryError, match=complaint):
        await dead_letters.list(**query)


async def test_a_misspelt_filter_changes_nothing(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """It would mean all dead letters, so it is an error."""
    await kill(pool, {"a": DIED_MS})
    misspelt: Any = {"taks": "mail"}
    for call in (dead_letters.discard_all, dead_letters.replay_all):
        with pytest.raises(InvalidQueryError):
            await call(**misspelt)
    assert await dead_letters.count() == 1


# Replay


async def test_a_replay_is_a_new_job(pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs) -> None:
    """It has all its tries and does the same under another id; its record and its context say what it replays."""
    seen = []

    async def flaky(ctx: TaskContext, *args: int, **kwargs: int) -> str:
        seen.append((ctx["job_try"], ctx["replay_of"], args, kwargs))
        raise ValueError("no luck")

    await pool.enqueue("flaky", (1, 2), {"three": 3}, job_id="a", correlation_id="request 7", queue="slow")
    await run_jobs(flaky, queues=["slow"], max_tries=2)
    new_id = await dead_letters.replay("a")
    assert await dead_letters.count() == 0
    assert not await pool.keys("arq:dead*")
    record = await record_of(pool, new_id)
    assert (record.status, record.tries, record.queue) == (JobStatus.PENDING, 0, "slow")
    assert (record.replay_of, record.correlation_id) == ("a", "request 7")
    await run_jobs(flaky, queues=["slow"], max_tries=2)
    expected = [(1, None), (2, None), (1, "a"), (2, "a")]
    assert seen == [(*start, (1, 2), {"three": 3}) for start in expected]
    assert (await record_of(pool, new_id)).replay_of == "a"


async def test_the_replay_of_a_replay_names_the_first_job(
    pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs
) -> None:
    """However often it fails again."""
    await pool.enqueue("charge", ("ada", -1), job_id="a")
    job_id = "a"
    for _ in range(3):
        await run_jobs(charge, max_tries=1)
        job_id = await dead_letters.replay(job_id)
        assert (await record_of(pool, job_id)).replay_of == "a"
    await run_jobs(charge, max_tries=1)
    assert (await dead_letters.get(job_id)).replay_of == "a"
    assert (await record_of(pool, "a")).status is JobStatus.FAILED


async def test_a_replay_may_be_edited(pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs) -> None:
    """Arguments, queue, time and task: what is not given stays as it was."""
    await kill(pool, {"a": DIED_MS, "b": DIED_MS, "c": DIED_MS}, kwargs={"cents": -1})
    one = await dead_letters.replay("a", kwargs={"cents": 5})
    two = await dead_letters.replay("b", args=("bob",), kwargs={}, queue="slow")
    await kill(pool, {"d": DIED_MS}, task="old_name")
    three = await dead_letters.replay("d", task="charge")
    await run_jobs(charge, queues=["default", "slow"])
    records = [await record_of(pool, job_id) for job_id in (one, two, three)]
    assert [record.result for record in records] == ["ada: 5", "bob: 100", "ada: 100"]
    assert [record.queue for record in records] == ["default", "slow", "default"]
    later = await record_of(pool, await dead_letters.replay("c", defer_by=timedelta(hours=1)))
    assert (later.status, later.kwargs) == (JobStatus.SCHEDULED, {"cents": -1})


@pytest.mark.parametrize("queue", [None, "slow"])
async def test_a_replay_is_as_urgent_as_before(queue: str | None, pool: TaskPool, dead_letters: DeadLetters) -> None:
    """In the same queue and in another one; whoever serves all queues is told of a new lane."""
    await kill(pool, {"a": DIED_MS}, queue_key=keys.queue(priority=JobPriority.HIGH))
    async with listening(pool, keys.QUEUES) as listener:
        record = await record_of(pool, await dead_letters.replay("a", queue=queue))
        assert await listener.told() == [keys.queue(queue or "default", JobPriority.HIGH).encode()]
    assert (record.queue, record.priority) == (queue or "default", JobPriority.HIGH)


async def test_edited_arguments_are_checked(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """Where the pool knows the task; what is wrong leaves the dead letter where it is."""
    await kill(pool, {"a": DIED_MS}, args=("ada", 1, "too many"))
    with pytest.raises(InvalidJobError, match="charge: missing a required argument: 'customer'"):
        await dead_letters.replay("a", args=())
    with pytest.raises(InvalidJobError, match="unexpected keyword argument 'euros'"):
        await dead_letters.replay("a", args=("ada",), kwargs={"euros": 1})
    with pytest.raises(UnknownTaskError, match="did you mean 'charge'"):
        await dead_letters.replay("a", task="chrge")
    with pytest.raises(UnserializableError, match="charge: argument 1 is a object"):
        await dead_letters.replay("a", args=(object(),))
    assert await dead_letters.count() == 1
    assert await pool.zcard(keys.queue()) == 0
    await dead_letters.replay("a")  # as it was; perhaps the workers know better


async def test_two_at_once_make_one_job(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """Whoever comes second is told that there is no such dead letter."""
    await kill(pool, {"a": DIED_MS})
    answers = await asyncio.gather(*[dead_letters.replay("a") for _ in range(5)], return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["DeadLetterNotFoundError"] * 4 + ["str"]
    assert await pool.zcard(keys.queue()) == 1


async def test_a_later_dead_letter_of_the_same_id_is_another_one(
    pool: TaskPool, dead_letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that died between the look at it and the deed is neither replayed nor discarded."""
    await kill(pool, {"a": DIED_MS})
    send = dead_letters._send

    async def late(pairs: Any) -> Any:
        await kill(pool, {"a": DIED_MS + 1})
        return await send(pairs)

    monkeypatch.setattr(dead_letters, "_send", late)
    with pytest.raises(DeadLetterNotFoundError):
        await dead_letters.replay("a")
    assert await dead_letters._discard(args=[scripts.packed([("a", DIED_MS)])]) == 0
    assert await dead_letters.count() == 1
    assert await pool.zcard(keys.queue()) == 0


@pytest.mark.parametrize("call", ["get", "replay", "discard"])
async def test_what_is_not_there_is_an_error(call: str, dead_letters: DeadLetters) -> None:
    """It names the id."""
    with pytest.raises(DeadLetterNotFoundError, match="job a: there is no such dead letter") as raised:
        await getattr(dead_letters, call)("a")
    assert isinstance(raised.value, JobError)
    assert isinstance(raised.value, LookupError)


async def test_a_replay_wakes_a_worker(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """As every new job does; and its queue is known from then on."""
    await kill(pool, {"a": DIED_MS}, queue_key=keys.queue("slow"))
    await dead_letters.replay("a")
    assert await execute(pool, "LLEN", keys.wake(keys.queue("slow"))) == 1
    assert await execute(pool, "SMEMBERS", keys.QUEUES) == {keys.queue("slow").encode()}


async def test_a_queue_of_arqs_own_naming_is_kept(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """Its key is not made of a name, and is the key of the new job's queue all the same."""
    await kill(pool, {"a": DIED_MS}, queue_key="custom")
    new_id = await dead_letters.replay("a")
    assert await pool.zscore("custom", new_id)
    assert codec.deserialize(await pool.get(keys.job(new_id)))["q"] == "custom"


async def test_a_replay_of_a_unique_task_waits_for_nobody(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """It is refused while the same job is there, and keeps others out while it is."""
    pool.registry = TaskRegistry([task(name="charge", unique=Unique.FINISHED)(charge)])
    await kill(pool, {"a": DIED_MS})
    other = await pool.enqueue("charge", ("ada",))
    with pytest.raises(UnreplayableError, match=f"charge is unique, and job {other} is the same"):
        await dead_letters.replay("a")
    assert await dead_letters.replay_all() == 0
    assert await dead_letters.count() == 1
    await pool.cancel(str(other))
    assert await dead_letters.replay("a")
    assert await pool.enqueue("charge", ("ada",)) is None


async def test_an_undecodable_job_is_replayed_as_it_was(
    pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs
) -> None:
    """Byte by byte; with arguments of its own it needs a task, too."""
    await pool.enqueue("charge", ("ada",), job_id="a")
    await pool.set(keys.job("a"), b"\xc1 damaged")
    await run_jobs(charge)
    record = await dead_letters.get("a")
    assert (record.task, record.cause) == ("<unknown>", FailureCause.UNDECODABLE)
    new_id = await dead_letters.replay("a", defer_by=0, queue="slow")
    assert await pool.get(keys.job(new_id)) == b"\xc1 damaged"
    assert await pool.zscore(keys.queue("slow"), new_id)
    await run_jobs(charge, queue_name=keys.queue("slow"))
    with pytest.raises(UnreplayableError, match="what it was to do is not known; name a task, and its arguments"):
        await dead_letters.replay(new_id, args=("ada",))
    job_id = await dead_letters.replay(new_id, task="charge", args=("ada",))
    await run_jobs(charge, queue_name=keys.queue("slow"))
    record = await record_of(pool, job_id)
    assert (record.result, record.replay_of) == ("ada: 100", new_id)


async def test_a_job_that_can_be_read_by_now_is_replayed_like_any_other(
    pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs
) -> None:
    """Another worker could not read it: a client with the right codec can, and the link is kept."""

    def cannot(_: bytes) -> dict[str, Any]:
        raise ValueError("not mine")

    await pool.enqueue("charge", ("ada",), job_id="a", correlation_id="request 7")
    await run_jobs(charge, job_deserializer=cannot)
    assert (await dead_letters.get("a")).cause is FailureCause.UNDECODABLE
    new_id = await dead_letters.replay("a")
    await run_jobs(charge)
    record = await record_of(pool, new_id)
    assert (record.result, record.replay_of, record.correlation_id) == ("ada: 100", "a", "request 7")


async def test_an_expired_job_is_replayed_as_long_as_it_is_known(
    pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs
) -> None:
    """One whose payload was forgotten before any worker came cannot be, unless it is told what to do."""
    for job_id in "ab":
        await pool.enqueue("charge", ("ada",), job_id=job_id, expires=60)
        await pool.delete(keys.job(job_id))  # its time is over
    await pool.delete(keys.expiring("b"))
    await run_jobs(charge)
    assert (await dead_letters.get("a")).cause is (await dead_letters.get("b")).cause is FailureCause.EXPIRED
    new_id = await dead_letters.replay("a")
    with pytest.raises(UnreplayableError, match="job b is not replayed: what it was to do is not known; name a task"):
        await dead_letters.replay("b")
    told_id = await dead_letters.replay("b", task="charge", args=("bob",))
    await run_jobs(charge)
    assert [(await record_of(pool, job_id)).result for job_id in (new_id, told_id)] == ["ada: 100", "bob: 100"]
    assert await pool.pttl(keys.result(new_id)) > 0


async def test_a_full_redis_keeps_the_dead_letter(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """A replay that is refused changes nothing; to discard goes on."""
    await kill(pool, {"a": DIED_MS, "b": DIED_MS + 1})
    with pytest.raises(DeadLetterNotFoundError):
        await dead_letters.replay("loads the script, so it is not that which is refused")
    await kill(pool, {"c": DIED_MS})
    await dead_letters.replay("c")
    await execute(pool, "DEL", keys.queue())
    await pool.config_set("maxmemory", 1)
    try:
        with pytest.raises(JobError, match=r"dead letter a: Redis refused: .*maxmemory"):
            await dead_letters.replay("a")
        with pytest.raises(JobError, match=r"dead letters: Redis refused: .*maxmemory"):
            await dead_letters.replay_all()
        assert await dead_ids(dead_letters) == "ba"
        assert await pool.zcard(keys.queue()) == 0
        await dead_letters.discard("a")
        assert await dead_letters.discard_all() == 1
    finally:
        await pool.config_set("maxmemory", 0)


async def test_a_replay_that_fails_half_way_is_undone(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """Where its queue is no queue, the dead letter stays, and nothing of the job does."""
    await kill(pool, {"a": DIED_MS})
    await pool.set(keys.queue(), "not a sorted set")
    with pytest.raises(JobError, match=r"job a is not replayed: Redis refused: .*WRONGTYPE") as raised:
        await dead_letters.replay("a")
    assert isinstance(raised.value.__cause__, ResponseError)
    assert await dead_ids(dead_letters) == "a"
    assert await pool.keys("arq:job:*") == []


# All that fit


async def test_what_dies_meanwhile_is_left_alone(
    pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay that fails at once is not replayed again by the same call, which would never end."""
    await kill(pool, {f"{n:03}": DIED_MS for n in range(201)}, args=("ada", -1))
    send = dead_letters._send

    async def send_and_run(pairs: Any) -> Any:
        answers = await send(pairs)
        await run_jobs(charge, max_tries=1)
        return answers

    monkeypatch.setattr(dead_letters, "_send", send_and_run)
    assert await dead_letters.replay_all() == 201
    assert await dead_letters.count() == 201


async def test_all_that_fit_are_replayed(pool: TaskPool, dead_letters: DeadLetters, run_jobs: RunJobs) -> None:
    """The earliest first, a hundred looked at in a step; what fails again is a dead letter of the first job."""
    await kill(pool, {f"{n:03}": DIED_MS + n for n in range(250)}, args=("ada", -1))
    await kill(pool, {"other": DIED_MS - 1}, task="mail")
    steps: list[int] = []
    assert await dead_letters.replay_all(task="charge", progress=steps.append) == 250
    assert steps == [99, 199, 250]
    await run_jobs(charge, max_tries=1)
    assert await dead_letters.count() == 251
    replays = (await dead_letters.list(limit=300)).jobs
    assert {record.replay_of for record in replays} == {None, *(f"{n:03}" for n in range(250))}


async def test_all_are_replayed_in_the_order_of_their_deaths(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """The jobs that failed first are enqueued first."""
    await kill(pool, {"b": DIED_MS, "a": DIED_MS + 1, "c": DIED_MS + 2})
    assert await dead_letters.replay_all() == 3
    jobs = [job_id.decode() for job_id in await pool.zrange(keys.queue(), 0, -1)]
    assert [(await record_of(pool, job_id)).replay_of for job_id in jobs] == ["b", "a", "c"]


async def test_what_cannot_be_replayed_stays(
    pool: TaskPool, dead_letters: DeadLetters, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are replayed, and the log says why this one is not."""
    await kill(pool, {"a": DIED_MS, "c": DIED_MS + 2})
    await kill(pool, {"b": DIED_MS + 1}, "expired", task="<unknown>")
    with caplog.at_level(logging.WARNING):
        assert await dead_letters.replay_all() == 2
    assert await dead_ids(dead_letters) == "b"
    assert "dead letter b stays: job b is not replayed: what it was to do is not known" in caplog.text


async def test_all_that_fit_are_discarded(pool: TaskPool, dead_letters: DeadLetters) -> None:
    """With all that is known of them; the others stay."""
    await kill(pool, {f"{n:03}": DIED_MS + n for n in range(150)}, "timeout")
    await kill(pool, {"other": DIED_MS})
    assert await dead_letters.discard_all(cause="timeout", task="charge", queue="default") == 150
    assert await dead_ids(dead_letters) == "other"
    assert await dead_letters.discard_all(until=DIED) == 0
    assert await dead_letters.discard_all() == 1
    assert await pool.keys("arq:dead*") == []
