"""`trim.lua`: history and dead letters stay within their limits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys, scripts
from {{ cookiecutter.__package }}.infrastructure.jobs.retention import Retention, trim

from integration.jobs.scripts.calls import everything, names, now_of

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

STATUSES = ("success", "failed", "cancelled")
#: More than there is in any test, and longer.
MANY, LONG = 100_000, 86_400_000


async def trim_once(
    pool: TaskPool, *, lines: int = MANY, age: int = LONG, dead: int = MANY, dead_age: int = LONG
) -> int:
    more: int = await scripts.script(pool, "trim")(args=[lines, age, dead, dead_age])
    return more


async def remember(pool: TaskPool, status: str, ages: dict[str, int]) -> None:
    """Write lines of the history that are so many ms old."""
    now = await now_of(pool)
    await pool.zadd(keys.history(status), {line: now - age for line, age in ages.items()})


async def bury(pool: TaskPool, ages: dict[str, int]) -> None:
    """Write dead letters that are so many ms old."""
    now = await now_of(pool)
    client = pool.pipeline()
    for job_id, age in ages.items():
        client.zadd(keys.DEAD, {job_id: now - age})
        client.set(keys.dead_letter(job_id), "letter")
        client.rpush(keys.dead_attempts(job_id), "attempt")
    await client.execute()


async def lines_of(pool: TaskPool, status: str) -> list[str]:
    return [line.decode() for line in await pool.zrange(keys.history(status), 0, -1)]


async def dead_of(pool: TaskPool) -> list[str]:
    return [job_id.decode() for job_id in await pool.zrange(keys.DEAD, 0, -1)]


async def test_trim_leaves_what_is_within_the_limits(pool: TaskPool) -> None:
    """As many as may be, as old as may be: nothing is forgotten, nor where there is nothing."""
    assert await trim_once(pool) == 0
    for status in STATUSES:
        await remember(pool, status, {"a": LONG - 5_000, "b": 0})
    await bury(pool, {"a": LONG - 5_000, "b": 0})
    found = await everything(pool)
    assert await trim_once(pool, lines=2, dead=2) == 0
    assert await everything(pool) == found


@pytest.mark.parametrize("status", STATUSES)
async def test_trim_forgets_the_oldest_lines_of_each_status(status: str, pool: TaskPool) -> None:
    """The limit holds for each status; dead letters have limits of their own."""
    for each in STATUSES:
        await remember(pool, each, {"old": 3_000} if each != status else {"old": 3_000, "older": 4_000, "new": 0})
    await bury(pool, {"old": 3_000, "older": 4_000})
    assert await trim_once(pool, lines=1) == 0
    assert {each: await lines_of(pool, each) for each in STATUSES} == {
        each: ["new" if each == status else "old"] for each in STATUSES
    }
    assert await dead_of(pool) == ["older", "old"]


@pytest.mark.parametrize("status", STATUSES)
async def test_trim_forgets_lines_that_are_too_old(status: str, pool: TaskPool) -> None:
    """However few they are; dead letters have limits of their own."""
    await remember(pool, status, {"old": 3_000, "new": 0})
    await bury(pool, {"old": 3_000})
    assert await trim_once(pool, age=2_000) == 0
    assert await lines_of(pool, status) == ["new"]
    assert await dead_of(pool) == ["old"]


async def test_trim_forgets_the_oldest_dead_letters_with_their_attempts(pool: TaskPool) -> None:
    """Nothing is left of them, and everything of the others; the history has limits of its own."""
    await bury(pool, {"a": 3_000, "b": 2_000, "c": 1_000})
    await remember(pool, "failed", {"old": 3_000, "new": 0})
    assert await trim_once(pool, dead=1) == 0
    assert await dead_of(pool) == ["c"]
    assert await names(pool) == {keys.DEAD, keys.dead_letter("c"), keys.dead_attempts("c"), keys.history("failed")}
    assert await lines_of(pool, "failed") == ["old", "new"]


async def test_trim_forgets_dead_letters_that_are_too_old(pool: TaskPool) -> None:
    """However few they are; the history has limits of its own."""
    await bury(pool, {"a": 3_000, "b": 0})
    await remember(pool, "failed", {"old": 3_000})
    assert await trim_once(pool, dead_age=2_000) == 0
    assert await dead_of(pool) == ["b"]
    assert await lines_of(pool, "failed") == ["old"]


async def test_trim_goes_by_both_limits(pool: TaskPool) -> None:
    """What is too old and what is too much are forgotten together, whichever is more."""
    for lines, age, left in ((3, 2_500, ["b", "a"]), (1, 3_500, ["a"])):
        await remember(pool, "success", {"d": 4_000, "c": 3_000, "b": 2_000, "a": 1_000})
        await trim_once(pool, lines=lines, age=age)
        assert await lines_of(pool, "success") == left


async def test_trim_keeps_nothing_where_nothing_is_to_be_kept(pool: TaskPool) -> None:
    """A limit of 0 empties them."""
    await remember(pool, "success", {"a": 0})
    await bury(pool, {"a": 0})
    assert await trim_once(pool, lines=0, dead=0) == 0
    assert await names(pool) == set()


@pytest.mark.parametrize("limit", [{"lines": 500}, {"age": 2_000}])
@pytest.mark.parametrize("status", STATUSES)
async def test_trim_forgets_a_part_of_the_history_at_a_time(status: str, limit: dict[str, int], pool: TaskPool) -> None:
    """One call takes a thousand lines, the oldest, and says whether there may be more."""
    await remember(pool, status, {f"{number:04}": 9_000 - number for number in range(2_000)} | {"new": 0})
    await remember(pool, status, {f"newer {number}": 0 for number in range(499)})
    answers, left = [], []
    for _ in range(3):
        answers.append(await trim_once(pool, **limit))
        left.append(len(await lines_of(pool, status)))
    assert (answers, left) == ([1, 1, 0], [1_500, 500, 500])
    assert "new" in await lines_of(pool, status)


@pytest.mark.parametrize("limit", [{"dead": 500}, {"dead_age": 2_000}])
async def test_trim_forgets_a_part_of_the_dead_letters_at_a_time(limit: dict[str, int], pool: TaskPool) -> None:
    """So it is with dead letters."""
    await bury(pool, {str(number): 9_000 - number for number in range(1_500)})
    await bury(pool, {f"newer {number}": 0 for number in range(500)})
    answers, left = [], []
    for _ in range(3):
        answers.append(await trim_once(pool, **limit))
        left.append(len(await dead_of(pool)))
    assert (answers, left) == ([1, 0, 0], [1_000, 500, 500])


async def test_trimming_goes_on_until_all_is_within_the_limits(pool: TaskPool) -> None:
    """Limits in Python are limits in Redis, each of its own kind, and parts are taken until none is left."""
    for status in STATUSES:
        await remember(pool, status, {str(number): 60_000 - number for number in range(2_500)})
    await bury(pool, {str(number): 60_000 - number for number in range(1_500)})
    await trim(pool, Retention(history=100, dead_letters=50))
    assert [len(await lines_of(pool, status)) for status in STATUSES] == [100, 100, 100]
    assert len(await dead_of(pool)) == 50
    await trim(pool, Retention(history_age=timedelta(seconds=1)))
    assert [len(await lines_of(pool, status)) for status in STATUSES] == [0, 0, 0]
    assert len(await dead_of(pool)) == 50
    await trim(pool, Retention(dead_letters_age=timedelta(seconds=1)))
    assert await names(pool) == set()
