"""Settings of the accounts; see `.env.example`."""

from __future__ import annotations

import re
from contextlib import suppress

from limits import parse_many
from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from ..infrastructure.settings import SettingsGroup, get_settings


class AuthSettings(SettingsGroup):
    """Signing in."""

    model_config = SettingsConfigDict(env_prefix="AUTH_")

    #: Seconds for which an access token is good.
    token_ttl: int = Field(default=3600, gt=0, le=10**9)
    #: Seconds for which the link of a password reset is good.
    reset_ttl: int = Field(default=3600, gt=0, le=10**9)
    #: The page that asks for the new password, which gets `?token=`; empty: `/reset-password` of PUBLIC_URL.
    reset_url: str = ""
    #: Attempts to sign in, for each address; ten times as many for each client.
    login_limit: str = "10 per 15 minutes"
    #: Password resets that are asked for, likewise.
    reset_limit: str = "5 per hour"

    @field_validator("login_limit", "reset_limit")
    @classmethod
    def _readable(cls, value: str) -> str:
        with suppress(ValueError):
            if all(limit.amount for limit in parse_many(value)):
                return value
        raise ValueError("is no limit; write it like 10 per 15 minutes")

    @field_validator("reset_url")
    @classmethod
    def _leads_somewhere(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#]\S*", value):
            raise ValueError("is no address of a page; write it like https://example.com/new-password")
        return value


def get_auth_settings() -> AuthSettings:
    """Give the settings of signing in."""
    return get_settings().of(AuthSettings)
