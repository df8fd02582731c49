"""The tokens of a rate limit, to the microsecond: a start is in the span that it opens, and not in the one after it."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys, scripts

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

TASK = "send"
#: A moment of our time, in µs: a number of sixteen digits.
NOW = 1_800_000_000_123_456
PER = 1_000_000


async def capacity(pool: TaskPool, now: int, *, jobs: int, starts: list[int]) -> tuple[float, float]:
    """Give how many tokens there are at that moment after these starts, and when the next one comes, in µs."""
    client: Any = pool  # its types are those of the synchronous client
    await client.hset(keys.limits(TASK), mapping={"concurrency": 0, "jobs": jobs, "per": PER})
    await pool.delete(keys.starts(TASK))
    await pool.zadd(keys.starts(TASK), {str(number): at for number, at in enumerate(starts)})
    names = "".join(f"local {name} = '{value}'\n" for name, value in scripts.NAMES.items())
    asked = """
        local _, tokens, token_at = capacity(ARGV[1], tonumber(ARGV[2]))
        return { string.format('%.0f', tokens), string.format('%.0f', token_at) }
    """
    lua = files(scripts.__package__).joinpath("scripts", "limits.lua").read_text()
    tokens, token_at = await client.eval(names + lua + asked, 0, TASK, now)
    return float(tokens), float(token_at)


@pytest.mark.parametrize(("later", "tokens"), [(0, 0), (1, 0), (PER - 1, 0), (PER, 1), (PER + 1, 1)])
async def test_a_token_comes_back_exactly_a_period_after_its_start(pool: TaskPool, later: int, tokens: int) -> None:
    """A microsecond before there is none, and it is said when there is one; then the start is forgotten."""
    token_at = 0 if tokens else NOW + PER
    assert await capacity(pool, NOW + later, jobs=1, starts=[NOW]) == (tokens, token_at)
    assert await pool.zcard(keys.starts(TASK)) == 1 - tokens


@pytest.mark.parametrize(
    ("jobs", "tokens", "token_at"),
    [(6, 2, 0), (5, 1, 0), (4, 0, NOW + PER), (3, 0, NOW + PER + 10), (1, 0, NOW + PER + 30), (0, float("inf"), 0)],
)
async def test_where_the_limit_was_lowered_more_have_to_come_back(
    pool: TaskPool, jobs: int, tokens: float, token_at: int
) -> None:
    """The next token is there when fewer than so many starts count, not when the oldest goes."""
    starts = [NOW, NOW + 10, NOW + 20, NOW + 30]
    assert await capacity(pool, NOW + 40, jobs=jobs, starts=starts) == (tokens, token_at)
