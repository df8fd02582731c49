"""The tables of billing, on each kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.accounts import service as accounts
from {{ cookiecutter.__package }}.infrastructure.database import (
    Base,
    close_database,
    get_engine,
    get_session_context,
)
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import close_task_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(params=["sqlite", "postgresql"])
async def tables_anywhere(
    request: pytest.FixtureRequest,
    redis_url: str,  # noqa: ARG001 - the settings point there
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[None]:
    """Give the test empty tables, once in SQLite and once in PostgreSQL."""
    if request.param == "postgresql":
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres_url"))
        get_settings.cache_clear()
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await close_task_pool()  # it may be publishing what is in the tables
    await close_database()


@pytest.fixture
async def user_id(tables_anywhere: None) -> int:  # noqa: ARG001 - users need the tables
    """Give the id of a user."""
    async with get_session_context() as session:
        return (await accounts.register(session, email="ada@example.com", name="Ada")).id
