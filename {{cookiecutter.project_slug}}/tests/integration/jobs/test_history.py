"""Lists of jobs, on a real Redis: which are given, in which order, page by page, and what that costs."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.embedded import free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobPriority,
    JobStatus,
    QueueUnavailable,
    RedisSettings,
    TaskPool,
    close_client,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.dead_letters import DeadLetters
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidQueryError
from {{ cookiecutter.__package }}.infrastructure.jobs.history import JobHistory
from {{ cookiecutter.__package }}.infrastructure.jobs.lookup import live_status
from {{ cookiecutter.__package }}.infrastructure.jobs.outcomes import history_line, result_data
from {{ cookiecutter.__package }}.infrastructure.jobs.paging import LOOK

from .limit_hands import Hand

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import HistoryRecord, TaskContext

    from ..conftest import RunJobs

ENDED = ("success", "failed", "cancelled")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)


@pytest.fixture
def history(pool: TaskPool) -> JobHistory:
    """Give the lists of jobs."""
    return JobHistory(pool)


async def works(ctx: TaskContext) -> int:
    return int(ctx["job_try"])


async def fails(ctx: TaskContext) -> None:  # noqa: ARG001
    raise ValueError("no luck")


def line_of(job_id: str, status: str = "success", *, ended: int = NOON_MS, task: str = "works", queue: str = "") -> str:
    """Give the line of a job as a worker writes it."""
    data = result_data(
        job_id=job_id,
        task=task,
        args=(),
        kwargs={},
        queue_key=keys.queue(queue or "default"),
        tries=1,
        enqueued=ended - 2_000,
        started=ended - 1_000,
        finished=ended,
        success=status == "success",
        result="no luck",
        worker="me",
    )
    return history_line(data)


async def remember(pool: TaskPool, ended: dict[str, int], status: str = "success", **options: Any) -> None:
    """Write the lines of jobs that ended so, each at its time in ms."""
    lines = {line_of(job_id, status, ended=time, **options): time for job_id, time in ended.items()}
    await pool.zadd(keys.history(status), lines)


def ids(jobs: tuple[HistoryRecord, ...]) -> list[str]:
    return [job.job_id for job in jobs]


async def walk(history: JobHistory, **query: Any) -> list[list[str]]:
    """Give the ids on each page, to the last."""
    page = await history.list(**query)
    pages = [ids(page.jobs)]
    while page.cursor:
        page = await history.list(cursor=page.cursor, **query)
        pages.append(ids(page.jobs))
    return pages


async def calls_of(pool: TaskPool, history: JobHistory, **query: Any) -> Counter[str]:
    """Count the commands that Redis runs for a list, those inside its script included."""
    await history.list(**query)  # loads the script
    await pool.config_resetstat()
    await history.list(**query)
    stats = await pool.info("commandstats")
    calls = Counter({name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()})
    del calls["config|resetstat"]
    return calls


# Jobs that have ended


async def test_each_job_that_has_ended_has_a_line(pool: TaskPool, history: JobHistory, run_jobs: RunJobs) -> None:
    """It says what ran, when and where, and what came of it; the latest is the first."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)  # which is as exact as they are
    for job_id, task in {"a": "works", "b": "fails", "c": "works"}.items():
        await pool.enqueue(task, job_id=job_id)
        worker = await run_jobs(works, fails) if job_id != "c" else None
        if job_id == "b":
            assert worker is not None
            failing_worker = worker.presence.record.worker_id
    await pool.cancel("c")
    cancelled, failed, success = (await history.list()).jobs
    assert (failed.job_id, failed.task, failed.queue, failed.status) == ("b", "fails", "default", JobStatus.FAILED)
    assert (failed.tries, failed.error, failed.worker) == (3, "ValueError: no luck", failing_worker)
    assert (success.job_id, success.status, success.tries, success.error) == ("a", JobStatus.SUCCESS, 1, None)
    assert (cancelled.job_id, cancelled.status, cancelled.tries) == ("c", JobStatus.CANCELLED, 0)
    assert (cancelled.worker, cancelled.start_time, cancelled.duration) == (None, None, None)
    for line in (success, failed):
        times = [before, line.enqueue_time, line.start_time, line.finish_time, datetime.now(UTC)]
        assert all(first <= then for first, then in pairwise(time for time in times if time))
        assert line.duration is not None
        assert line.due_time is None


async def test_lines_of_an_older_release_are_read(pool: TaskPool, history: JobHistory) -> None:
    """They tell no priority."""
    line = b'["old","charge","mail",1,1000,2000,3000,"worker",null]'
    await pool.zadd(keys.history(JobStatus.SUCCESS), {line: 3000})
    [record] = (await history.list()).jobs
    assert (record.job_id, record.queue, record.priority) == ("old", "mail", JobPriority.NORMAL)


async def test_a_line_tells_what_the_record_does(pool: TaskPool, history: JobHistory, run_jobs: RunJobs) -> None:
    """The list and the look-up of a job agree in all that both know."""
    await pool.enqueue("fails", job_id="a")
    await pool.enqueue("works", job_id="b", expires=60)
    await pool.delete(keys.job("b"))  # its time is over
    await run_jobs(works, fails)
    for line in (await history.list()).jobs:
        record = await pool.record(line.job_id)
        assert record is not None
        known = ("task", "queue", "status", "tries", "enqueue_time", "start_time", "finish_time", "worker", "error")
        assert {name: getattr(line, name) for name in known} == {name: getattr(record, name) for name in known}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "failed"}, "fc"),
        ({"status": ["failed", JobStatus.CANCELLED]}, "fedc"),
        ({"task": "other"}, "ge"),
        ({"queue": "mail"}, "d"),
        ({"queue": "default", "status": "cancelled"}, "e"),
        ({"since": NOON + timedelta(milliseconds=5)}, "gf"),
        ({"until": NOON + timedelta(milliseconds=2)}, "ba"),
        ({"since": NOON + timedelta(microseconds=1), "until": NOON + timedelta(microseconds=2_001)}, "cb"),
        ({"since": NOON, "until": NOON}, ""),
    ],
)
async def test_a_list_is_narrowed(query: dict[str, Any], expected: str, pool: TaskPool, history: JobHistory) -> None:
    """By status, task, queue and time: its beginning belongs to a span, its end does not."""
    await remember(pool, {"a": NOON_MS, "b": NOON_MS + 1})
    await remember(pool, {"c": NOON_MS + 2, "f": NOON_MS + 5}, "failed")
    await remember(pool, {"d": NOON_MS + 3}, "cancelled", queue="mail")
    await remember(pool, {"e": NOON_MS + 4}, "cancelled", task="other")
    await remember(pool, {"g": NOON_MS + 6}, task="other")
    assert "".join(ids((await history.list(**query)).jobs)) == expected


async def test_times_without_a_zone_are_local(pool: TaskPool, history: JobHistory) -> None:
    """As everywhere in Python."""
    await remember(pool, {"a": NOON_MS})
    local = NOON.astimezone().replace(tzinfo=None)
    assert ids((await history.list(since=local)).jobs) == ["a"]
    assert ids((await history.list(until=local)).jobs) == []


@pytest.mark.parametrize("limit", [1, 7, 60, 61])
async def test_pages_give_each_job_once(limit: int, pool: TaskPool, history: JobHistory) -> None:
    """Also those that ended in the same millisecond, of all statuses; full pages first, and no cursor on the last."""
    for position, status in enumerate(ENDED):
        await remember(pool, {f"{n}-{status}": NOON_MS + n % 3 + position // 2 for n in range(20)}, status)
    everything = ids((await history.list(limit=100)).jobs)
    pages = await walk(history, limit=limit)
    assert list(chain.from_iterable(pages)) == everything
    assert sorted(everything) == sorted(f"{n}-{status}" for n in range(20) for status in ENDED)
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert pages[-1] != []


async def test_pages_stay_right_while_jobs_end(pool: TaskPool, history: JobHistory) -> None:
    """What ends between two pages, in the very same millisecond too, changes nothing in those that follow."""
    await remember(pool, {f"old {n}": NOON_MS for n in range(5)})
    page = await history.list(limit=2)
    given = ids(page.jobs)
    while page.cursor:
        await remember(pool, {f"z new {len(given)}": NOON_MS, "later": NOON_MS + 1})
        page = await history.list(limit=2, cursor=page.cursor)
        given += ids(page.jobs)
    assert given == [f"old {n}" for n in (4, 3, 2, 1, 0)]


async def test_pages_go_on_where_lines_were_forgotten(pool: TaskPool, history: JobHistory) -> None:
    """The line at which a page stopped may be gone by then: those that are left after it are given."""
    await remember(pool, {f"{n}": NOON_MS for n in range(9)})
    page = await history.list(limit=3)
    await pool.zrem(keys.history("success"), *map(line_of, "8765"))
    rest = await history.list(limit=9, cursor=page.cursor)
    assert ids(page.jobs + rest.jobs) == [*"876", *"43210"]


async def test_ids_of_any_kind_are_paged(pool: TaskPool, history: JobHistory) -> None:
    """Those that begin alike, quotes, and letters that no ASCII has."""
    strange = ["a", "aa", 'a"', "a,", "ä", "\\", "日本", "a b", ""]
    await remember(pool, dict.fromkeys(strange, NOON_MS))
    assert sorted(chain.from_iterable(await walk(history, limit=1))) == sorted(strange)
    for job_id in strange[:-1]:
        await pool.enqueue("works", job_id=job_id, defer_until=NOON)
    assert sorted(chain.from_iterable(await walk(history, limit=1, status="scheduled"))) == sorted(strange[:-1])


async def test_a_call_looks_at_a_thousand_lines(pool: TaskPool, history: JobHistory) -> None:
    """Where it finds nothing among them, the page is empty and its cursor leads on."""
    await remember(pool, {"wanted": NOON_MS}, task="rare")
    await remember(pool, {f"{n}": NOON_MS + 1 + n for n in range(2 * LOOK)})
    assert await walk(history, task="rare") == [[], [], ["wanted"]]


async def test_a_page_costs_one_short_call(pool: TaskPool, history: JobHistory) -> None:
    """One call of a script, whose commands are as many in a long history as in a short one; no KEYS, no SCAN."""
    query = {"status": ENDED, "task": "rare"}
    await remember(pool, {"a": NOON_MS}, task="rare")
    short = await calls_of(pool, history, **query)
    await remember(pool, {f"{n}": NOON_MS + n for n in range(5_000)})
    assert await calls_of(pool, history, **query) == short
    assert short == {"evalsha": 1, "zcard": 3, "zcount": 6, "zrevrange": 1}
    page = await history.list("success", limit=10)
    later = await calls_of(pool, history, status="success", limit=10, cursor=page.cursor)
    assert later == {"evalsha": 1, "zcard": 1, "zcount": 3, "zrevrange": 2}


async def test_ended_jobs_are_counted(pool: TaskPool, history: JobHistory) -> None:
    """By their status, each that is kept."""
    assert await history.counts() == dict.fromkeys(map(JobStatus, ENDED), 0)
    await remember(pool, {"a": 1, "b": 2})
    await remember(pool, {"c": 1}, "failed")
    assert await history.counts() == {JobStatus.SUCCESS: 2, JobStatus.FAILED: 1, JobStatus.CANCELLED: 0}


# Jobs that have not


async def claim(pool: TaskPool, *job_ids: str, lease: int = 60_000, starts: int = 1) -> None:
    """Bring about what is there while a worker runs these jobs."""
    seconds, microseconds = await pool.time()
    now = seconds * 1000 + microseconds // 1000
    for job_id in job_ids:
        await pool.set(keys.in_progress(job_id), f"me:{starts}:{now}", px=lease)
        await pool.set(keys.tries(job_id), starts)
        await pool.zadd(keys.queue(), {job_id: now + lease + 0.5}, xx=True)


async def put_back(pool: TaskPool, job_id: str, *, due: float) -> None:
    """Bring about what is there while a job waits for its next try."""
    await pool.set(keys.tries(job_id), 1)
    await pool.zadd(keys.queue(), {job_id: due})


async def park(pool: TaskPool, job_id: str) -> None:
    """Bring about what is there while a job waits for a place."""
    due = await pool.zscore(keys.queue(), job_id)
    await pool.zrem(keys.queue(), job_id)
    await pool.zadd(keys.outside(keys.queue()), {job_id: due})


async def one_of_each(pool: TaskPool) -> None:
    """Enqueue jobs that are in all states that there are before the end."""
    now = round(datetime.now(UTC).timestamp() * 1000)
    for job_id in ("pending", "running", "retrying", "retrying now", "arq's"):
        await pool.enqueue("works", job_id=job_id)
    for job_id in ("parked", "parked again"):
        await pool.enqueue("limited", job_id=job_id)
    await pool.enqueue("works", job_id="scheduled", defer_by=3600)
    await pool.enqueue("works", job_id="mail", queue="mail", expires=600)
    await claim(pool, "running", starts=2)
    await pool.set(keys.lost("running"), 1)
    await put_back(pool, "retrying", due=now + 86_400_000)
    await put_back(pool, "retrying now", due=now - 1)
    await pool.set(keys.in_progress("arq's"), b"1", px=60_000)
    await pool.set(keys.tries("arq's"), 1)
    await park(pool, "parked")
    await pool.set(keys.tries("parked again"), 1)
    await park(pool, "parked again")


async def test_a_list_and_a_look_up_agree_on_jobs_that_have_not_ended(pool: TaskPool, history: JobHistory) -> None:
    """Whatever state a job is in, and wherever it stands."""
    await one_of_each(pool)
    jobs = (await history.list()).jobs
    assert {job.job_id: job.status.value for job in jobs} == {
        "pending": "pending",
        "parked": "pending",
        "mail": "pending",
        "scheduled": "scheduled",
        "running": "running",
        "arq's": "running",
        "retrying": "retrying",
        "retrying now": "retrying",
        "parked again": "retrying",
    }
    for job in jobs:
        record = await pool.record(job.job_id)
        assert record is not None
        known = ("task", "queue", "status", "tries", "enqueue_time", "start_time", "finish_time", "worker", "error")
        assert {name: getattr(job, name) for name in known} == {name: getattr(record, name) for name in known}
        assert (job.due_time is None) == (job.status is JobStatus.RUNNING)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "pending"}, {"pending", "parked", "mail"}),
        ({"status": "scheduled"}, {"scheduled"}),
        ({"status": "running"}, {"running"}),
        ({"status": ["pending", "running"]}, {"pending", "parked", "mail", "running", "arq's"}),
        ({"status": "retrying"}, {"retrying", "retrying now", "parked again"}),
        ({"status": ["scheduled", "running", "failed"]}, {"scheduled", "running"}),
        ({"task": "limited"}, {"parked", "parked again"}),
        ({"queue": "mail"}, {"mail"}),
        ({"queue": "nobody's"}, set()),
        ({"since": NOON + timedelta(days=36500)}, set()),
    ],
)
async def test_a_list_of_jobs_that_have_not_ended_is_narrowed(
    query: dict[str, Any], expected: set[str], pool: TaskPool, history: JobHistory
) -> None:
    """By status, task and queue, and by the time at which they were enqueued."""
    await one_of_each(pool)
    assert {job.job_id for job in (await history.list(**query)).jobs} == expected


async def test_a_list_of_a_queue_has_all_its_jobs(pool: TaskPool, history: JobHistory, run_jobs: RunJobs) -> None:
    """Whatever their priority, which is said of each, those that are parked and those that have ended included."""
    mail = {priority.name.lower(): priority for priority in JobPriority}
    for job_id, priority in mail.items():
        await pool.enqueue("works", job_id=job_id, queue="mail", priority=priority)
        await pool.enqueue("works", job_id=f"other {job_id}", priority=priority)
    urgent = keys.queue("mail", JobPriority.CRITICAL)
    await pool.zrem(urgent, "critical")
    await pool.zadd(keys.outside(urgent), {"critical": 1})
    listed = (await history.list(queue="mail")).jobs
    assert {job.job_id: job.priority for job in listed} == mail
    assert {job.queue for job in listed} == {"mail"}
    await pool.zrem(keys.outside(urgent), "critical")
    await pool.zadd(urgent, {"critical": 1})
    await run_jobs(works, queues=["mail"])
    ended = (await history.list("success")).jobs
    assert {job.job_id: (job.queue, job.priority) for job in ended} == {
        job_id: ("mail", priority) for job_id, priority in mail.items()
    }


async def test_a_queue_that_cannot_be_has_no_jobs(history: JobHistory) -> None:
    """Whoever asks for a name that no queue can have gets an empty list."""
    assert (await history.list(queue="no such queue!")).jobs == ()


async def test_jobs_that_have_not_ended_come_first(pool: TaskPool, history: JobHistory) -> None:
    """By when they are due, in all queues together; then follow those that have ended, the latest first."""
    await remember(pool, {"a": NOON_MS, "b": NOON_MS + 1})
    await pool.enqueue("works", job_id="c", defer_by=60, queue="mail")
    await pool.enqueue("works", job_id="d")
    await pool.enqueue("works", job_id="e", defer_by=30)
    assert await walk(history, limit=10) == [["d", "e", "c", "b", "a"]]
    assert await walk(history, limit=2) == [["d", "e"], ["c", "b"], ["a"]]
    assert await walk(history, limit=1) == [["d"], ["e"], ["c"], ["b"], ["a"]]
    assert await walk(history, limit=3) == [["d", "e", "c"], ["b", "a"]]


async def test_a_list_that_ends_with_the_first_part_is_complete(pool: TaskPool, history: JobHistory) -> None:
    """Where no ended job is asked for, the last that has not is the last; else one more page may be empty."""
    await pool.enqueue("works", job_id="a")
    assert await walk(history, limit=1, status="pending") == [["a"]]
    assert await walk(history, limit=1) == [["a"], []]


@pytest.mark.parametrize("limit", [1, 7, 200])
async def test_pages_give_each_waiting_job_once(limit: int, pool: TaskPool, history: JobHistory) -> None:
    """Also those that are due in the same millisecond, in several queues; a call reads the details in parts."""
    for queue in ("default", "mail"):
        items: list[dict[str, Any]] = [{} for _ in range(70)]
        await pool.enqueue_many("works", items, queue=queue, defer_until=NOON + timedelta(days=3650))
    given = list(chain.from_iterable(await walk(history, limit=limit, status="scheduled")))
    assert len(given) == len(set(given)) == 140


async def test_a_job_that_ends_between_two_pages_is_given_again(pool: TaskPool, history: JobHistory) -> None:
    """Nothing that ends meanwhile is left out of the second part."""
    for job_id in "ab":
        await pool.enqueue("works", job_id=job_id)
    page = await history.list(limit=1)
    await pool.cancel("b")
    rest = await history.list(limit=9, cursor=page.cursor)
    assert [(job.job_id, job.status.value) for job in page.jobs + rest.jobs] == [("a", "pending"), ("b", "cancelled")]
    await pool.cancel("a")
    rest = await history.list(limit=9, cursor=page.cursor)
    assert {(job.job_id, job.status.value) for job in rest.jobs} == {("a", "cancelled"), ("b", "cancelled")}


async def test_running_jobs_are_found_in_a_long_queue(pool: TaskPool, history: JobHistory) -> None:
    """However many wait before them, or for tomorrow: it is one page, and no more commands than in a short queue."""
    await pool.enqueue("works", job_id="running")
    await claim(pool, "running")
    short = await calls_of(pool, history, status="running")
    items: list[dict[str, Any]] = [{} for _ in range(2 * LOOK)]
    await pool.enqueue_many("works", items)
    await pool.enqueue_many("works", items, defer_by=86_400)
    assert await walk(history, status="running") == [["running"]]
    assert await calls_of(pool, history, status="running") == short
    assert short == {"time": 1, "smembers": 1, "evalsha": 1, "zcard": 4, "zcount": 8, "zrange": 1, "mget": 1}


async def test_a_call_looks_at_a_thousand_waiting_jobs(pool: TaskPool, history: JobHistory) -> None:
    """Those that are wanted come on a later page if they stand behind them."""
    items: list[dict[str, Any]] = [{} for _ in range(LOOK)]
    await pool.enqueue_many("works", items)
    await pool.enqueue("rare", job_id="a", defer_by=60)
    assert await walk(history, task="rare", status="scheduled") == [["a"]]
    assert await walk(history, task="rare") == [[], ["a"]]
    assert (await calls_of(pool, history, task="rare"))["mget"] == LOOK // 100


async def test_a_job_that_expires_is_due_when_others_are(pool: TaskPool, history: JobHistory) -> None:
    """The part of a millisecond that marks it does not make it one of a later time."""
    await pool.enqueue("works", job_id="a", expires=60)
    seconds, microseconds = await pool.time()
    now = seconds * 1000 + microseconds // 1000
    assert live_status(None, None, now + 0.25, now=now) is JobStatus.PENDING
    assert await walk(history, status="pending") == [["a"]]


async def test_a_job_that_is_claimed_while_it_is_looked_at_is_not_scheduled(
    pool: TaskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of its lease is not taken for the time at which it is due."""
    await pool.enqueue("works", job_id="a")
    read: Any = pool.zscore

    async def claims_first(*names: str) -> Any:
        await Hand(pool, None).start()
        return await read(*names)

    monkeypatch.setattr(pool, "zscore", claims_first)
    found = [await pool.record("a"), await pool.record("a")]
    assert [record and record.status for record in found] == [JobStatus.PENDING, JobStatus.RUNNING]


async def test_a_job_whose_payload_has_expired_is_not_listed(pool: TaskPool, history: JobHistory) -> None:
    """Until a worker has said so it is not known any more, to the look-up neither."""
    await pool.enqueue("works", job_id="a")
    await pool.delete(keys.job("a"))
    assert await walk(history) == [[]]


async def test_a_job_that_cannot_be_read_is_listed(pool: TaskPool, history: JobHistory) -> None:
    """Under a name that says so, without a time that nobody knows."""
    await pool.enqueue("works", job_id="a")
    await pool.set(keys.job("a"), b"\xc1")
    [job] = (await history.list()).jobs
    assert (job.task, job.status, job.enqueue_time) == ("<unknown>", JobStatus.PENDING, None)
    assert (await history.list(since=NOON - timedelta(days=36500))).jobs == ()


# What cannot be answered


async def test_a_redis_that_does_not_answer_is_an_error(own_settings: None) -> None:  # noqa: ARG001
    """It says what was wanted, and why there is no answer."""
    nobody = TaskPool.from_settings(RedisSettings(port=free_port()))
    for call in (JobHistory(nobody).list(), DeadLetters(nobody).list(), DeadLetters(nobody).replay("a")):
        with pytest.raises(QueueUnavailable, match=r"^(list of jobs|list of dead letters|dead letter a): Redis does"):
            await call
    await close_client(nobody)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"limit": 0}, "limit=0: give a whole number from 1 to 1000"),
        ({"limit": 1001}, "limit=1001: give a whole number from 1 to 1000"),
        ({"limit": True}, "limit=True: give a whole number"),
        ({"limit": "5"}, "limit='5': give a whole number"),
        ({"status": "done"}, "status='done': give one of pending, scheduled, running"),
        ({"status": ["failed", "done"]}, "status='done': give one of"),
        ({"status": []}, r"status=\[\]: give one at least"),
        ({"since": "today"}, "since='today': give a datetime"),
        ({"until": 5}, "until=5: give a datetime"),
        ({"since": NOON + timedelta(seconds=1), "until": NOON}, "since='2030-01-01T12:00:01.* is later than until="),
        ({"cursor": "x"}, "cursor='x': no earlier page with these filters gave it"),
        ({"cursor": ""}, "cursor='': no earlier page"),
        ({"cursor": "日本"}, "cursor='日本': no earlier page"),
        ({"cursor": "WyJkZWFkIiwiMSIsImEiXQ"}, "cursor='WyJkZ.*: no earlier page"),
        ({"cursor": "WyJlbmRlZCIsIm5hbiIsImEiXQ"}, "cursor='WyJlb.*: no earlier page"),
    ],
)
async def test_what_makes_no_sense_is_refused(query: dict[str, Any], complaint: str, history: JobHistory) -> None:
    """The error names what was wrong, and its value."""
    with pytest.raises(InvalidQueryError, match=complaint):
        await history.list(**query)


async def test_a_cursor_belongs_to_its_filters(pool: TaskPool, history: JobHistory) -> None:
    """One that stopped among waiting jobs does not fit a list of ended ones."""
    for job_id in "ab":
        await pool.enqueue("works", job_id=job_id)
    page = await history.list(limit=1)
    with pytest.raises(InvalidQueryError, match="no earlier page with these filters gave it"):
        await history.list("failed", cursor=page.cursor)
