"""Workflows in the scripts: each step is whole, whoever calls it, however often, and whatever room there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError

from {{ cookiecutter.__package }}.infrastructure.jobs import keys, scripts

from integration.jobs.scripts.calls import (
    CANCELLED,
    KEEP,
    MAIL,
    PAYLOAD,
    QUEUE,
    Done,
    Hand,
    cancel_many,
    enqueue,
    everything,
    lapse,
    listening,
    names,
    now_of,
    score_of,
    tokens_of,
)
from integration.jobs.scripts.test_full_redis import full

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

FLOW = "0123456789abcdef" * 2
VALUE = b"\x00value\xff"


def job(number: int) -> str:
    return keys.workflow_job(FLOW, number)


def end(number: int, status: str = "success", value: int = 0, **more: Any) -> Done:
    """Give the end of a job of the workflow."""
    return Done(job(number), status=status, part=(FLOW, number, "" if status == "success" else "why", value), **more)


async def make(
    pool: TaskPool,
    kind: str,
    total: int,
    *,
    policy: str = "",
    callback: bool = False,
    lanes: list[str] | None = None,
    here: int | None = None,
) -> Any:
    """Make a workflow; `here` payloads come with the call."""
    lanes = lanes or [QUEUE] * (total + callback)
    payloads = [PAYLOAD] * (len(lanes) if here is None else here)
    args: list[Any] = [FLOW, kind, policy, total, "1" if callback else "", "[]", KEEP]
    jobs: list[Any] = [scripts.packed(lanes), scripts.packed([]), "", *payloads]
    return await scripts.script(pool, "workflow")(args=[*args, *jobs])


async def halt(pool: TaskPool, *, terminate: bool = False) -> Any:
    return await scripts.script(pool, "halt")(args=[FLOW, int(terminate), "a wish"])


async def flow(pool: TaskPool) -> dict[str, str]:
    """Give what is stored of the workflow."""
    client: Any = pool
    return {name.decode(): value.decode() for name, value in (await client.hgetall(keys.workflow(FLOW))).items()}


async def values(pool: TaskPool) -> dict[bytes, bytes]:
    client: Any = pool
    return dict(await client.hgetall(keys.workflow_values(FLOW)))


async def waiting(pool: TaskPool, lane: str = QUEUE) -> list[str]:
    return [job_id.decode() for job_id in await pool.zrange(lane, 0, -1)]


async def aborts(pool: TaskPool) -> list[str]:
    return await waiting(pool, keys.ABORTS)


# Making one


async def test_a_chain_queues_its_first_step(pool: TaskPool) -> None:
    """All payloads are stored, and do not expire; one job is queued, due now, and a worker is woken."""
    before = await now_of(pool)
    assert await make(pool, "chain", 3, lanes=[QUEUE, MAIL, MAIL]) == 1
    after = await now_of(pool)
    assert await waiting(pool) == [job(0)]
    assert before <= await score_of(pool, job(0)) <= after
    assert await tokens_of(pool) == [b"1"]
    assert await tokens_of(pool, MAIL) == []
    for number in range(3):
        assert await pool.get(keys.job(job(number))) == PAYLOAD
        assert await pool.ttl(keys.job(job(number))) == -1
    found = await flow(pool)
    assert {name: found[name] for name in ("left", "lane:1", "lane:2")} == {"left": "3", "lane:1": MAIL, "lane:2": MAIL}
    assert before <= int(found["created"]) <= after


async def test_a_group_queues_its_members(pool: TaskPool) -> None:
    """All but the callback, in whatever lanes they are, also where they are many."""
    lanes = [QUEUE, MAIL] * 600 + [MAIL]
    for number in range(500, 1201):
        await pool.set(keys.job(job(number)), PAYLOAD, ex=600)
    assert await make(pool, "group", 1200, policy="fail", callback=True, lanes=lanes, here=500) == 1
    assert await waiting(pool) == [job(number) for number in range(0, 1200, 2)]
    assert await waiting(pool, MAIL) == [job(number) for number in range(1, 1200, 2)]
    assert {await pool.ttl(keys.job(job(number))) for number in (0, 499, 500, 1200)} == {-1}
    client: Any = pool
    assert await client.smembers(keys.QUEUES) == {QUEUE.encode(), MAIL.encode()}


@pytest.mark.parametrize("gone", [500, 1200])
async def test_a_group_whose_parts_have_expired_is_not_made(gone: int, pool: TaskPool) -> None:
    """Not a single key is written, whichever job it is."""
    for number in range(500, 1201):
        if number != gone:
            await pool.set(keys.job(job(number)), PAYLOAD, ex=600)
    found = await everything(pool)
    assert await make(pool, "group", 1200, policy="fail", callback=True, here=500) == 0
    assert await everything(pool) == found


async def test_a_key_of_another_kind_makes_no_workflow(pool: TaskPool) -> None:
    """Where a lane is none, be it that of a later step, nothing is written."""
    await pool.set(MAIL, "no lane")
    found = await everything(pool)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await make(pool, "chain", 2, lanes=[QUEUE, MAIL])
    assert await everything(pool) == found


# Ends


async def test_commit_queues_the_next_step(pool: TaskPool, me: Hand) -> None:
    """In the step that records the end, due now, in its own lane, and a worker is woken; the value is kept."""
    await make(pool, "chain", 2, lanes=[QUEUE, MAIL])
    await me.claim()
    before = await now_of(pool)
    assert await me.commit(end(0, value=1), values=[VALUE]) == [1]
    after = await now_of(pool)
    assert (await waiting(pool), await waiting(pool, MAIL)) == ([], [job(1)])
    assert before <= await score_of(pool, job(1), MAIL) <= after
    assert await tokens_of(pool, MAIL) == [b"1"]
    assert await values(pool) == {b"0": VALUE}
    assert (await flow(pool))["left"] == "1"
    await me.claim(queues=[MAIL])
    assert await me.commit(end(1, queue=MAIL)) == [1]
    found = await flow(pool)
    assert (found["status"], found["left"]) == ("success", "0")
    for key in (keys.workflow(FLOW), keys.workflow_values(FLOW)):
        assert KEEP - 60_000 < await pool.pttl(key) <= KEEP


async def test_values_belong_to_their_jobs(pool: TaskPool, me: Hand) -> None:
    """Jobs without a workflow, and such whose values nobody wants, may stand between."""
    await enqueue(pool, "a", "b")
    await make(pool, "group", 3, policy="fail")
    await me.claim()
    ends = [Done("a"), end(0, value=1), end(1), Done("b"), end(2, value=2)]
    assert await me.commit(*ends, values=[b"zero", b"two"]) == [1] * 5
    assert await values(pool) == {b"0": b"zero", b"2": b"two"}


async def test_all_members_in_one_commit_queue_the_callback_once(pool: TaskPool, me: Hand) -> None:
    """The last of them does, however many end together."""
    await make(pool, "group", 3, policy="fail", callback=True)
    await me.claim()
    assert await me.commit(end(0), end(1)) == [1, 1]
    assert await waiting(pool) == [job(2)]
    assert await me.commit(end(2)) == [1]
    assert await waiting(pool) == [job(3)]


async def test_a_stale_worker_moves_no_workflow(pool: TaskPool, me: Hand, other: Hand) -> None:
    """Neither before the other has ended the step, nor after."""
    await make(pool, "chain", 3)
    await me.claim()
    await lapse(pool, job(0))
    await other.claim()
    found = await everything(pool)
    for status in ("success", "failed"):
        assert await me.commit(end(0, status)) == [0]
        assert await me.commit(end(0, status), away=True) == [0]
    assert await everything(pool) == found
    assert await other.commit(end(0)) == [1]
    found = await everything(pool)
    assert await me.commit(end(0, "failed")) == [0]
    assert await everything(pool) == found
    assert await waiting(pool) == [job(1)]


async def test_a_commit_whose_answer_was_lost_moves_it_once(pool: TaskPool, me: Hand) -> None:
    """The worker sends it again: it is told that it was recorded, and the next step is queued once."""
    await make(pool, "chain", 3)
    await me.claim()
    assert await me.commit(end(0)) == [1]
    await me.claim()
    found = await everything(pool)
    assert await me.commit(end(0), away=True) == [1]
    assert await everything(pool) == found


async def test_ids_that_look_like_parts_are_just_ids(pool: TaskPool, me: Hand) -> None:
    """Where there is no such workflow, or none with such a job still to end, nothing else is done."""
    await enqueue(pool, job(7))
    await me.claim()
    assert await me.commit(end(7)) == [1]
    assert await pool.exists(keys.workflow(FLOW), keys.workflow_values(FLOW)) == 0


async def test_other_jobs_pay_nothing(pool: TaskPool, me: Hand) -> None:
    """The commit of jobs without a workflow runs no command for one."""
    await enqueue(pool, *[f"a{number}" for number in range(10)])
    await me.claim()
    await pool.config_resetstat()
    await me.commit(*[Done(f"a{number}") for number in range(10)])
    stats = await pool.info("commandstats")
    counted = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}
    del counted["config|resetstat"]
    assert not [name for name in counted if name.startswith("h")], counted
    once = dict.fromkeys(["evalsha", "time", "mget", "del", "exists", "pubsub|numsub"], 1)
    assert counted == {**once, "zrem": 2, "set": 10}


# Stopping


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_commit_gives_up_the_rest_of_a_chain(status: str, pool: TaskPool, me: Hand) -> None:
    """What waits is marked, and put where a worker finds it first: it was due when the chain was made."""
    await make(pool, "chain", 3)
    await me.claim()
    assert await me.commit(end(0, status)) == [1]
    assert await waiting(pool) == [job(1), job(2)]
    assert await aborts(pool) == [job(1), job(2)]
    found = await flow(pool)
    assert (found["status"], found["culprit"], found["why"], found["cancelled"]) == (
        status,
        "0",
        "why",
        "2" if status == "failed" else "3",
    )
    assert {await score_of(pool, job(1)), await score_of(pool, job(2))} == {float(found["created"])}
    _, _, jobs = await me.claim()
    assert [claimed.special for claimed in jobs] == ["aborted", "aborted"]
    before = await flow(pool)
    assert await me.commit(end(1, "cancelled"), end(2, "cancelled")) == [1, 1]
    assert await flow(pool) == before
    assert await aborts(pool) == []


async def test_a_thousand_waiting_members_are_given_up(pool: TaskPool, me: Hand) -> None:
    """All but those that run, in one step."""
    for number in range(500, 1201):
        await pool.set(keys.job(job(number)), PAYLOAD)
    await make(pool, "group", 1200, policy="cancel", callback=True, here=500)
    await me.claim(slots=3)
    assert await me.commit(end(1, "failed")) == [1]
    assert await aborts(pool) == [job(number) for number in range(3, 1201)]
    found = await flow(pool)
    assert (found["left"], found["cancelled"], "status" in found) == ("2", "1198", False)
    assert await me.commit(end(0), end(2, "failed")) == [1, 1]
    found = await flow(pool)
    assert (found["status"], found["culprit"], found["success"], found["failed"]) == ("failed", "1", "1", "2")


async def test_cancel_tells_what_is_given_up(pool: TaskPool) -> None:
    """The caller is told which jobs it is to end; when it has, nothing is left of them."""
    await make(pool, "chain", 3)
    answers, given_up = await cancel_many(pool, (job(1), QUEUE, "task", "line", FLOW, 1, "why"))
    assert (answers, given_up) == ([b"cancelled"], [job(2).encode(), job(0).encode()])
    again = [(job(number), QUEUE, "task", f"line {number}", FLOW, number, "why") for number in (0, 2)]
    assert await cancel_many(pool, *again) == ([b"cancelled"] * 2, [])
    assert (await flow(pool))["status"] == "cancelled"
    left = {keys.workflow(FLOW), keys.history("cancelled"), keys.wake(QUEUE)}
    ended = {name(job(number)) for name in (keys.result, keys.cancelled) for number in range(3)}
    assert await names(pool) == left | ended
    assert await pool.get(keys.result(job(0))) == CANCELLED


async def test_halt(pool: TaskPool, me: Hand) -> None:
    """It tells what it has given up, and what runs; a workflow that has ended, or is not there, is left alone."""
    assert await halt(pool) is None
    await make(pool, "group", 3, policy="continue", callback=True)
    await me.claim(slots=1)
    queued = [job(1).encode(), job(2).encode()]
    assert await halt(pool) == [[[job(3).encode()], queued], [job(0).encode()]]
    assert (await flow(pool))["why"] == "a wish"
    assert await me.commit(end(0)) == [1]
    found = await everything(pool)
    assert await halt(pool) is None
    assert await everything(pool) == found
    assert (await flow(pool))["status"] == "cancelled"


async def test_those_who_listen_are_told(pool: TaskPool, me: Hand) -> None:
    """Of each end that changes a workflow, and of its own end, under its id."""
    async with listening(pool) as listener:
        await make(pool, "chain", 2)
        await me.claim()
        await me.commit(end(0))
        assert {"progress": [FLOW]} in await listener.told()
        await me.claim()
        await me.commit(end(1))
        assert {"success": [FLOW]} in await listener.told()
    async with listening(pool) as listener:
        await pool.delete(keys.workflow(FLOW))
        await make(pool, "chain", 2)
        await halt(pool)
        assert await listener.told() == [{"cancelled": [FLOW]}]


# A Redis without memory


async def test_a_full_redis_takes_no_workflow(pool: TaskPool) -> None:
    """Not a part of it."""
    found = await everything(pool)
    async with full(pool):
        with pytest.raises(ResponseError, match="maxmemory"):
            await make(pool, "group", 3, policy="fail", callback=True)
    assert await everything(pool) == found


@pytest.mark.parametrize("status", ["success", "failed"])
async def test_a_full_redis_lets_workflows_go_on(status: str, pool: TaskPool, me: Hand) -> None:
    """What comes next is queued, or given up, with the end that is recorded; so it can empty."""
    await make(pool, "chain", 2)
    await me.claim()
    async with full(pool):
        assert await me.commit(end(0, status, value=1), values=[VALUE]) == [1]
        assert await waiting(pool) == [job(1)]
        assert await me.claimed() == [job(1)]
        assert await me.commit(end(1, "success" if status == "success" else "cancelled")) == [1]
    assert (await flow(pool))["status"] == status


async def test_a_full_redis_lets_workflows_be_cancelled(pool: TaskPool) -> None:
    """One by one, and as a whole."""
    await make(pool, "group", 3, policy="fail", callback=True)
    async with full(pool):
        answers, given_up = await cancel_many(pool, (job(1), QUEUE, "task", "line", FLOW, 1, "why"))
        assert (answers, given_up) == ([b"cancelled"], [job(3).encode()])
        assert await halt(pool) == [[[], [job(0).encode(), job(2).encode()]], []]
    assert (await flow(pool))["status"] == "cancelled"
