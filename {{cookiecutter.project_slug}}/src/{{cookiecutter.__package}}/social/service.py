"""What can be done with follows; knows neither HTTP nor jobs.

The rows of `follows` are the truth. The graph is a copy of them that answers questions about neighbours; `sync_follows`
brings it into step, and what the graph holds can be thrown away and made again by `rebuild_graph`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, tuple_

from ..accounts.models import User
from ..infrastructure.cypher import NodeType, RelationType
from ..infrastructure.database import get_session_context, insert
from .models import Follow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncSession

    from ..infrastructure.graph import Direction, GraphRepository

USER = NodeType("User")
FOLLOWS = RelationType("FOLLOWS", source=USER, target=USER)

#: Follows in one query; each takes two parameters, and old builds of SQLite have 999.
BATCH = 400

#: Times that `sync_follows` looks again before it leaves the rest to a later run.
ROUNDS = 10

Pair = tuple[int, int]


class SelfFollowError(Exception):
    """A user can follow others only."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"user {user_id} cannot follow themselves")


class UnknownUserError(Exception):
    """No such user."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"no user has the id {user_id}")


class UnsettledFollowsError(Exception):
    """Follows changed again each time they had been written to the graph."""

    def __init__(self, pairs: Collection[Pair]) -> None:
        super().__init__(f"after {ROUNDS} rounds {len(pairs)} follows still change, such as {min(pairs)}; run it again")


@dataclass(frozen=True, slots=True)
class People:
    """A page of users, and how many there are in all."""

    total: int
    users: list[User]


async def follow(session: AsyncSession, *, follower_id: int, followed_id: int) -> None:
    """Make a user follow another, in the caller's transaction; once it is committed, the graph needs `sync_follows`.

    Raises:
        SelfFollowError: the two are the same.
        UnknownUserError: one of them does not exist; the message names it.
    """
    await _check(session, follower_id, followed_id)
    # Two requests at the same time may both find no row, so the database decides.
    row = insert(session, Follow).values(follower_id=follower_id, followed_id=followed_id)
    await session.execute(row.on_conflict_do_nothing())


async def unfollow(session: AsyncSession, *, follower_id: int, followed_id: int) -> None:
    """Make a user no longer follow another; otherwise as `follow`."""
    await _check(session, follower_id, followed_id)
    await session.execute(delete(Follow).where(Follow.follower_id == follower_id, Follow.followed_id == followed_id))


async def find_people(
    session: AsyncSession, graph: GraphRepository, user_id: int, *, direction: Direction, limit: int, offset: int
) -> People:
    """Find whom a user follows (out), who follows them (in), or both (mutual), as the graph knows it.

    A page is short by the users that have been deleted since the graph was last in step.

    Raises:
        UnknownUserError: there is no such user.
    """
    await _require(session, user_id)
    page = await graph.neighbours(FOLLOWS, user_id, direction=direction, limit=limit, offset=offset)
    users = await session.scalars(select(User).where(User.id.in_(page.keys)).order_by(User.id))
    return People(page.total, list(users))


async def sync_follows(graph: GraphRepository, pairs: Collection[Pair]) -> None:
    """Make the graph agree with the rows for these (follower, followed), whether they follow or not.

    It may run any number of times, in any order, and beside itself: after each write it reads the rows again, and
    writes what has changed. So whoever writes to the graph last has read the rows after every other change.

    Raises:
        UnsettledFollowsError: the rows change all the time.
    """
    unsettled, before = set(pairs), set[Pair]()
    for _ in range(ROUNDS):
        following = await _read_follows(pairs)
        unsettled = unsettled or following ^ before
        if not unsettled:
            return
        if present := unsettled & following:
            await graph.merge_relations(FOLLOWS, present)
        if absent := unsettled - following:
            await graph.delete_relations(FOLLOWS, absent)
        unsettled, before = set(), following
    raise UnsettledFollowsError(pairs)


async def rebuild_graph(graph: GraphRepository) -> int:
    """Bring the whole graph into step with the rows and give the number of follows.

    The graph is read and written meanwhile as at any other time: nothing is emptied first, so nobody sees half of it.
    """
    await graph.ensure_relation(FOLLOWS)
    total, last = 0, (0, 0)
    while page := await _read_page(after=last):
        await sync_follows(graph, page)
        total, last = total + len(page), page[-1]
    async for window in graph.relations(FOLLOWS):
        pairs: list[Any] = list(window)
        for start in range(0, len(pairs), BATCH):
            batch = set(pairs[start : start + BATCH])
            if stale := batch - await _read_follows(batch):
                await sync_follows(graph, stale)
    await graph.delete_unrelated(USER)
    return total


async def _check(session: AsyncSession, follower_id: int, followed_id: int) -> None:
    if follower_id == followed_id:
        raise SelfFollowError(follower_id)
    await _require(session, follower_id, followed_id)


async def _require(session: AsyncSession, *user_ids: int) -> None:
    # On PostgreSQL the lock keeps the users from being deleted before the caller commits; it hinders nothing else.
    query = select(User.id).where(User.id.in_(user_ids)).order_by(User.id).with_for_update(read=True, key_share=True)
    found = set(await session.scalars(query))
    for user_id in user_ids:
        if user_id not in found:
            raise UnknownUserError(user_id)


async def _read_follows(pairs: Collection[Pair]) -> set[Pair]:
    """Read which of these pairs follow, in a transaction of its own: an open one might show an old state."""
    async with get_session_context() as session:
        query = select(Follow.follower_id, Follow.followed_id)
        rows = await session.execute(query.where(tuple_(Follow.follower_id, Follow.followed_id).in_(pairs)))
        return {(follower_id, followed_id) for follower_id, followed_id in rows}


async def _read_page(*, after: Pair) -> list[Pair]:
    async with get_session_context() as session:
        query = select(Follow.follower_id, Follow.followed_id).order_by(Follow.follower_id, Follow.followed_id)
        later = tuple_(Follow.follower_id, Follow.followed_id) > tuple_(*after)
        rows = await session.execute(query.where(later).limit(BATCH))
        return [(follower_id, followed_id) for follower_id, followed_id in rows]
