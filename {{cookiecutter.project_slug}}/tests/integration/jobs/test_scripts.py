"""The atomic steps, each script by itself on a real Redis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus, keys, scripts
from {{ cookiecutter.__package }}.infrastructure.jobs import pool as pool_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.client import PubSub

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

QUEUE, MAIL = keys.queue(), keys.queue("mail")
#: Milliseconds of a lease that does not lapse during a test.
LEASE = 60_000
KEEP = 3_600_000
ME, OTHER = "me", "somebody else"
#: What a plain arq worker puts where ours put their token.
ARQ = b"1"


class Claimed(NamedTuple):
    """A job as `claim` gives it."""

    job_id: str
    payload: bytes | None
    attempt: int
    due: int
    queue: int
    mark: str


async def enqueue(
    pool: TaskPool,
    *job_ids: str,
    queue: str = QUEUE,
    due: int | None = None,
    delay: int = 0,
    lifetime: int = 0,
    payload: bytes = b"\x00payload\xff",
) -> list[int]:
    stored: list[int] = await scripts.script(pool, "enqueue")(
        keys=[queue],
        args=[
            scripts.packed([(job_id, False if due is None else due, delay, lifetime, True) for job_id in job_ids]),
            *[payload] * len(job_ids),
        ],
    )
    return stored


async def claim(
    pool: TaskPool,
    token: str = ME,
    *,
    slots: int = 10,
    queues: Sequence[str] = (QUEUE,),
    spare_lapsed: bool = False,
    began: int = 0,
) -> tuple[int, int, list[Claimed]]:
    now, wait, flat = await scripts.script(pool, "claim")(
        keys=queues, args=[token, LEASE, slots, int(spare_lapsed), began or await now_of(pool)]
    )
    rows = zip(*[iter(flat)] * 6, strict=True)
    jobs = [
        Claimed(job_id.decode(), payload, attempt, due, queue, mark.decode())
        for job_id, payload, attempt, due, queue, mark in rows
    ]
    return now, wait, jobs


async def claimed_ids(pool: TaskPool, token: str = ME, **options: Any) -> list[str]:
    _, _, jobs = await claim(pool, token, **options)
    return [job.job_id for job in jobs]


async def renew(
    pool: TaskPool, *job_ids: str, token: str = ME, attempt: int = 1, lease: int = LEASE, away: bool = False
) -> list[str]:
    jobs = [(job_id, QUEUE, attempt) for job_id in job_ids]
    lost = await scripts.script(pool, "renew")(args=[token, lease, int(away), scripts.packed(jobs)])
    return [job_id.decode() for job_id in lost]


class Done(NamedTuple):
    """The end of a job as `commit` takes it."""

    job_id: str
    result: bytes = b"\x00result\xff"
    queue: str = QUEUE
    attempt: int = 1
    status: str = JobStatus.SUCCESS.value
    keep_result: int = KEEP
    keep_claim: int = 0


async def commit(pool: TaskPool, *ends: Done, token: str = ME, away: bool = False) -> list[int]:
    jobs = [(end.job_id, end.queue, end.attempt, end.status, end.keep_result, end.keep_claim) for end in ends]
    committed: list[int] = await scripts.script(pool, "commit")(
        args=[
            token,
            int(away),
            scripts.packed(jobs),
            *[end.result for end in ends],
        ]
    )
    return committed


async def requeue(
    pool: TaskPool,
    *job_ids: str,
    token: str = ME,
    attempt: int = 1,
    delay: int = 0,
    counts: bool = True,
    lapsed: bool = False,
    away: bool = False,
) -> list[int]:
    jobs = [(job_id, QUEUE, attempt, delay, counts, lapsed) for job_id in job_ids]
    requeued: list[int] = await scripts.script(pool, "requeue")(args=[token, int(away), scripts.packed(jobs)])
    return requeued


async def cancel(pool: TaskPool, job_id: str, *, kept: int = KEEP, terminate: bool = False) -> bytes:
    answer: bytes = await scripts.script(pool, "cancel")(
        keys=[QUEUE], args=[job_id, b"cancelled\xff", kept, int(terminate)]
    )
    return answer


async def now_of(pool: TaskPool) -> int:
    """Read Redis's clock, in ms."""
    seconds, microseconds = await pool.time()
    return int(seconds * 1000 + microseconds // 1000)


async def expiry_of(pool: TaskPool, key: str | bytes) -> int:
    """Read the moment at which the key expires, in ms; -1: never."""
    client: Any = pool  # its types are those of the synchronous client
    return int(await client.pexpiretime(key))


async def tokens_of(pool: TaskPool, queue: str = QUEUE) -> list[bytes]:
    client: Any = pool
    return list(await client.lrange(keys.wake(queue), 0, -1))


async def everything(pool: TaskPool) -> dict[bytes, tuple[bytes, int]]:
    """Give all that is stored: each key's value and the moment at which it expires."""
    return {key: (await pool.dump(key), await expiry_of(pool, key)) for key in await pool.keys()}


async def score_of(pool: TaskPool, job_id: str, queue: str = QUEUE) -> float:
    score = await pool.zscore(queue, job_id)
    assert score is not None
    return float(score)


async def tries_of(pool: TaskPool, job_id: str) -> int:
    return int(await pool.get(keys.tries(job_id)) or 0)


async def lapse(pool: TaskPool, *job_ids: str) -> None:
    """Bring about what is there when leases have not been kept up: the claim has expired, the score has come."""
    await pool.delete(*[keys.in_progress(job_id) for job_id in job_ids])
    moment = await now_of(pool) - 999.5
    await pool.zadd(QUEUE, dict.fromkeys(job_ids, moment), xx=True)


async def subscribed(pool: TaskPool) -> PubSub:
    pubsub: PubSub = pool.pubsub()
    await pubsub.subscribe(keys.EVENTS)
    assert (await pubsub.get_message(timeout=None) or {})["type"] == "subscribe"
    return pubsub


async def told(pubsub: PubSub) -> Any:
    message = await pubsub.get_message(timeout=None)
    assert message is not None
    return json.loads(message["data"])


# enqueue


async def test_enqueue_stores_queues_and_rings(pool: TaskPool) -> None:
    """A job's payload is stored byte for byte, it is due now by Redis's clock, and one token tells a worker."""
    before = await now_of(pool)
    assert await enqueue(pool, "a", "b") == [1, 1]
    after = await now_of(pool)
    assert await pool.get(keys.job("a")) == b"\x00payload\xff"
    assert await pool.pttl(keys.job("a")) == -1
    assert before <= await score_of(pool, "a") <= after
    assert await pool.zrange(QUEUE, 0, -1) == [b"a", b"b"]
    assert await tokens_of(pool) == [b"1"]
    assert await pool.dbsize() == 4


async def test_enqueue_leaves_one_token_however_many_jobs_come(pool: TaskPool) -> None:
    """The wake list does not grow while nobody listens."""
    for job_id in "abc":
        await enqueue(pool, job_id)
    assert await tokens_of(pool) == [b"1"]


async def test_enqueue_counts_a_delay_by_the_clock_of_redis(pool: TaskPool) -> None:
    """A delay counts from the moment at which Redis has the job; a moment of the caller's is taken as it is."""
    before = await now_of(pool)
    await enqueue(pool, "delayed", delay=5_000)
    after = await now_of(pool)
    assert before + 5_000 <= await score_of(pool, "delayed") <= after + 5_000
    await enqueue(pool, "planned", due=1_234_567_890_123)
    assert await score_of(pool, "planned") == 1_234_567_890_123


async def test_a_client_whose_clock_is_wrong_delays_right(pool: TaskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a client's clock that stands still in 1970, a delay of a minute is a minute."""
    monkeypatch.setattr(pool_module, "timestamp_ms", lambda: 0)
    before = await now_of(pool)
    await pool.enqueue("task", job_id="a", defer_by=60, expires=60)
    after = await now_of(pool)
    assert before + 60_000 < await score_of(pool, "a") <= after + 60_000.25
    assert before + 120_000 <= await expiry_of(pool, keys.job("a")) <= after + 120_000


async def test_enqueue_lets_a_payload_expire_if_asked(pool: TaskPool) -> None:
    """The limit on a job's start is the lifetime of its payload."""
    before = await now_of(pool)
    await enqueue(pool, "a", lifetime=90_000)
    after = await now_of(pool)
    assert before + 90_000 <= await expiry_of(pool, keys.job("a")) <= after + 90_000


@pytest.mark.parametrize("key", [keys.job("a"), keys.result("a"), keys.in_progress("a")])
async def test_enqueue_refuses_an_id_that_is_taken(key: str, pool: TaskPool) -> None:
    """While a job waits, runs, or its result is kept, its id is taken, and a second job changes nothing."""
    await pool.set(key, b"of the first")
    await pool.zadd(keys.ABORTS, {"a": 1})
    found = await everything(pool)
    assert await enqueue(pool, "a", payload=b"of the second") == [0]
    assert await everything(pool) == found


async def test_enqueue_stores_the_others_of_a_call(pool: TaskPool) -> None:
    """One id that is taken keeps no other job out, and an id twice in one call is one job."""
    await enqueue(pool, "b", payload=b"first")
    assert await enqueue(pool, "a", "b", "c", "c", payload=b"second") == [1, 0, 1, 0]
    assert await pool.get(keys.job("b")) == b"first"
    assert await pool.zcard(QUEUE) == 3


async def test_enqueue_forgets_an_abort_that_was_meant_for_an_earlier_job(pool: TaskPool) -> None:
    """A new job with an id that was used before is not ended by what was asked of the old one."""
    await pool.zadd(keys.ABORTS, {"a": 1, "b": 1})
    await enqueue(pool, "a")
    assert await pool.zrange(keys.ABORTS, 0, -1) == [b"b"]


# claim


async def test_claim_takes_a_lease(pool: TaskPool) -> None:
    """A claimed job bears the worker's token for a lease, its try counts, and its score moves to the lease's end."""
    await enqueue(pool, "a", due=1_000_000)
    before = await now_of(pool)
    now, wait, jobs = await claim(pool)
    after = await now_of(pool)
    assert jobs == [Claimed("a", b"\x00payload\xff", 1, 1_000_000, 1, "")]
    assert before <= now <= after
    assert await pool.get(keys.in_progress("a")) == b"me:1"
    assert before + LEASE <= await expiry_of(pool, keys.in_progress("a")) <= after + LEASE
    assert await score_of(pool, "a") == now + LEASE + 0.5
    assert wait == LEASE + 1  # when the lease would lapse, the job would be due
    assert await pool.get(keys.tries("a")) == b"1"
    assert await pool.get(keys.job("a")) == b"\x00payload\xff"


async def test_claim_takes_the_longest_due_first_and_no_more_than_asked(pool: TaskPool) -> None:
    """Jobs leave in the order in which they were due; one that is not due yet stays."""
    later = await now_of(pool) + 3_600_000
    for job_id, due in {"third": 3, "first": 1, "second": 2, "future": later}.items():
        await enqueue(pool, job_id, due=due)
    assert await claimed_ids(pool, slots=2) == ["first", "second"]
    assert await claimed_ids(pool) == ["third"]
    assert await claimed_ids(pool) == []
    assert await score_of(pool, "future") == later


async def test_claim_gives_no_job_to_two(pool: TaskPool) -> None:
    """What one worker holds, another does not get."""
    await enqueue(pool, "a", "b")
    assert await claimed_ids(pool, slots=1) == ["a"]
    assert await claimed_ids(pool, OTHER) == ["b"]
    assert await pool.mget(keys.in_progress("a"), keys.in_progress("b")) == [b"me:1", b"somebody else:1"]


async def test_claim_takes_more_than_lua_can_pass_on_in_one_call(pool: TaskPool) -> None:
    """A worker with very many free slots fills them all at once."""
    names = [f"{number:04}" for number in range(5_000)]
    for start in range(0, 5_000, scripts.BATCH):
        await enqueue(pool, *names[start : start + scripts.BATCH], due=start)
    assert await claimed_ids(pool, slots=10_000) == names
    assert await pool.zcount(QUEUE, "-inf", await now_of(pool)) == 0


@pytest.mark.parametrize("slots", [1, 3, 5_000])
async def test_claim_pages_past_what_plain_arq_workers_hold(slots: int, pool: TaskPool) -> None:
    """Jobs at the head of the queue that arq's own workers run hide none behind them, and stay as they are."""
    held = [f"{number:04}" for number in range(600)]
    await pool.mset(dict.fromkeys([keys.in_progress(job_id) for job_id in held], ARQ))
    await pool.zadd(QUEUE, dict.fromkeys(held, 1))
    await enqueue(pool, "x", "y", "z", due=2)
    assert await claimed_ids(pool, slots=slots) == ["x", "y", "z"][:slots]
    assert set(await pool.mget([keys.in_progress(job_id) for job_id in held])) == {ARQ}
    assert await pool.zcount(QUEUE, 1, 1) == 600
    assert not await pool.exists(*[keys.tries(job_id) for job_id in held])


async def test_claim_tells_of_a_lease_that_was_not_kept_up(pool: TaskPool) -> None:
    """A job whose worker died comes back, marked, with its next try; one that waits for a retry is not marked."""
    await enqueue(pool, "dead", "again")
    await claim(pool, OTHER)
    await lapse(pool, "dead")
    await requeue(pool, "again", token=OTHER)
    _, _, jobs = await claim(pool)
    assert {job.job_id: (job.attempt, job.mark) for job in jobs} == {"dead": (2, "lapsed"), "again": (2, "")}
    assert await pool.get(keys.in_progress("dead")) == b"me:2"


async def test_claim_spares_lapsed_leases_when_asked(pool: TaskPool) -> None:
    """After Redis was away, who held a job has the first word; jobs behind it are claimed all the same."""
    await enqueue(pool, "lapsed")
    await claim(pool, OTHER)
    await lapse(pool, "lapsed")
    await enqueue(pool, "a", "b")
    found = await score_of(pool, "lapsed")
    assert await claimed_ids(pool, spare_lapsed=True) == ["a", "b"]
    assert await score_of(pool, "lapsed") == found
    assert await tries_of(pool, "lapsed") == 1
    assert not await pool.exists(keys.in_progress("lapsed"))
    assert await claimed_ids(pool) == ["lapsed"]


async def test_claim_tells_of_jobs_that_are_not_to_be_run(pool: TaskPool) -> None:
    """An id in `arq:abort` is marked, also where the lease had lapsed, and taken off the list; others stay on it."""
    await enqueue(pool, "a", "b", "c")
    await claim(pool, OTHER, slots=1)
    await lapse(pool, "a")
    await pool.zadd(keys.ABORTS, {"a": 1, "b": 1, "elsewhere": 1})
    _, _, jobs = await claim(pool)
    assert {job.job_id: job.mark for job in jobs} == {"a": "aborted", "b": "aborted", "c": ""}
    assert await pool.zrange(keys.ABORTS, 0, -1) == [b"elsewhere"]


async def test_claim_gives_a_job_without_its_payload(pool: TaskPool) -> None:
    """A job whose payload has expired is claimed like any other, so that its end can be recorded."""
    await enqueue(pool, "late", "ok")
    await pool.delete(keys.job("late"))
    _, _, jobs = await claim(pool)
    assert {job.job_id: job.payload for job in jobs} == {"late": None, "ok": b"\x00payload\xff"}


async def test_claim_rings_for_what_it_leaves_behind(pool: TaskPool) -> None:
    """With more due than slots, one token is left for another worker, and the answer says that there may be more."""
    await enqueue(pool, "a", "b", "c")
    await pool.delete(keys.wake(QUEUE))
    _, wait, _ = await claim(pool, slots=1)
    assert (wait, await tokens_of(pool)) == (-1, [b"1"])
    _, wait, _ = await claim(pool, slots=1)
    assert (wait, await tokens_of(pool)) == (-1, [b"1"])


@pytest.mark.parametrize("slots", [2, 3])
async def test_claim_takes_the_token_when_nothing_is_left(slots: int, pool: TaskPool) -> None:
    """Nobody is woken for jobs that have been claimed, nor for one that is not due, whether slots are left or not."""
    due = await now_of(pool) + 5_000
    await enqueue(pool, "later", due=due)
    await enqueue(pool, "a", "b")
    now, wait, _ = await claim(pool, slots=slots)
    assert not await pool.exists(keys.wake(QUEUE))
    assert wait == due - now


async def test_claim_does_not_ask_to_be_repeated_for_jobs_that_it_leaves(pool: TaskPool) -> None:
    """With slots left, what others hold and what is spared wakes nobody: who asked again would find the same."""
    await enqueue(pool, "held", "spared")
    await claim(pool, OTHER)
    await lapse(pool, "held", "spared")
    await pool.set(keys.in_progress("held"), ARQ)
    due = await now_of(pool) + LEASE
    await enqueue(pool, "later", due=due)
    now, wait, jobs = await claim(pool, spare_lapsed=True)
    assert (wait, jobs, await tokens_of(pool)) == (due - now, [], [])


async def test_claim_says_that_there_is_nothing(pool: TaskPool) -> None:
    """An empty queue has no next due job, and asking leaves nothing behind."""
    _, wait, jobs = await claim(pool, queues=[QUEUE, MAIL])
    assert (wait, jobs) == (-2, [])
    assert await pool.dbsize() == 0


async def test_claim_gives_the_time_to_the_next_due_job_of_any_queue(pool: TaskPool) -> None:
    """The earliest of all its queues counts, whichever comes first."""
    soon = await now_of(pool) + 50_000
    for first, second in ((QUEUE, MAIL), (MAIL, QUEUE)):
        await pool.flushall()
        await enqueue(pool, "soon", queue=first, due=soon)
        await enqueue(pool, "late", queue=second, due=soon + 10_000)
        now, wait, _ = await claim(pool, queues=[QUEUE, MAIL])
        assert wait == soon - now


async def test_claim_serves_its_queues_in_order(pool: TaskPool) -> None:
    """A later queue gets the slots that an earlier one leaves, however long its jobs have been due."""
    await enqueue(pool, "old mail", "older mail", queue=MAIL, due=1)
    await enqueue(pool, "a", "b")
    _, wait, jobs = await claim(pool, slots=3, queues=[QUEUE, MAIL])
    assert [(job.job_id, job.queue) for job in jobs] == [("a", 1), ("b", 1), ("old mail", 2)]
    assert wait == -1
    assert not await pool.exists(keys.wake(QUEUE))
    assert await tokens_of(pool, MAIL) == [b"1"]
    assert await score_of(pool, "old mail", MAIL) > await score_of(pool, "older mail", MAIL) == 1


async def test_claim_leaves_other_queues_alone(pool: TaskPool) -> None:
    """A worker neither takes jobs of a queue that it does not serve nor the token there."""
    await enqueue(pool, "mail", queue=MAIL)
    found = await everything(pool)
    assert await claimed_ids(pool) == []
    assert await everything(pool) == found


# renew


async def test_renew_prolongs_the_lease(pool: TaskPool) -> None:
    """The claim lasts a lease from now, and the score moves along."""
    await enqueue(pool, "a", "b")
    await claim(pool)
    before = await now_of(pool)
    assert await renew(pool, "a", "b", lease=2 * LEASE) == []
    after = await now_of(pool)
    for job_id in ("a", "b"):
        assert await pool.get(keys.in_progress(job_id)) == b"me:1"
        assert before + 2 * LEASE <= await expiry_of(pool, keys.in_progress(job_id)) <= after + 2 * LEASE
        assert before + 2 * LEASE + 0.5 <= await score_of(pool, job_id) <= after + 2 * LEASE + 0.5
        assert await tries_of(pool, job_id) == 1


@pytest.mark.parametrize("away", [False, True])
async def test_renew_of_another_workers_lease_changes_nothing(away: bool, pool: TaskPool) -> None:  # noqa: FBT001
    """A lease that somebody else holds is lost, also for a worker for which Redis was away."""
    await enqueue(pool, "mine", "theirs")
    await claim(pool, slots=1)
    await claim(pool, OTHER)
    found = await everything(pool)
    assert await renew(pool, "theirs", lease=2 * LEASE, away=away) == ["theirs"]
    assert await everything(pool) == found
    assert await renew(pool, "mine", "theirs", lease=2 * LEASE, away=away) == ["theirs"]


async def test_renew_does_not_take_up_a_lapsed_lease_of_its_own_accord(pool: TaskPool) -> None:
    """Without the flag, a lease that has lapsed is lost, although nobody has claimed the job."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    found = await everything(pool)
    assert await renew(pool, "a") == ["a"]
    assert await everything(pool) == found


async def test_renew_takes_up_a_lapsed_lease_with_the_flag(pool: TaskPool) -> None:
    """After Redis was away, a lease that lapsed in the meantime is held again."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    before = await now_of(pool)
    assert await renew(pool, "a", away=True) == []
    assert await pool.get(keys.in_progress("a")) == b"me:1"
    assert await score_of(pool, "a") >= before + LEASE + 0.5
    assert await claimed_ids(pool, OTHER) == []


async def test_renew_sees_that_somebody_had_the_job_in_between(pool: TaskPool) -> None:
    """When another worker has claimed the job and lost it as well, the number of tries tells; nothing is changed."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    await claim(pool, OTHER)
    await lapse(pool, "a")
    found = await everything(pool)
    assert await renew(pool, "a", away=True) == ["a"]
    assert await everything(pool) == found


async def test_renew_makes_no_claim_on_a_job_that_is_over(pool: TaskPool) -> None:
    """A renewal that comes after the end brings neither claim nor place in the queue back, and prolongs nothing."""
    await enqueue(pool, "done", "kept")
    await claim(pool)
    await commit(pool, Done("done"), Done("kept", keep_claim=5_000))
    found = await everything(pool)
    for away in (False, True):
        assert await renew(pool, "done", "kept", away=away) == ["done"]
        assert await everything(pool) == found


# commit


@pytest.mark.parametrize("kept", [0, KEEP])
async def test_commit_records_the_end(kept: int, pool: TaskPool) -> None:
    """The result is there byte for byte, for as long as asked (0: for ever), and nothing else is left of the job."""
    await enqueue(pool, "a")
    await claim(pool)
    before = await now_of(pool)
    assert await commit(pool, Done("a", keep_result=kept)) == [1]
    after = await now_of(pool)
    assert await pool.keys() == [keys.result("a").encode()]
    assert await pool.get(keys.result("a")) == b"\x00result\xff"
    if kept:
        assert before + kept <= await expiry_of(pool, keys.result("a")) <= after + kept
    else:
        assert await pool.pttl(keys.result("a")) == -1


async def test_commit_keeps_no_empty_result(pool: TaskPool) -> None:
    """Where results are not kept, nothing at all is left."""
    await enqueue(pool, "a")
    await claim(pool)
    assert await commit(pool, Done("a", b"", keep_result=0)) == [1]
    assert await pool.dbsize() == 0


async def test_commit_keeps_the_claim_if_asked(pool: TaskPool) -> None:
    """The id of an ended cron job stays claimed for a while, so that a late worker does not start the tick again."""
    await enqueue(pool, "a")
    await claim(pool)
    before = await now_of(pool)
    assert await commit(pool, Done("a", b"", keep_claim=90_000)) == [1]
    after = await now_of(pool)
    assert await pool.keys() == [keys.in_progress("a").encode()]
    assert before + 90_000 <= await expiry_of(pool, keys.in_progress("a")) <= after + 90_000
    assert await enqueue(pool, "a") == [0]


async def test_commit_takes_many_of_several_queues(pool: TaskPool) -> None:
    """A whole batch is recorded in one call, each job in its own queue."""
    names = [f"{number:03}" for number in range(scripts.BATCH)]
    await enqueue(pool, *names[::2])
    await enqueue(pool, *names[1::2], queue=MAIL)
    await claim(pool, slots=scripts.BATCH, queues=[QUEUE, MAIL])
    ends = [Done(name, name.encode(), (QUEUE, MAIL)[number % 2]) for number, name in enumerate(names)]
    assert await commit(pool, *ends) == [1] * scripts.BATCH
    assert await pool.dbsize() == scripts.BATCH
    assert await pool.mget([keys.result(name) for name in names]) == [name.encode() for name in names]


@pytest.mark.parametrize("away", [False, True])
async def test_commit_of_another_workers_job_changes_nothing(away: bool, pool: TaskPool) -> None:  # noqa: FBT001
    """A worker that lost its lease can neither end the job nor leave a result; its other jobs are recorded."""
    await enqueue(pool, "mine", "theirs")
    await claim(pool, slots=1)
    await claim(pool, OTHER)
    found = await everything(pool)
    assert await commit(pool, Done("theirs"), away=away) == [0]
    assert await everything(pool) == found
    assert await commit(pool, Done("mine"), Done("theirs"), away=away) == [1, 0]
    assert await pool.zrange(QUEUE, 0, -1) == [b"theirs"]
    assert not await pool.exists(keys.result("theirs"))


async def test_commit_of_a_lapsed_lease_needs_the_flag(pool: TaskPool) -> None:
    """A lapsed lease counts only for a worker for which Redis was away."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    found = await everything(pool)
    assert await commit(pool, Done("a")) == [0]
    assert await everything(pool) == found
    assert await commit(pool, Done("a"), away=True) == [1]
    assert await pool.keys() == [keys.result("a").encode()]


async def test_commit_sees_that_somebody_had_the_job_in_between(pool: TaskPool) -> None:
    """When another worker has claimed the job and lost it as well, the number of tries tells; nothing is changed."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    await claim(pool, OTHER)
    await lapse(pool, "a")
    found = await everything(pool)
    assert await commit(pool, Done("a"), away=True) == [0]
    assert await commit(pool, Done("a", b""), away=True) == [0]
    assert await everything(pool) == found


@pytest.mark.parametrize(
    "end", [Done("a"), Done("a", keep_claim=5_000), Done("a", b""), Done("a", b"", keep_claim=5_000)]
)
async def test_commit_whose_answer_was_lost_counts_when_repeated(end: Done, pool: TaskPool) -> None:
    """A worker that did not hear the answer asks again, is told that the end is recorded, and changes nothing."""
    await enqueue(pool, "a")
    await claim(pool)
    await commit(pool, end)
    found = {key: value for key, (value, _) in (await everything(pool)).items()}
    assert await commit(pool, end, away=True) == [1]
    assert {key: value for key, (value, _) in (await everything(pool)).items()} == found


async def test_commit_does_not_overwrite_another_workers_result(pool: TaskPool) -> None:
    """Where the job has been ended by somebody else, theirs stays, and ours is refused."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    await claim(pool, OTHER)
    assert await commit(pool, Done("a", b"theirs", attempt=2), token=OTHER) == [1]
    found = await everything(pool)
    for away in (False, True):
        assert await commit(pool, Done("a", b"ours"), away=away) == [0]
    assert await everything(pool) == found


async def test_commit_does_not_undo_a_cancel(pool: TaskPool) -> None:
    """A job that was cancelled while its lease had lapsed stays cancelled."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    assert await cancel(pool, "a") == b"cancelled"
    found = await everything(pool)
    assert await commit(pool, Done("a"), away=True) == [0]
    assert await everything(pool) == found


async def test_commit_tells_those_who_listen(pool: TaskPool) -> None:
    """The ids that were recorded are told by status, in one message; one whose lease was lost is not among them."""
    await enqueue(pool, "a", "b", "c", "theirs")
    await claim(pool, slots=3)
    await claim(pool, OTHER)
    async with await subscribed(pool) as pubsub:
        await commit(pool, Done("theirs"))
        await commit(pool, Done("a"), Done("b", status="failed"), Done("c"), Done("theirs"))
        assert await told(pubsub) == {"success": ["a", "c"], "failed": ["b"]}


async def test_commit_publishes_nothing_where_nobody_listens(pool: TaskPool) -> None:
    """Without a subscriber no message is made."""
    await enqueue(pool, "a", "b")
    await claim(pool)
    await pool.config_resetstat()
    await commit(pool, Done("a"))
    assert "cmdstat_publish" not in await pool.info("commandstats")
    async with await subscribed(pool):
        await commit(pool, Done("b"))
        assert (await pool.info("commandstats"))["cmdstat_publish"]["calls"] == 1


# requeue


async def test_requeue_puts_back_for_another_try(pool: TaskPool) -> None:
    """The job is due after the delay by Redis's clock, nobody holds it, the try counts, and a worker is told."""
    await enqueue(pool, "a", "b")
    await claim(pool)
    before = await now_of(pool)
    assert await requeue(pool, "a", "b", delay=7_000) == [1, 1]
    after = await now_of(pool)
    for job_id in ("a", "b"):
        assert before + 7_000 <= await score_of(pool, job_id) <= after + 7_000
        assert not await pool.exists(keys.in_progress(job_id))
        assert await tries_of(pool, job_id) == 1
        assert await pool.get(keys.job(job_id)) == b"\x00payload\xff"
    assert await tokens_of(pool) == [b"1"]


async def test_requeue_leaves_no_second_token(pool: TaskPool) -> None:
    """Where a token waits already, it is enough."""
    await enqueue(pool, "a", "b")
    await claim(pool, slots=1)
    assert await requeue(pool, "a") == [1]
    assert await tokens_of(pool) == [b"1"]


async def test_requeue_of_a_try_that_does_not_count(pool: TaskPool) -> None:
    """A job that a stopping worker hands back has its try given back, and is claimed at once as not lapsed."""
    await enqueue(pool, "a")
    await claim(pool)
    assert await requeue(pool, "a", counts=False) == [1]
    assert await tries_of(pool, "a") == 0
    _, _, jobs = await claim(pool, OTHER)
    assert [(job.attempt, job.mark) for job in jobs] == [(1, "")]


async def test_claim_lifts_the_limit_on_the_start(pool: TaskPool) -> None:
    """A job that expires is dropped only where it has not started: a quarter of a millisecond marks it until then."""
    await enqueue(pool, "a", lifetime=90_000)
    assert await score_of(pool, "a") % 1 == 0.25
    assert await claimed_ids(pool) == ["a"]
    assert await pool.pttl(keys.job("a")) == -1


async def test_requeue_lifts_the_limit_of_a_plain_client(pool: TaskPool) -> None:
    """A plain arq client lets every job expire; one that has started does not expire while it waits."""
    await enqueue(pool, "a")
    await pool.pexpire(keys.job("a"), 90_000)
    await claim(pool)
    await requeue(pool, "a", delay=3_600_000)
    assert await pool.pttl(keys.job("a")) == -1


async def test_requeue_keeps_the_mark_of_a_lapsed_lease_if_asked(pool: TaskPool) -> None:
    """A job that may have ended its worker stays known as such while it waits for its turn."""
    await enqueue(pool, "a")
    await claim(pool)
    assert await requeue(pool, "a", counts=False, lapsed=True) == [1]
    assert await score_of(pool, "a") % 1 == 0.5


async def test_requeue_whose_answer_was_lost_is_not_repeated(pool: TaskPool) -> None:
    """The second call says that the job is back, and takes no further try away."""
    await enqueue(pool, "a")
    await claim(pool)
    assert await requeue(pool, "a", counts=False, away=True) == [1]
    found = await everything(pool)
    assert await requeue(pool, "a", counts=False, away=True) == [1]
    assert await everything(pool) == found


async def test_claim_leaves_lapsed_leases_alone_when_redis_stood_still(pool: TaskPool) -> None:
    """A call that was under way for more than a second meets leases whose holders could not renew them."""
    await enqueue(pool, "a")
    await claim(pool)
    await pool.delete(keys.in_progress("a"))
    await pool.zadd(keys.queue(), {"a": 1.5})
    assert await claimed_ids(pool, began=await now_of(pool) - 2_000) == []
    assert await claimed_ids(pool) == ["a"]


@pytest.mark.parametrize("away", [False, True])
async def test_requeue_of_another_workers_job_changes_nothing(away: bool, pool: TaskPool) -> None:  # noqa: FBT001
    """A worker that lost its lease cannot put the job back under somebody who runs it; its other jobs go back."""
    await enqueue(pool, "mine", "theirs")
    await claim(pool, slots=1)
    await claim(pool, OTHER)
    found = await everything(pool)
    assert await requeue(pool, "theirs", counts=False, away=away) == [0]
    assert await everything(pool) == found
    assert await requeue(pool, "mine", "theirs", away=away) == [1, 0]
    assert await pool.get(keys.in_progress("theirs")) == b"somebody else:1"


async def test_requeue_of_a_lapsed_lease_needs_the_flag(pool: TaskPool) -> None:
    """A lapsed lease counts only for a worker for which Redis was away."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    found = await everything(pool)
    assert await requeue(pool, "a") == [0]
    assert await everything(pool) == found
    assert await requeue(pool, "a", delay=3_600_000, away=True) == [1]
    assert await claimed_ids(pool, OTHER) == []


async def test_requeue_sees_that_somebody_had_the_job_in_between(pool: TaskPool) -> None:
    """When another worker has claimed the job and lost it as well, the number of tries tells; nothing is changed."""
    await enqueue(pool, "a")
    await claim(pool)
    await lapse(pool, "a")
    await claim(pool, OTHER)
    await lapse(pool, "a")
    found = await everything(pool)
    assert await requeue(pool, "a", counts=False, away=True) == [0]
    assert await everything(pool) == found


async def test_requeue_brings_back_no_job_that_is_over(pool: TaskPool) -> None:
    """A job that has ended is not queued again."""
    await enqueue(pool, "a")
    await claim(pool)
    await commit(pool, Done("a"))
    found = await everything(pool)
    for away in (False, True):
        assert await requeue(pool, "a", away=away) == [0]
    assert await everything(pool) == found


async def test_requeue_leaves_an_emptied_queue_empty(pool: TaskPool) -> None:
    """A job that was taken out of the queue while it ran does not come back by its next try, nor by a renewal."""
    await enqueue(pool, "a")
    await claim(pool)
    await pool.delete(QUEUE)
    await renew(pool, "a")
    await requeue(pool, "a")
    assert not await pool.exists(QUEUE)


# cancel


@pytest.mark.parametrize("kept", [0, KEEP])
async def test_cancel_ends_a_job_that_waits(kept: int, pool: TaskPool) -> None:
    """A waiting job is over at once: only its result is left, for as long as asked, and those who listen are told."""
    await enqueue(pool, "a", "b")
    await claim(pool)
    await requeue(pool, "a")
    async with await subscribed(pool) as pubsub:
        before = await now_of(pool)
        assert await cancel(pool, "a", kept=kept) == b"cancelled"
        after = await now_of(pool)
        assert await told(pubsub) == {"cancelled": ["a"]}
    assert await pool.get(keys.result("a")) == b"cancelled\xff"
    assert not await pool.exists(keys.job("a"), keys.tries("a"), keys.in_progress("a"), keys.ABORTS)
    assert await pool.zrange(QUEUE, 0, -1) == [b"b"]
    if kept:
        assert before + kept <= await expiry_of(pool, keys.result("a")) <= after + kept
    else:
        assert await pool.pttl(keys.result("a")) == -1


@pytest.mark.parametrize("holder", [ME, ARQ])
async def test_cancel_asks_for_the_end_of_a_job_that_runs(holder: str | bytes, pool: TaskPool) -> None:
    """With the wish to end it, a running job is put on the list that its worker looks at, whichever kind it is."""
    await enqueue(pool, "a")
    await pool.set(keys.in_progress("a"), holder)
    found = await everything(pool)
    before = await now_of(pool)
    assert await cancel(pool, "a", terminate=True) == b"asked"
    after = await now_of(pool)
    assert before <= await score_of(pool, "a", keys.ABORTS) <= after
    await pool.delete(keys.ABORTS)
    assert await everything(pool) == found


async def test_cancel_lets_a_job_run_on(pool: TaskPool) -> None:
    """Without that wish, a running job is left alone."""
    await enqueue(pool, "a")
    await claim(pool)
    found = await everything(pool)
    assert await cancel(pool, "a") == b"running"
    assert await everything(pool) == found


@pytest.mark.parametrize("terminate", [False, True])
async def test_cancel_of_a_job_that_is_not_there(terminate: bool, pool: TaskPool) -> None:  # noqa: FBT001
    """A job that has ended, or that never was, is unknown, and nothing is changed."""
    await enqueue(pool, "ended")
    await claim(pool)
    await commit(pool, Done("ended", keep_claim=90_000))
    found = await everything(pool)
    for job_id in ("ended", "never was"):
        assert await cancel(pool, job_id, terminate=terminate) == b"unknown"
    assert await everything(pool) == found
