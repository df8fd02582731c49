"""Where exports are kept, and for how long; see `.env.example`."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from ...infrastructure.settings import SettingsGroup


class ExportSettings(SettingsGroup):
    """Exports of users' data."""

    model_config = SettingsConfigDict(env_prefix="REPORTS_")

    #: A folder, or a URL that fsspec knows; every process of the service must reach it.
    storage: str = ".data/exports"
    #: Days for which an export can be downloaded.
    export_days: float = Field(default=7, gt=0, le=3650)

    @field_validator("storage")
    @classmethod
    def _reachable(cls, value: str) -> str:
        # Imported here: a package that is missing is to show at start, and others need not load it.
        from fsspec import get_filesystem_class  # noqa: PLC0415
        from fsspec.utils import get_protocol  # noqa: PLC0415

        try:
            get_filesystem_class(get_protocol(value))
        except (ImportError, ValueError) as error:
            raise ValueError(f"cannot be used: {error}") from None
        return value

    @property
    def lifetime(self) -> timedelta:
        """Give how long an export can be downloaded."""
        return timedelta(days=self.export_days)
