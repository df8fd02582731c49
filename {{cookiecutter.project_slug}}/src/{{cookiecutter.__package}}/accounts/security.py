"""Passwords and tokens: what shows who somebody is."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from base64 import b64encode
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from ..infrastructure.per_loop import PerLoop
from ..infrastructure.signing import InvalidTokenError, sign, verify
from .settings import get_auth_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .models import User

MIN_LENGTH = 8
#: Enough for a sentence; without a limit, a text of megabytes would be work for nothing.
MAX_LENGTH = 128

#: Argon2id as RFC 9106 recommends it where memory is scarce: 64 MiB, three passes, four threads. Passwords that were
#: hashed with other parameters are hashed again when their users sign in.
ARGON2 = PasswordHasher()

#: Passwords that a process works on at once; the others wait, so that they never take more than 256 MiB together.
AT_ONCE = 4

#: What access tokens are signed for.
ACCESS = "access"


class UnfitPasswordError(Exception):
    """A password is too short or too long."""

    def __init__(self) -> None:
        super().__init__(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")


class Hasher:
    """Hashes passwords, each in a thread, so that the event loop goes on; `hashing()` gives it."""

    async def hash(self, password: str) -> str:
        """Give what is stored of a password: parameters, salt and hash in one text.

        Raises:
            UnfitPasswordError: it is too short or too long.
        """
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise UnfitPasswordError
        return await asyncio.to_thread(ARGON2.hash, _encoded(password))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Tell whether a password is the one that was hashed; without a hash it is not, which takes as long to tell."""
        try:
            await asyncio.to_thread(ARGON2.verify, password_hash or _hash_of_nothing(), _encoded(password))
        except (VerificationError, ValueError):  # it is another password; what is stored is no hash
            return False
        return password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Tell whether a password was hashed with other parameters than today's."""
        return ARGON2.check_needs_rehash(password_hash)


class AccessClaims(NamedTuple):
    """What an access token says."""

    user_id: int
    generation: int


@PerLoop
def _slots() -> asyncio.Semaphore:
    return asyncio.Semaphore(AT_ONCE)


@asynccontextmanager
async def hashing() -> AsyncIterator[Hasher]:
    """Wait for a turn to work on passwords.

    Look the user up inside: who waits out here keeps no connection to the database from the others.
    """
    async with _slots():
        yield Hasher()


def access_token(user: User) -> str:
    """Make the token that a user signs in with, good for AUTH_TOKEN_TTL seconds or until the password changes."""
    claims = {"sub": str(user.id), "generation": user.token_generation}
    return sign(ACCESS, claims, ttl=timedelta(seconds=get_auth_settings().token_ttl))


def read_access_token(token: str) -> AccessClaims | None:
    """Give what an access token says; None if it is none, or no longer."""
    try:
        claims = verify(ACCESS, token)
    except InvalidTokenError:
        return None
    return AccessClaims(int(claims["sub"]), int(claims["generation"]))


def token_hash(token: str) -> str:
    """Give what is stored of a random token. It has 256 bits, so a salt would add nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


def _encoded(password: str) -> bytes:
    """Give the same bytes whichever keyboard the same characters come from."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _hash_of_nothing() -> str:
    """Make a hash that no password has, and that takes as much work to compare with as any."""
    salt, digest = (b64encode(bytes(n)).decode().rstrip("=") for n in (ARGON2.salt_len, ARGON2.hash_len))
    return f"$argon2id$v=19$m={ARGON2.memory_cost},t={ARGON2.time_cost},p={ARGON2.parallelism}${salt}${digest}"
