"""Passwords and access tokens."""

from __future__ import annotations

import asyncio
import unicodedata
from base64 import urlsafe_b64encode
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from {{ cookiecutter.__package }}.accounts import security
from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.signing import sign

PASSWORD = "correct horse"
#: What is used outside these tests.
IN_USE = security.ARGON2


async def hashed(password: str) -> str:
    async with security.hashing() as hasher:
        return await hasher.hash(password)


async def verified(password: str, password_hash: str | None) -> bool:
    async with security.hashing() as hasher:
        return await hasher.verify(password, password_hash)


async def test_a_password_is_known_by_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fits its own hash alone, which is salted, takes work, and does not contain it."""
    monkeypatch.setattr(security, "ARGON2", IN_USE)
    assert (IN_USE.type, IN_USE.memory_cost, IN_USE.time_cost) == (Type.ID, 65_536, 3)
    one, two = await hashed(PASSWORD), await hashed(PASSWORD)
    assert one != two
    assert PASSWORD not in one
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await verified(PASSWORD, one)
    assert not await verified(PASSWORD + " ", one)
    assert not await verified("", one)


async def test_nothing_fits_where_there_is_no_hash() -> None:
    """Not even what the stand-in of a missing hash was made of."""
    for password in (PASSWORD, "", "\0" * 32):
        assert not await verified(password, None)


@pytest.mark.parametrize("broken", ["x", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv", "plain text", "ä"])
async def test_a_hash_of_another_kind_fits_nothing(broken: str) -> None:
    """What was imported from elsewhere, or is damaged, lets nobody in and breaks nothing."""
    assert not await verified(PASSWORD, broken)
    assert not await verified(broken, broken)


async def test_a_missing_hash_takes_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 runs with the same parameters, whether there is anything to compare with or not."""
    seen: list[Any] = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override] # noqa: A002
            seen.append(extract_parameters(str(hash)))
            return bool(super().verify(hash, password))

    monkeypatch.setattr(security, "ARGON2", Watched(time_cost=2, memory_cost=64, parallelism=2))
    stored = await hashed(PASSWORD)
    assert await verified(PASSWORD, stored)
    assert not await verified(PASSWORD, None)
    assert len(seen) == 2
    assert seen[0] == seen[1]


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "x" * 1_000_000])
async def test_a_password_has_a_fit_length(password: str) -> None:
    """Neither one that is soon guessed, nor one that is work to hash."""
    with pytest.raises(security.UnfitPasswordError, match="8 to 128 characters"):
        await hashed(password)


@pytest.mark.parametrize(
    "password", ["\0" * 8, "\0\0\0\0\0\0\0\1", " " * 8, "пароль пароль", "🔒" * 128, "tab\tand\nline", "\ud800" * 8]
)
async def test_any_character_may_be_in_a_password(password: str) -> None:
    """None of them ends it or is dropped."""
    stored = await hashed(password)
    assert await verified(password, stored)
    assert not await verified(password[:-1], stored)
    assert not await verified(password + "\0", stored)


async def test_the_same_characters_are_the_same_password() -> None:
    """An umlaut is one code point on one keyboard, and two on another."""
    composed, decomposed = (unicodedata.normalize(form, "größer als ä") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert await verified(decomposed, await hashed(composed))


async def test_a_hash_with_other_parameters_is_outdated(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the parameters have changed, the old hash still fits, and can be told."""
    monkeypatch.setattr(security, "ARGON2", PasswordHasher(time_cost=2, memory_cost=64))
    old = await hashed(PASSWORD)
    monkeypatch.undo()
    async with security.hashing() as hasher:
        assert await hasher.verify(PASSWORD, old)
        assert hasher.is_outdated(old)
        assert not hasher.is_outdated(await hasher.hash(PASSWORD))


async def test_few_passwords_are_worked_on_at_once() -> None:
    """Who comes later waits until one of those before has ended."""

    async def later() -> None:
        async with security.hashing():
            pass

    async with AsyncExitStack() as taken:
        for _ in range(security.AT_ONCE):
            await taken.enter_async_context(security.hashing())
        waiting = asyncio.create_task(later())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


def test_an_access_token_names_its_user() -> None:
    """What `access_token` writes, `read_access_token` reads."""
    token = security.access_token(User(id=7, token_generation=3))
    assert security.read_access_token(token) == (7, 3)


def forged() -> dict[str, str]:
    """Make tokens that are none, each by the mistake that it would need to be taken."""
    good = security.access_token(User(id=7, token_generation=0))
    claims = {"sub": "7", "generation": 0, "exp": 4_000_000_000}
    header, body, signature = good.split(".")
    none = urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return {
        "empty": "",
        "no token": "x",
        "dots": "..",
        "many dots": "." * 10_000,
        "binary": "\xff\xfe\x00",
        "other script": "токен.токен.токен",
        "surrogate": "\ud800.\ud800.\ud800",
        "without signature": f"{header}.{body}.",
        "alg none": f"{none}.{body}.",
        "alg none, old signature": f"{none}.{body}.{signature}",
        "library's alg none": jwt.encode(claims, "", algorithm="none"),
        "other key": jwt.encode(claims, "x" * 32, algorithm="HS256"),
        "the secret itself": jwt.encode(claims, "change-me".ljust(32, "\0"), algorithm="HS256"),
        "other purpose": sign("password-reset", {"sub": "7", "generation": 0}, ttl=timedelta(hours=1)),
        "expired": sign("access", {"sub": "7", "generation": 0}, ttl=timedelta(seconds=-1)),
        "changed body": f"{header}.{body[:-2]}{'A' if body[-2] != 'A' else 'B'}{body[-1]}.{signature}",
        "long": good + "x" * 1_000_000,
    }


@pytest.mark.parametrize("kind", list(forged()))
def test_a_forged_token_names_nobody(kind: str) -> None:
    """Whatever is sent as a token, only what was signed for this purpose, and lately, is one."""
    assert security.read_access_token(forged()[kind]) is None


def test_a_new_secret_key_ends_all_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were signed with another."""
    token = security.access_token(User(id=7, token_generation=0))
    monkeypatch.setenv("SECRET_KEY", "another")
    get_settings.cache_clear()
    assert security.read_access_token(token) is None
