"""The database: async SQLAlchemy on SQLite or PostgreSQL, as `DATABASE_URL` says."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from .per_loop import PerLoop
from .settings import get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Names for constraints, so that migrations can refer to them on every database.
NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every model."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


@PerLoop
def get_engine() -> AsyncEngine:
    """Give the engine; it connects when a session first needs it."""
    settings = get_settings().database
    engine = create_async_engine(settings.url, echo=settings.echo, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


async def close_database() -> None:
    """Close every connection, if there are any."""
    engine = get_engine.take()
    if engine:
        await engine.dispose()


@asynccontextmanager
async def get_session_context() -> AsyncIterator[AsyncSession]:
    """Open a session outside a request: committed at the end, rolled back when an exception leaves it."""
    async with async_sessionmaker(get_engine(), expire_on_commit=False).begin() as session:
        yield session


async def get_session() -> AsyncIterator[AsyncSession]:
    """Open a session for a request; what is not committed when the request ends is rolled back."""
    async with async_sessionmaker(get_engine(), expire_on_commit=False)() as session:
        yield session


async def check_database() -> dict[str, Any]:
    """Ask the database for an answer; for the health check."""
    async with get_engine().connect() as connection:
        await connection.execute(text("SELECT 1"))
    return {}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """SQLite checks foreign keys only when told to, and readers block no writer only with a write-ahead log."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA busy_timeout = 5000")
    cursor.close()
