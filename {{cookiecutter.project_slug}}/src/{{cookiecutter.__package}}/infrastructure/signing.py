"""Signed tokens: what they say can be read by everybody, and written only by who has SECRET_KEY."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt

from .settings import get_settings

if TYPE_CHECKING:
    from datetime import timedelta

ALGORITHM = "HS256"


class InvalidTokenError(Exception):
    """A token is malformed, expired, forged, or was made for another purpose; callers need not know which."""

    def __init__(self) -> None:
        super().__init__("the token is not valid, or no longer")


def sign(purpose: str, claims: dict[str, Any], *, ttl: timedelta) -> str:
    """Make a JSON Web Token (RFC 7519) that `verify` accepts for this purpose, and for as long as `ttl`."""
    return jwt.encode({**claims, "exp": datetime.now(UTC) + ttl}, _key(purpose), algorithm=ALGORITHM)


def verify(purpose: str, token: str) -> dict[str, Any]:
    """Give the claims of a token.

    Raises:
        InvalidTokenError: it does not hold.
    """
    try:
        claims: dict[str, Any] = jwt.decode(token, _key(purpose), algorithms=[ALGORITHM], options={"require": ["exp"]})
    except (jwt.InvalidTokenError, UnicodeError):
        raise InvalidTokenError from None
    return claims


def _key(purpose: str) -> bytes:
    """Give each purpose a key of its own, so that a token for one is worth nothing for another."""
    secret = get_settings().secret_key.get_secret_value()
    return hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)
