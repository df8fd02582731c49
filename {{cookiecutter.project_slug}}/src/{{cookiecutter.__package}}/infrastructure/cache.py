"""The application's Redis: a client for each event loop, and the sign-in sessions kept in it.

A session is one hash and two index entries, which every operation changes together, in one script and one round trip:

    session:data:<hash>     user, data, created, expires; Redis itself lets it go when its time is up
    session:user:<user>     the user's sessions by the time they expire; goes with the last of them
    session:expiry          all sessions by the time they expire, so that the clean-up finds the expired without a scan

`<hash>` is the SHA-256 of the session's id. The id itself is known only to the client that holds it: who can read
Redis, or a dump of it, can sign in as nobody. Times are Redis's own, so the clocks of the servers do not matter.

A Redis that is away shows as redis-py's own `ConnectionError` or `TimeoutError`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from . import session_scripts
from .jobs.connections import close_client, make_client
from .per_loop import PerLoop
from .settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.commands.core import AsyncScript

COMMAND_TIMEOUT = 5.0  # seconds: a connection that was cut silently never answers
#: Expired sessions removed by one call of the clean-up's script; Redis serves nobody else meanwhile.
CLEANUP_BATCH = 500

_DATA_PREFIX = "session:data:"
_USER_PREFIX = "session:user:"
_EXPIRY_KEY = "session:expiry"


def data_key(session_hash: str) -> str:
    """Name the hash that holds one session."""
    return f"{_DATA_PREFIX}{session_hash}"


def user_key(user_id: int | str) -> str:
    """Name the sorted set of one user's sessions: session hash by expiry time in ms."""
    return f"{_USER_PREFIX}{user_id}"


def expiry_key() -> str:
    """Name the sorted set of all sessions: `<session hash>:<user>` by expiry time in ms."""
    return _EXPIRY_KEY


def hash_session_id(session_id: str) -> str:
    """Give what Redis knows a session by. The id has 256 random bits, so a salt would add nothing."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()


@PerLoop
def get_cache() -> Redis:
    """Give this event loop's client of the application's Redis; text in, text out.

    It connects at its first command, and again by itself after Redis was away.
    """
    address = get_settings().redis.connection()
    return make_client(address, Redis, decode_responses=True, socket_timeout=COMMAND_TIMEOUT)


async def close_cache() -> None:
    """Close this event loop's client; the next `get_cache()` makes a new one."""
    client = get_cache.take()
    if client is not None:
        await close_client(client)


class SessionError(Exception):
    """Base of what can be wrong with a session."""


class SessionDataError(SessionError):
    """A session's data holds something that JSON cannot say."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(f"session data {field!r} cannot be stored: {reason}; store text, numbers, lists and dicts")


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What is kept of a session; its id is not among it."""

    user_id: str
    data: dict[str, Any]
    created_at: datetime
    expires_at: datetime


class SessionManager:
    """Sign-in sessions that end after `ttl` seconds without a `touch`.

    Users are known by any id; it comes back as text. Unknown, expired and deleted sessions are all alike: not there.
    """

    def __init__(self, cache: Redis, *, ttl: float | None = None) -> None:
        """Keep sessions in `cache`, a client that decodes responses; `ttl` is `SESSION_TTL` unless given."""
        self.ttl = get_settings().session.ttl if ttl is None else ttl
        if self.ttl <= 0:
            raise ValueError(f"ttl={ttl!r}: a session must last longer than no time; give seconds, more than 0")
        self._cache = cache

    async def create(self, user_id: int | str, data: Mapping[str, Any] | None = None) -> str:
        """Start a session and give its id, the only copy of it: 43 characters, safe in cookies and URLs.

        Raises:
            SessionDataError: `data` holds something that JSON cannot say; the message names its key.
        """
        encoded = _encode(data or {})
        session_id = secrets.token_urlsafe(32)
        await self._run(session_scripts.CREATE, session_id, [str(user_id), encoded, self._ttl_ms()])
        return session_id

    async def get(self, session_id: str) -> StoredSession | None:
        """Read a session and leave its expiry as it is."""
        return _decode(await self._run(session_scripts.GET, session_id, []))

    async def touch(self, session_id: str) -> StoredSession | None:
        """Read a session and let it last another `ttl` from now: what a signed-in request calls."""
        return _decode(await self._run(session_scripts.TOUCH, session_id, [self._ttl_ms()]))

    async def update(self, session_id: str, data: Mapping[str, Any]) -> bool:
        """Replace a session's data, not its expiry; False if it is not there.

        Raises:
            SessionDataError: as for `create`.
        """
        return bool(await self._run(session_scripts.UPDATE, session_id, [_encode(data)]))

    async def delete(self, session_id: str) -> bool:
        """End a session; False if it was not there."""
        return bool(await self._run(session_scripts.DELETE, session_id, []))

    async def delete_all_for(self, user_id: int | str) -> int:
        """End all of a user's sessions, as after a change of password, and give how many there were."""
        script = self._script(session_scripts.DELETE_ALL)
        return int(await script(keys=[user_key(user_id), expiry_key()], args=[_DATA_PREFIX, str(user_id)]))

    async def list_for(self, user_id: int | str) -> list[StoredSession]:
        """Read a user's sessions that have not expired, the next to expire first; leave their expiry as it is."""
        script = self._script(session_scripts.LIST_FOR)
        found = await script(keys=[user_key(user_id)], args=[_DATA_PREFIX])
        return [session for session in map(_decode, found) if session]

    async def count(self, user_id: int | str | None = None) -> int:
        """Count the sessions that have not expired: one user's, or everybody's."""
        key = expiry_key() if user_id is None else user_key(user_id)
        return int(await self._script(session_scripts.COUNT)(keys=[key]))

    async def delete_expired(self) -> int:
        """Remove what is left of expired sessions and give how many there were.

        Redis has dropped most of their hashes by then; this removes their index entries, and the hash of any session
        that has outlived its time because something took its expiry away. Safe to run at the same time elsewhere.
        """
        script = self._script(session_scripts.DELETE_EXPIRED)
        deleted = 0
        while True:
            batch = int(await script(keys=[expiry_key()], args=[_DATA_PREFIX, _USER_PREFIX, CLEANUP_BATCH]))
            deleted += batch
            if batch < CLEANUP_BATCH:
                return deleted

    def _ttl_ms(self) -> int:
        return max(1, round(self.ttl * 1000))

    def _script(self, source: str) -> AsyncScript:
        return self._cache.register_script(session_scripts.NOW + source)

    async def _run(self, source: str, session_id: str, args: Sequence[str | int]) -> Any:
        """Run a script on one session: its hash and its user's key are derived in the same way in all of them."""
        session_hash = hash_session_id(session_id)
        keys = [data_key(session_hash), expiry_key()]
        return await self._script(source)(keys=keys, args=[session_hash, _USER_PREFIX, *args])


async def get_session_manager() -> SessionManager:
    """Give the sessions in the application's Redis.

    A FastAPI dependency as it stands; it is async because FastAPI runs others in a thread, where there is no loop.
    """
    return SessionManager(get_cache())


def _encode(data: Mapping[str, Any]) -> str:
    for key, value in data.items():
        try:
            json.dumps({key: value}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise SessionDataError(str(key), str(error)) from None
    return json.dumps(dict(data), allow_nan=False)


def _decode(values: Sequence[str] | None) -> StoredSession | None:
    if values is None:
        return None
    user, data, created, expires = values
    return StoredSession(user, json.loads(data), _moment(created), _moment(expires))


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
