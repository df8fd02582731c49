"""One of something for each event loop."""

from __future__ import annotations

import asyncio

from {{ cookiecutter.__package }}.infrastructure.per_loop import PerLoop


class Thing:
    """What is made; each is another."""


@PerLoop
def get_thing() -> Thing:
    """Give the thing."""
    return Thing()


def test_a_loop_keeps_its_own() -> None:
    """Until it is taken away; another loop has another one."""

    async def use() -> tuple[Thing, Thing | None, Thing]:
        assert get_thing.take() is None
        first = get_thing()
        assert get_thing() is first
        return first, get_thing.take(), get_thing()

    first, taken, later = asyncio.run(use())
    assert taken is first
    assert len({first, later, *asyncio.run(use())}) == 4


def test_what_belongs_to_a_closed_loop_is_dropped() -> None:
    """However many loops a process has had, only that of the last one is kept."""

    async def use() -> Thing:
        return get_thing()

    for _ in range(3):
        last = asyncio.run(use())
    assert list(get_thing._made.values()) == [last]
