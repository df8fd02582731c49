"""How long things are kept; see `.env.example`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ..infrastructure.settings import SettingsGroup


class ReportsSettings(SettingsGroup):
    """Days after which the clean-up deletes something; 0: never."""

    model_config = SettingsConfigDict(env_prefix="REPORTS_")

    #: Counted from when a password reset was asked for; it has long expired by then.
    keep_password_resets_days: int = Field(default=7, ge=0, le=36_500)
    keep_daily_reports_days: int = Field(default=730, ge=0, le=36_500)
    keep_newsletters_days: int = Field(default=730, ge=0, le=36_500)
