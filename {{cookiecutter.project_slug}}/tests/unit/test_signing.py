"""Signed tokens."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.signing import InvalidTokenError, _key, sign, verify

HOUR = timedelta(hours=1)


def test_what_was_signed_comes_back() -> None:
    """The claims of a token are those that it was made with, and the time it ends."""
    claims = verify("access", sign("access", {"sub": "7"}, ttl=HOUR))
    assert claims.pop("exp") > datetime.now(UTC).timestamp()
    assert claims == {"sub": "7"}


def test_a_token_is_for_one_purpose() -> None:
    """A link that was mailed is no access token."""
    with pytest.raises(InvalidTokenError):
        verify("access", sign("export", {"sub": "7"}, ttl=HOUR))


def test_a_token_ends() -> None:
    """It is worth nothing once its time is over."""
    with pytest.raises(InvalidTokenError):
        verify("access", sign("access", {"sub": "7"}, ttl=-HOUR))


def test_another_secret_makes_it_worthless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new SECRET_KEY ends all tokens."""
    token = sign("access", {"sub": "7"}, ttl=HOUR)
    monkeypatch.setenv("SECRET_KEY", "another")
    get_settings.cache_clear()
    with pytest.raises(InvalidTokenError):
        verify("access", token)


def unsigned(claims: dict[str, object]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "...",
        "not a token",
        "\udcff",
        "é.ü.ö",
        "x" * 100_000,
        unsigned({"sub": "7", "exp": 4_000_000_000}),
        jwt.encode({"sub": "7", "exp": 4_000_000_000}, b"x" * 32, algorithm="HS256"),
    ],
)
def test_nonsense_and_forgeries_are_refused(token: str) -> None:
    """Whatever is not signed by this service is refused in one way."""
    with pytest.raises(InvalidTokenError):
        verify("access", token)


def test_a_token_without_an_end_is_refused() -> None:
    """No token is good for ever, even one that was signed with the right key."""
    forever = jwt.encode({"sub": "7"}, _key("access"), algorithm="HS256")
    with pytest.raises(InvalidTokenError):
        verify("access", forever)
