"""How often somebody may try."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from limits.aio.storage import MemoryStorage
from limits.errors import StorageError

from {{ cookiecutter.__package }}.accounts.limits import PER_CLIENT, AttemptLimit, TooManyAttemptsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from limits.aio.storage import Storage

LIMIT = 3


def limit_of(
    limit: str = f"{LIMIT} per hour", *, action: str = "try", shared: Callable[[], Storage] | None = None
) -> AttemptLimit:
    return AttemptLimit(action, limit=lambda: limit, shared=shared)


async def allowed(limit: AttemptLimit, email: str = "ada@example.com", client: str = "192.0.2.1") -> bool:
    try:
        await limit.count(email=email, client=client)
    except TooManyAttemptsError:
        return False
    return True


async def use_up(limit: AttemptLimit, email: str = "ada@example.com", client: str = "192.0.2.1") -> None:
    assert [await allowed(limit, email, client) for _ in range(LIMIT)] == [True] * LIMIT


async def test_an_address_may_be_tried_so_often() -> None:
    """Wherever the attempts come from, and however it is written; then the error says how long to wait."""
    limit = limit_of()
    await use_up(limit)
    with pytest.raises(TooManyAttemptsError, match="too many attempts; try again in 3600 seconds") as caught:
        await limit.count(email="ADA@example.com", client="192.0.2.77")
    assert caught.value.retry_after == 3600


async def test_each_address_and_each_action_is_counted_by_itself() -> None:
    """One that is used up leaves the others as they are."""
    limit = limit_of()
    await use_up(limit)
    assert await allowed(limit, "bob@example.com")
    assert await allowed(limit_of(action="something else"))


async def test_a_client_may_try_ten_times_as_often() -> None:
    """Whichever addresses it tries; what it is refused, is not counted against them."""
    limit = limit_of()
    for number in range(LIMIT * PER_CLIENT):
        assert await allowed(limit, f"{number}@example.com")
    for _ in range(LIMIT + 1):
        assert not await allowed(limit, "ada@example.com")
    assert await allowed(limit, "ada@example.com", "192.0.2.2")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
        ("a socket", "", False),
        ("\ud800", "\0", False),
    ],
)
async def test_what_one_client_is(one: str, other: str, *, same: bool) -> None:
    """An address of IPv4, or the 64 bits of IPv6 that every customer of a provider has to himself."""
    limit = limit_of()
    for number in range(LIMIT * PER_CLIENT):
        assert await allowed(limit, f"{number}@example.com", one)
    assert await allowed(limit, "ada@example.com", other) is not same


async def test_success_forgets_the_attempts_at_an_address() -> None:
    """Somebody who signs in often, rightly, is not kept out."""
    limit = limit_of()
    for _ in range(3):
        await use_up(limit)
        await limit.forget(email="ADA@example.com")


async def test_several_limits_hold_together() -> None:
    """Separated by semicolons: the first that is used up refuses."""
    limit = limit_of("5 per minute; 3 per day")
    await use_up(limit)
    with pytest.raises(TooManyAttemptsError, match="86400 seconds"):
        await limit.count(email="ada@example.com", client="192.0.2.1")


async def test_of_many_at_the_same_time_so_many_pass() -> None:
    """None slips through between the count and the answer."""
    limit = limit_of()
    assert sum(await asyncio.gather(*(allowed(limit) for _ in range(20)))) == LIMIT


class Unreachable(MemoryStorage):
    """A place for counts that does not answer."""

    async def acquire_entry(self, *_args: Any, **_kwargs: Any) -> bool:
        raise StorageError(ConnectionError("away"))

    async def clear(self, key: str) -> None:
        raise StorageError(ConnectionError(f"away, and so is {key}"))


class Hanging(MemoryStorage):
    """A place for counts that never answers."""

    async def acquire_entry(self, *_args: Any, **_kwargs: Any) -> bool:
        await asyncio.Event().wait()
        return True


@pytest.mark.parametrize("kind", [Unreachable, Hanging])
async def test_without_the_shared_counts_the_process_counts_by_itself(
    kind: type[MemoryStorage], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Signing in goes on, the limit holds, and the log tells what is wrong."""
    monkeypatch.setattr("{{ cookiecutter.__package }}.accounts.limits.PATIENCE", 0.01)
    limit = limit_of(shared=kind)
    await use_up(limit)
    assert not await allowed(limit)
    assert "attempts are counted by this process alone" in caplog.text


async def test_forgetting_bears_that_the_shared_counts_are_away() -> None:
    """Who has signed in rightly gets no error."""
    limit = limit_of(shared=Unreachable)
    await use_up(limit)
    await limit.forget(email="ada@example.com")
    assert await allowed(limit)


async def test_the_shared_counts_are_what_counts() -> None:
    """Where they answer, two processes see each other's attempts."""
    shared = MemoryStorage()
    await use_up(limit_of(shared=lambda: shared))
    assert not await allowed(limit_of(shared=lambda: shared))
    assert all("ada" not in key and "192" not in key for key in shared.events)
