"""Limits of sign-in and reset, counted in a real Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.accounts.limits import AttemptLimit, TooManyAttemptsError
from {{ cookiecutter.__package }}.accounts.shared_limits import get_shared_counts
from {{ cookiecutter.__package }}.infrastructure.cache import close_cache, get_cache
from {{ cookiecutter.__package }}.infrastructure.embedded import free_port
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from httpx import AsyncClient

pytestmark = pytest.mark.usefixtures("redis_url")

EMAIL, CLIENT = "ada@example.com", "192.0.2.1"


def limit_of(limit: str = "3 per hour") -> AttemptLimit:
    return AttemptLimit("try", limit=lambda: limit, shared=get_shared_counts)


async def allowed(limit: AttemptLimit, email: str = EMAIL) -> bool:
    try:
        await limit.count(email=email, client=CLIENT)
    except TooManyAttemptsError:
        return False
    return True


async def count_elsewhere(attempts: int) -> None:
    """Count as another process does: in an event loop of its own, with a client of its own."""

    async def count() -> None:
        assert [await allowed(limit_of()) for _ in range(attempts)] == [True] * attempts
        await close_cache()

    await asyncio.to_thread(asyncio.run, count())


async def test_processes_count_together() -> None:
    """What one has counted, the other refuses."""
    await count_elsewhere(2)
    limit = limit_of()
    assert [await allowed(limit) for _ in range(3)] == [True, False, False]
    with pytest.raises(TooManyAttemptsError) as caught:
        await limit.count(email=EMAIL, client=CLIENT)
    assert 3000 < caught.value.retry_after <= 3600


async def test_of_many_at_the_same_time_so_many_pass() -> None:
    """Two clients that try at once get no more than one."""

    async def attempts() -> int:
        passed = sum(await asyncio.gather(*(allowed(limit_of()) for _ in range(10))))
        await close_cache()
        return passed

    assert await attempts() + await asyncio.to_thread(asyncio.run, attempts()) == 3
    await get_cache().flushall()
    both = asyncio.gather(asyncio.to_thread(asyncio.run, attempts()), asyncio.to_thread(asyncio.run, attempts()))
    assert sum(await both) == 3


async def test_what_is_kept_goes_by_itself_and_names_nobody() -> None:
    """Each count has an expiry; neither address nor client can be read from it."""
    await allowed(limit_of())
    keys = await get_cache().keys("limits:*")
    assert len(keys) == 2
    for key in keys:
        assert 0 < await get_cache().ttl(key) <= 3600
        assert EMAIL not in key
        assert CLIENT not in key


async def test_forgetting_is_shared() -> None:
    """A success in one process counts in all."""
    await count_elsewhere(3)
    limit = limit_of()
    assert not await allowed(limit)
    await limit.forget(email=EMAIL)
    assert await allowed(limit)


async def test_the_client_is_that_of_the_cache() -> None:
    """However Redis is reached, with TLS, by a socket or Sentinels, the counts are reached so, too."""
    bridge: Any = get_shared_counts().bridge
    assert bridge.get_connection().connection_pool is get_cache().connection_pool


async def test_signing_in_goes_on_while_redis_is_away(
    client: AsyncClient, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process counts by itself, and the log says so; once Redis is back, that counts again."""
    monkeypatch.setenv("AUTH_LOGIN_LIMIT", "3 per hour")

    async def use(url: str) -> None:
        monkeypatch.setenv("REDIS_URL", url)
        get_settings.cache_clear()
        await close_cache()

    async def sign_in(password: str) -> int:
        form = {"username": EMAIL, "password": password}
        return (await client.post("/api/v1/auth/token", data=form)).status_code

    await use(redis_url)
    new = {"email": EMAIL, "name": "Ada", "password": "correct horse"}
    assert (await client.post("/api/v1/users", json=new)).status_code == 201
    await use(f"redis://127.0.0.1:{free_port()}")
    assert await sign_in("correct horse") == 200
    assert [await sign_in("wrong") for _ in range(4)] == [401, 401, 401, 429]
    assert "attempts are counted by this process alone" in caplog.text

    await use(redis_url)
    assert [await sign_in("wrong") for _ in range(4)] == [401, 401, 401, 429]


@pytest.mark.parametrize("wrong", [b"string", b"\xff\xfe"])
async def test_a_damaged_count_keeps_nobody_out(wrong: bytes) -> None:
    """An error of Redis is treated as one that is away."""
    limit = limit_of()
    await allowed(limit)
    for key in await get_cache().keys("limits:*"):
        await get_cache().set(key, wrong)
    assert await allowed(limit)
