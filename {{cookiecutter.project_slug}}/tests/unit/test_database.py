"""What models and commands have of the database."""

from __future__ import annotations

import inspect
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import column, select, table
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

from {{ cookiecutter.__package }}.infrastructure.database import (
    UtcDateTime,
    close_database,
    get_engine,
    get_session_context,
    run_command,
)
from {{ cookiecutter.__package }}.infrastructure.settings import ConfigurationError, get_settings

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_moments_are_in_utc() -> None:
    """Whatever the zone it was given in, and whether the database keeps one: a moment comes back in UTC."""
    moments = UtcDateTime()
    dialect = sqlite.dialect()
    kept = moments.process_bind_param(NOON.astimezone(timezone(timedelta(hours=5))), dialect)
    assert kept == NOON
    assert kept.tzinfo is UTC
    for stored in (NOON, NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=-3)))):
        read = moments.process_result_value(stored, dialect)
        assert (read, read and read.tzinfo) == (NOON, UTC)
    assert moments.process_bind_param(None, dialect) is moments.process_result_value(None, dialect) is None


def test_a_time_without_a_zone_is_refused() -> None:
    """Nobody could say which moment it is."""
    with pytest.raises(ValueError, match="has no time zone"):
        UtcDateTime().process_bind_param(NOON.replace(tzinfo=None), sqlite.dialect())


def test_a_command_closes_the_database() -> None:
    """What a command has opened is closed when it ends, also by an error."""
    used = []

    async def work() -> int:
        used.append((get_engine(), get_engine().pool))
        async with get_session_context() as session:
            await session.execute(select(column("name")).select_from(table("sqlite_master")))
        return 7

    async def fail() -> None:
        await work()
        raise LookupError("nothing there")

    assert run_command(work()) == 7
    with pytest.raises(LookupError, match="nothing there"):
        run_command(fail())
    assert [engine.pool is pool for engine, pool in used] == [False, False]  # the old one was closed


def test_a_command_with_a_bad_setting_says_just_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends before its work has begun, without a word about that."""

    async def work() -> None:
        raise AssertionError

    coroutine = work()
    monkeypatch.setenv("ENVIRONMENT", "production")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        run_command(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_database_that_cannot_be_opened_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is left that would tell an event loop of it which is closed by then, and print a trace."""

    async def work() -> None:
        async with get_session_context() as session:
            await session.execute(select(column("name")).select_from(table("sqlite_master")))

    monkeypatch.setenv("DATABASE_URL", "sqlite:////no/such/folder/app.db")
    get_settings.cache_clear()
    began: list[threading.Thread] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        began.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    with pytest.raises(SystemExit, match="unable to open"):
        run_command(work())
    assert began == []


@pytest.mark.parametrize(("environment", "shown"), [("development", True), ("production", False)])
async def test_errors_show_no_values_in_production(
    environment: str, monkeypatch: pytest.MonkeyPatch, *, shown: bool
) -> None:
    """They end up in the log, and a value may be a secret."""
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("SECRET_KEY", "long and random")
    get_settings.cache_clear()
    with pytest.raises(OperationalError) as caught:
        async with get_session_context() as session:
            await session.execute(select(column("a")).select_from(table("nothing")).where(column("b") == "$argon2id$"))
    assert ("$argon2id$" in str(caught.value)) is shown
    await close_database()
