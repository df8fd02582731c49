"""Sessions on a real Redis."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from {{ cookiecutter.__package }}.infrastructure import cache as cache_module
from {{ cookiecutter.__package }}.infrastructure.cache import (
    SessionDataError,
    SessionManager,
    close_cache,
    data_key,
    expiry_key,
    get_cache,
    get_session_manager,
    hash_session_id,
    user_key,
)
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[Redis]:
    """The application's client, of a Redis that is empty."""
    assert redis_url
    yield get_cache()
    await close_cache()


@pytest.fixture
def sessions(cache: Redis) -> SessionManager:
    return SessionManager(cache, ttl=60)


async def make_expired(cache: Redis, session_id: str, *, user_id: str, gone: bool = True) -> None:
    """Leave a session as it is when its time is up; `gone`: Redis has dropped its hash, else it has been kept."""
    session_hash = hash_session_id(session_id)
    if gone:
        await cache.delete(data_key(session_hash))
    else:
        await cache.persist(data_key(session_hash))
        await cache.hset(data_key(session_hash), "expires", "1")  # type: ignore[misc]
    await cache.zadd(expiry_key(), {f"{session_hash}:{user_id}": 1})
    await cache.zadd(user_key(user_id), {session_hash: 1})


async def test_a_session_gives_back_what_was_put_in(sessions: SessionManager) -> None:
    """Data, user and times come back; reading again changes nothing."""
    before = datetime.now(UTC) - timedelta(seconds=2)
    data = {"csrf": 'a"b\\c', "roles": ["admin", None], "näme": {"n": 1.5, "😀": True}}
    session_id = await sessions.create(7, data)
    session = await sessions.get(session_id)
    assert session is not None
    assert (session.user_id, session.data) == ("7", data)
    assert before < session.created_at < datetime.now(UTC) + timedelta(seconds=2)
    assert session.expires_at - session.created_at == timedelta(seconds=60)
    assert await sessions.get(session_id) == session


async def test_session_ids_cannot_be_guessed_and_differ(sessions: SessionManager) -> None:
    """An id is 256 random bits that need no escaping, and each session has its own."""
    ids = [await sessions.create(7) for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(len(session_id) == 43 and session_id.replace("-", "").replace("_", "").isalnum() for session_id in ids)


async def test_redis_holds_no_session_id(cache: Redis, sessions: SessionManager) -> None:
    """Neither a key nor a value gives away an id that would sign somebody in."""
    session_id = await sessions.create(7, {"a": 1})
    await sessions.touch(session_id)
    held = ""
    for key in await cache.keys():
        content: Any = cache.hgetall(key) if key.startswith("session:data:") else cache.zrange(key, 0, -1)
        held += f"{key} {await content}"
    assert hash_session_id(session_id) in held
    assert session_id not in held


@pytest.mark.parametrize("session_id", ["", "unknown", "*", "a\0b", "\ud800", "x" * 100_000, ":"])
async def test_an_unknown_session_is_not_there(sessions: SessionManager, session_id: str) -> None:
    """Whatever a client sends as its id, the answer is that there is no such session."""
    await sessions.create(7)
    assert await sessions.get(session_id) is None
    assert await sessions.touch(session_id) is None
    assert not await sessions.update(session_id, {"a": 1})
    assert not await sessions.delete(session_id)
    assert await sessions.count() == 1


async def test_a_session_ends_by_itself(cache: Redis) -> None:
    """Without a touch, a session is gone after its time, and so is all that Redis itself can drop."""
    sessions = SessionManager(cache, ttl=0.02)
    session_id = await sessions.create(7)
    async with asyncio.timeout(5):
        while await sessions.get(session_id):
            pass
        while await cache.exists(user_key(7)):
            pass
    assert await sessions.touch(session_id) is None
    assert await sessions.count() == 0
    assert await sessions.count(7) == 0


async def test_touching_moves_the_end(cache: Redis, sessions: SessionManager) -> None:
    """A touched session lasts another full time, for Redis and in both indexes."""
    session_id = await sessions.create(7, {"a": 1})
    touched = await SessionManager(cache, ttl=3600).touch(session_id)
    assert touched is not None
    assert touched.data == {"a": 1}
    assert timedelta(seconds=3590) < touched.expires_at - touched.created_at <= timedelta(seconds=3610)
    assert await sessions.get(session_id) == touched
    session_hash, end = hash_session_id(session_id), touched.expires_at.timestamp() * 1000
    assert await cache.pttl(data_key(session_hash)) > 3_500_000
    assert await cache.pttl(user_key(7)) > 3_500_000
    assert await cache.zscore(user_key(7), session_hash) == pytest.approx(end, abs=1)
    assert await cache.zscore(expiry_key(), f"{session_hash}:7") == pytest.approx(end, abs=1)


async def test_a_users_index_lasts_as_long_as_the_longest_session(cache: Redis, sessions: SessionManager) -> None:
    """A short session started later does not make the index of the user go early."""
    await SessionManager(cache, ttl=3600).create(7)
    await sessions.create(7)
    assert await cache.pttl(user_key(7)) > 3_500_000
    assert await sessions.count(7) == 2


async def test_updating_replaces_the_data_only(cache: Redis, sessions: SessionManager) -> None:
    """New data takes the place of the old, and the session ends when it would have."""
    session_id = await sessions.create(7, {"a": 1, "b": 2})
    before = await sessions.get(session_id)
    assert before is not None
    assert await sessions.update(session_id, {"c": 3})
    after = await sessions.get(session_id)
    assert after is not None
    assert after.data == {"c": 3}
    assert (after.created_at, after.expires_at) == (before.created_at, before.expires_at)
    assert 0 < await cache.pttl(data_key(hash_session_id(session_id))) <= 60_000


async def test_deleting_leaves_nothing(cache: Redis, sessions: SessionManager) -> None:
    """A deleted session is gone with its index entries, and only once."""
    session_id = await sessions.create("user:with:colons", {"a": 1})
    assert await sessions.delete(session_id)
    assert not await sessions.delete(session_id)
    assert await cache.keys() == []


async def test_all_sessions_of_a_user_end_together(cache: Redis, sessions: SessionManager) -> None:
    """Everybody else stays signed in, whatever the ids look like."""
    mine = [await sessions.create("a:b") for _ in range(3)]
    others = [await sessions.create(user_id) for user_id in ("a", "b", "a:b:c", "é*?")]
    assert await sessions.delete_all_for("a:b") == 3
    assert [await sessions.get(session_id) for session_id in mine] == [None] * 3
    assert all([await sessions.get(session_id) for session_id in others])
    assert await cache.zcard(expiry_key()) == 4
    assert await sessions.delete_all_for("a:b") == 0


async def test_a_users_sessions_are_listed(cache: Redis, sessions: SessionManager) -> None:
    """All that have not expired, as `get` gives them; nobody else's, and none that has outlived its time."""
    ids = [await sessions.create(7, {"n": n}) for n in range(3)]
    await sessions.create(8)
    await make_expired(cache, ids[0], user_id="7")
    await make_expired(cache, ids[1], user_id="7", gone=False)
    assert await sessions.list_for(7) == [await sessions.get(ids[2])]
    assert await sessions.list_for(9) == []


async def test_counts_are_of_live_sessions(cache: Redis, sessions: SessionManager) -> None:
    """Expired sessions do not count, even before the clean-up."""
    ids = [await sessions.create(user_id) for user_id in (1, 1, 2)]
    assert [await sessions.count(user_id) for user_id in (None, 1, 2, 3)] == [3, 2, 1, 0]
    await make_expired(cache, ids[0], user_id="1")
    assert [await sessions.count(user_id) for user_id in (None, 1, 2, 3)] == [2, 1, 1, 0]


async def test_the_clean_up_finds_every_expired_session(
    cache: Redis, sessions: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over several batches, expired sessions go from all indexes, live ones stay, and no scan is needed."""
    monkeypatch.setattr(cache_module, "CLEANUP_BATCH", 2)
    expired = [await sessions.create("a:b") for _ in range(5)]
    alive = await sessions.create("a:b")
    for session_id in expired:
        await make_expired(cache, session_id, user_id="a:b")
    await cache.config_resetstat()
    assert await sessions.delete_expired() == 5
    commands = await cache.info("commandstats")
    assert not {"cmdstat_keys", "cmdstat_scan"} & set(commands)
    alive_hash = hash_session_id(alive)
    assert sorted(await cache.keys()) == sorted([data_key(alive_hash), user_key("a:b"), expiry_key()])
    assert await cache.zrange(expiry_key(), 0, -1) == [f"{alive_hash}:a:b"]
    assert await cache.zrange(user_key("a:b"), 0, -1) == [alive_hash]
    assert await sessions.delete_expired() == 0
    assert await sessions.get(alive)


async def test_the_clean_up_removes_sessions_that_outlived_their_time(cache: Redis, sessions: SessionManager) -> None:
    """A session whose expiry in Redis was taken away can be neither touched nor changed, and is deleted."""
    session_id = await sessions.create(7)
    await make_expired(cache, session_id, user_id="7", gone=False)
    assert await sessions.get(session_id) is None
    assert await sessions.touch(session_id) is None
    assert not await sessions.update(session_id, {"a": 1})
    assert await sessions.delete_expired() == 1
    assert await cache.keys() == []


async def test_clean_ups_at_the_same_time_count_each_session_once(
    cache: Redis, sessions: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clean-ups share the work."""
    monkeypatch.setattr(cache_module, "CLEANUP_BATCH", 3)
    for session_id in [await sessions.create(7) for _ in range(20)]:
        await make_expired(cache, session_id, user_id="7")
    assert sum(await asyncio.gather(sessions.delete_expired(), sessions.delete_expired())) == 20


async def test_starting_a_session_forgets_the_users_expired_ones(cache: Redis, sessions: SessionManager) -> None:
    """A user's index does not grow while no clean-up runs."""
    await make_expired(cache, await sessions.create(7), user_id="7")
    session_id = await sessions.create(7)
    assert await cache.zrange(user_key(7), 0, -1) == [hash_session_id(session_id)]


async def test_each_operation_is_one_round_trip(
    cache: Redis, sessions: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once Redis knows the scripts, nothing is sent twice."""

    async def use_all(session_id: str) -> list[Any]:
        operations = [
            sessions.create(7),
            sessions.get(session_id),
            sessions.touch(session_id),
            sessions.update(session_id, {"a": 1}),
            sessions.count(),
            sessions.count(7),
            sessions.delete(session_id),
            sessions.delete_all_for(7),
            sessions.delete_expired(),
        ]
        return [await operation for operation in operations]

    await cache.script_flush()
    await use_all(await sessions.create(7))
    session_id = await sessions.create(7)
    sent = 0
    send = AbstractConnection.send_packed_command

    async def count(self: AbstractConnection, *args: Any, **kwargs: Any) -> None:
        nonlocal sent
        sent += 1
        await send(self, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", count)
    assert sent == 0
    operations = await use_all(session_id)
    assert sent == len(operations)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", float("nan"), datetime.now(UTC)])
async def test_data_that_json_cannot_hold_is_refused_by_name(
    cache: Redis, sessions: SessionManager, value: object
) -> None:
    """The error says which key, and nothing is stored."""
    session_id = await sessions.create(7, {"good": 1})
    with pytest.raises(SessionDataError, match="'cart'"):
        await sessions.create(7, {"good": 1, "cart": value})
    with pytest.raises(SessionDataError, match="'cart'"):
        await sessions.update(session_id, {"good": 2, "cart": value})
    assert await cache.zcard(expiry_key()) == 1
    session = await sessions.get(session_id)
    assert session is not None
    assert session.data == {"good": 1}


async def test_the_time_comes_from_the_settings(cache: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """SESSION_TTL is how long a session lasts."""
    monkeypatch.setenv("SESSION_TTL", "1234")
    get_settings.cache_clear()
    sessions = await get_session_manager()
    await sessions.create(7)
    assert 1_230_000 < await cache.pttl(user_key(7)) <= 1_234_000


@pytest.mark.parametrize("ttl", [0, -1])
async def test_a_session_must_last(cache: Redis, ttl: int) -> None:
    """A time of nothing is a mistake that is named."""
    with pytest.raises(ValueError, match=f"ttl={ttl}"):
        SessionManager(cache, ttl=ttl)


async def test_there_is_one_client_until_it_is_closed(cache: Redis) -> None:
    """The same client is given each time, and after closing a new one that works."""
    assert get_cache() is cache
    await close_cache()
    await close_cache()
    assert get_cache() is not cache
    assert await get_cache().ping()


@pytest.mark.usefixtures("redis_url")
async def test_a_redis_that_is_away_shows_at_once(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation fails with redis-py's error instead of waiting."""
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{unused_tcp_port}/0")
    get_settings.cache_clear()
    async with asyncio.timeout(2):
        with pytest.raises(RedisConnectionError):
            await (await get_session_manager()).create(7)
    await close_cache()
