"""Settings of billing."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ..infrastructure.settings import SettingsGroup


class BillingSettings(SettingsGroup):
    """Memberships and payments."""

    model_config = SettingsConfigDict(env_prefix="BILLING_")

    #: Days before the end of a membership at which its user is reminded.
    reminder_days: int = Field(default=7, ge=1, le=365)
    #: The part of all calls that the fake payment provider lets fail, 0 to 1.
    provider_failures: float = Field(default=0.2, ge=0, le=1)
