"""Batches on a real Redis: round trips, memory, what is refused, and what is known when one breaks off."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.embedded import embedded_redis
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    ArqQueueBackend,
    BatchResult,
    InvalidJobError,
    InvalidPolicyError,
    JobManager,
    JobPriority,
    QueueFull,
    QueueUnavailable,
    TaskPool,
    TaskRegistry,
    UnknownTaskError,
    close_client,
    keys,
    parse_redis_url,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import Unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext


async def count(ctx: TaskContext, number: int, *, more: Any = None) -> None:
    """Take a number."""


@task(unique=Unique.FINISHED)
async def once_each(ctx: TaskContext, number: int) -> None:
    """Take a number that nobody else has."""


REGISTRY = TaskRegistry([count, once_each])


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[TaskPool]:
    """Give a connection of its own, which knows the tasks."""
    pool = TaskPool.from_settings(parse_redis_url(redis_url), registry=REGISTRY)
    yield pool
    await close_client(pool)


@pytest.fixture
def manager(pool: TaskPool) -> JobManager:
    """Give a manager; nobody runs the jobs."""
    return JobManager(ArqQueueBackend(pool))


def numbers(length: int) -> Iterator[dict[str, Any]]:
    for number in range(length):
        yield {"number": number}


async def anumbers(length: int) -> AsyncIterator[dict[str, Any]]:
    for item in numbers(length):
        yield item


async def scripts_run(pool: TaskPool) -> int:
    stats = await pool.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


@pytest.mark.parametrize("items", [list(numbers(250)), numbers(250), anumbers(250)], ids=["list", "iterator", "async"])
async def test_one_round_trip_for_each_slice(items: Any, manager: JobManager, pool: TaskPool) -> None:
    """A list, an iterator and an async iterator become the same jobs, in one call for every `batch_size` items."""
    await manager.enqueue(count, -1)  # so that the script is there
    before = await scripts_run(pool)
    result = await manager.enqueue_batch("count", items, 100, queue="mail", priority=JobPriority.HIGH)
    assert await scripts_run(pool) - before == 3
    assert result == BatchResult(total=250, enqueued=250)
    assert await pool.zcard(keys.queue("mail", JobPriority.HIGH)) == 250


async def test_large_slices_are_parted(manager: JobManager, pool: TaskPool) -> None:
    """No call takes more than 500 jobs."""
    await manager.enqueue(count, -1)
    before = await scripts_run(pool)
    assert (await manager.enqueue_batch(count, numbers(1001), batch_size=1001)).enqueued == 1001
    assert await scripts_run(pool) - before == 3


class Item(dict[str, Any]):
    """An item that is counted while it is there."""

    there = most = 0

    def __init__(self, number: int) -> None:
        super().__init__(number=number)
        Item.there += 1
        Item.most = max(Item.most, Item.there)

    def __del__(self) -> None:  # noqa: D105
        Item.there -= 1


async def test_memory_stays_the_same(manager: JobManager, pool: TaskPool) -> None:
    """A hundred thousand items of an async iterator are never there together, nor are their ids."""

    async def items() -> AsyncIterator[Item]:
        for number in range(100_000):
            if number == 10_000:  # by then, whatever is kept once is there
                tracemalloc.start()
            yield Item(number)

    try:
        result = await manager.enqueue_batch(count, items(), batch_size=500)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result == BatchResult(total=100_000, enqueued=100_000)
    assert await pool.zcard(keys.queue()) == 100_000
    assert Item.most <= 1001
    assert peak < 3_000_000  # the ids alone would take more than twice as much


async def test_progress_is_told(manager: JobManager) -> None:
    """After each round trip: how many items so far, and of how many, if that is known."""
    told: list[tuple[int, int | None]] = []

    async def later(*words: Any) -> None:
        await asyncio.sleep(0)
        told.append(words)

    await manager.enqueue_batch(count, list(numbers(5)), 2, progress=later)
    await manager.enqueue_batch(count, anumbers(3), 2, progress=lambda *words: told.append(words))
    assert told == [(2, 5), (4, 5), (5, 5), (2, None), (3, None)]


async def test_the_ids_are_told(manager: JobManager) -> None:
    """Those of the jobs that were enqueued, after each round trip."""
    told: list[list[str]] = []
    await manager.enqueue_batch(once_each, [{"number": 1}, {"number": 1}, {"number": 2}], 2, on_enqueued=told.append)
    assert [len(job_ids) for job_ids in told] == [1, 1]
    for [job_id], number in zip(told, (1, 2), strict=True):
        record = await manager.get_status(job_id)
        assert record is not None
        assert record.kwargs == {"number": number}


async def test_an_item_is_refused_by_itself(manager: JobManager, pool: TaskPool) -> None:
    """One that does not fit the task, cannot be stored or is too large; the others become jobs."""
    pool.max_payload = 1000
    items: list[Any] = [{"number": 0}, {"nmber": 1}, 2, {"number": object()}, {"number": 4, "more": "x" * 1000}]
    result = await manager.enqueue_batch(count, [*items, {"number": 5}])
    assert (result.total, result.enqueued, result.duplicates, result.refused_count) == (6, 2, 0, 4)
    assert [(refused.index, refused.item) for refused in result.refused] == list(enumerate(items))[1:]
    reasons = [refused.reason for refused in result.refused]
    assert reasons[0] == "count: missing a required argument: 'number'"
    assert reasons[1] == "count: int in place of the named arguments of a job: give a dict for each"
    assert reasons[2].startswith("count: argument 'number' is a object, which cannot be stored")
    assert reasons[3].startswith("count: the job takes 1,")


async def test_so_many_refused_items_are_named(manager: JobManager, pool: TaskPool) -> None:
    """The first hundred; the others are counted, so that a result stays small."""
    result = await manager.enqueue_batch(count, ({} for _ in range(250)), batch_size=70)
    assert (result.total, result.enqueued, result.refused_count) == (250, 0, 250)
    assert [refused.index for refused in result.refused] == list(range(100))
    assert await pool.exists(keys.queue()) == 0


async def test_nothing_makes_no_jobs(manager: JobManager) -> None:
    """An empty batch is one."""
    assert await manager.enqueue_batch(count, []) == BatchResult()


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("cont", {}, UnknownTaskError),
        ("count", {"batch_size": 0}, InvalidPolicyError),
        ("count", {"priority": 7}, InvalidPolicyError),
        ("count", {"queue": "no name"}, InvalidJobError),
        ("count", {"qeue": "mail"}, TypeError),
    ],
)
async def test_what_is_wrong_with_all_is_an_error(
    name: str, options: dict[str, Any], error: type[Exception], manager: JobManager
) -> None:
    """It is said before the first item is taken."""
    items = numbers(1)
    with pytest.raises(error):
        await manager.enqueue_batch(name, items, **options)
    assert list(items) == [{"number": 0}]


@pytest.mark.parametrize("items", [None, 5, "abc", {"number": 1}, numbers])
async def test_what_is_no_list_of_items_is_an_error(items: Any, manager: JobManager) -> None:
    """A single item in place of the list, or a function in place of what it gives."""
    with pytest.raises(InvalidJobError, match="give the items as a list of dicts"):
        await manager.enqueue_batch("count", items)


async def test_names_are_not_checked_without_a_registry(redis_url: str) -> None:
    """A client that knows no tasks enqueues for workers that do."""
    async with JobManager(ArqQueueBackend(TaskPool.from_settings(parse_redis_url(redis_url)))) as manager:
        assert (await manager.enqueue_batch("elsewhere", [{"anything": 1}])).enqueued == 1
        assert (await manager.enqueue_batch(count, [{"anything": 1}])).enqueued == 1
        assert await manager.enqueue(count, anything=1) is not None


# Broken off


async def test_a_full_queue_ends_a_batch(manager: JobManager, pool: TaskPool) -> None:
    """The error says what was enqueued before: the rest can be sent from there."""
    pool.max_queue_length = 250
    items = [{}, *numbers(999)]
    with pytest.raises(QueueFull) as caught:
        await manager.enqueue_batch(count, items, batch_size=100)
    done = caught.value.batch
    assert done is not None
    assert (done.total, done.enqueued, done.refused_count) == (200, 199, 1)
    assert caught.value.__notes__ == ["The batch of count broke off: so far, 199 jobs of 200 items."]
    assert await pool.zcard(keys.queue()) == 199
    pool.max_queue_length = 0
    assert (await manager.enqueue_batch(count, items[done.total :])).enqueued == 800
    assert await pool.zcard(keys.queue()) == 999


async def test_redis_goes_away_in_the_middle(tmp_path: Path) -> None:
    """The error says what is known to be enqueued, and leads to the item to go on from."""
    with ExitStack() as server:
        url = server.enter_context(embedded_redis(tmp_path))

        async def items() -> AsyncIterator[dict[str, Any]]:
            for item in numbers(500):
                if item["number"] == 250:
                    await asyncio.to_thread(server.close)
                yield item

        async with JobManager(
            ArqQueueBackend(TaskPool.from_settings(parse_redis_url(url), registry=REGISTRY))
        ) as manager:
            with pytest.raises(QueueUnavailable) as caught:
                await manager.enqueue_batch(count, items(), batch_size=100)
    assert caught.value.batch == BatchResult(total=200, enqueued=200)


async def test_an_error_of_the_caller_is_raised(manager: JobManager, pool: TaskPool) -> None:
    """What the items or a callback raise comes out as it is, with a note; what was enqueued before stays."""

    async def items() -> AsyncIterator[dict[str, Any]]:
        async for item in anumbers(250):
            yield item
        raise OSError("the file ends here")

    with pytest.raises(OSError, match="the file ends here") as caught:
        await manager.enqueue_batch(count, items(), batch_size=100)
    assert caught.value.__notes__ == ["The batch of count broke off: so far, 200 jobs of 200 items."]
    with pytest.raises(ZeroDivisionError):
        await manager.enqueue_batch(count, numbers(250), progress=lambda done, _: 1 // (done - 100))
    assert await pool.zcard(keys.queue()) == 300


async def test_a_batch_with_keys_is_sent_again(manager: JobManager, pool: TaskPool) -> None:
    """Where each item has a key, the same batch sent twice enqueues what is missing, and counts the rest."""

    def key(item: Any) -> str:
        return f"import 7, line {item['number']}"

    assert await manager.enqueue_batch(count, numbers(150), key=key) == BatchResult(total=150, enqueued=150)
    again = await manager.enqueue_batch(count, anumbers(200), key=key)
    assert again == BatchResult(total=200, enqueued=50, duplicates=150)
    assert await pool.zcard(keys.queue()) == 200
