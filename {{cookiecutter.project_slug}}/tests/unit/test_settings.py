"""Settings: where they come from, and what a bad one says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from {{ cookiecutter.__package }}.infrastructure.settings import (
    ConfigurationError,
    SettingsGroup,
    get_settings,
)

if TYPE_CHECKING:
    from pathlib import Path


def settings_with(monkeypatch: pytest.MonkeyPatch, **variables: str):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    return get_settings()


def test_defaults_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any variable, the project runs in development on SQLite."""
    monkeypatch.delenv("DATABASE_URL")
    settings = settings_with(monkeypatch)
    assert settings.environment == "development"
    assert settings.database.url == "sqlite+aiosqlite:///./app.db"


def test_env_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` in the working folder sets what the environment does not."""
    (tmp_path / ".env").write_text("LOG_LEVEL=warning\nSMTP_PORT=2525\n")
    monkeypatch.setenv("SMTP_PORT", "25")
    settings = settings_with(monkeypatch)
    assert settings.log_level == "WARNING"
    assert settings.mail.port == 25


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite:///x.db"),
        ("postgres://u:p%40s@db/app", "postgresql+asyncpg://u:p%40s@db/app"),
        ("postgresql://u@db:5433/app", "postgresql+asyncpg://u@db:5433/app"),
        ("postgresql+asyncpg://u@db/app", "postgresql+asyncpg://u@db/app"),
    ],
)
def test_database_url_gets_its_async_driver(given: str, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL as every platform gives it works unchanged."""
    assert settings_with(monkeypatch, DATABASE_URL=given).database.url == used


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ENVIRONMENT", "staging", "'development' or 'production'"),
        ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("DATABASE_URL", "nonsense", "is no database URL"),
        ("DATABASE_URL", "mysql://u:secret@db/app", "mysql"),
        ("SMTP_PORT", "70000", "less than 65536"),
        ("PUBLIC_URL", "example.com", "https://example.com"),
        ("PUBLIC_URL", "https://example.com?x=1", "is no address"),
        ("AUTH_LOGIN_LIMIT", "often", "10 per 15 minutes"),
        ("AUTH_RESET_LIMIT", "5 per hour; 0 per day", "10 per 15 minutes"),
        ("AUTH_RESET_URL", "example.com/new", "https://example.com/new-password"),
        ("AUTH_TOKEN_TTL", "0", "greater than 0"),
        ("AUTH_TOKEN_TTL", "999999999999999", "less than or equal to"),
    ],
)
def test_a_bad_value_ends_the_process_with_one_line(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable and what is expected, in one line, and the process ends with status 1."""
    with pytest.raises(ConfigurationError) as caught:
        settings_with(monkeypatch, **{variable: value})
    message = str(caught.value)
    assert isinstance(caught.value, SystemExit)
    assert message.startswith(f"{variable}: ")
    assert expected in message
    assert "\n" not in message
    assert "secret" not in message


def test_production_refuses_the_default_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Production needs a SECRET_KEY of its own."""
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        settings_with(monkeypatch, ENVIRONMENT="production")
    assert (
        settings_with(monkeypatch, ENVIRONMENT="production", SECRET_KEY="long and random").environment == "production"
    )


def test_a_slice_has_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that stands in a slice is read like all others: once, and a bad value ends the process at start."""

    class ShopSettings(SettingsGroup):
        model_config = SettingsConfigDict(env_prefix="SHOP_")

        tables: int = Field(default=4, gt=0)

    settings = settings_with(monkeypatch, SHOP_TABLES="7")
    assert settings.of(ShopSettings).tables == 7
    assert settings.of(ShopSettings) is settings.of(ShopSettings)
    with pytest.raises(ConfigurationError, match=r"^SHOP_TABLES: '0' input should be greater than 0$"):
        settings_with(monkeypatch, SHOP_TABLES="0")


def test_links_need_no_second_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that ends in a slash is the same without it."""
    assert settings_with(monkeypatch, PUBLIC_URL="https://example.com/app/").public_url == "https://example.com/app"
