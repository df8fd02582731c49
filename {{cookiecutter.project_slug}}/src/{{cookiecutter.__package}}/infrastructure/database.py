"""The database: async SQLAlchemy on SQLite or PostgreSQL, as `DATABASE_URL` says."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from socket import gaierror
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import DateTime, Dialect, MetaData, TypeDecorator, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from .logging import configure_logging
from .per_loop import PerLoop
from .settings import get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

T = TypeVar("T")

#: Names for constraints, so that migrations can refer to them on every database.
NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

#: `info=` of a column that is never shown and never exported, such as a hash of a password.
SECRET = {"secret": True}


class Base(DeclarativeBase):
    """Base of every model."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


def import_models() -> None:
    """Import every `models.py` of the package: a process has imported some of them only.

    After it `Base.metadata` has the tables of all slices.
    """
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("models.py")):
        import_module(".".join((package.name, *path.relative_to(package).with_suffix("").parts)))


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC on every database; SQLite alone would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a time without a zone: nobody could say which moment it is."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give an aware datetime")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the moment in UTC."""
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def now() -> datetime:
    """Give the time of a new row."""
    return datetime.now(UTC)


@PerLoop
def get_engine() -> AsyncEngine:
    """Give the engine; it connects when a session first needs it."""
    settings = get_settings()
    engine = create_async_engine(
        settings.database.url,
        echo=settings.database.echo,
        hide_parameters=settings.environment == "production",  # errors end up in the log, values may be secrets
        pool_pre_ping=True,
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "do_connect", _try_sqlite)
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


def insert(session: AsyncSession, model: type[Base]) -> Any:
    """Begin an INSERT that has `on_conflict_do_nothing`: each of the two databases has its own."""
    dialect: Any = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    return dialect.insert(model)


async def get_session() -> AsyncIterator[AsyncSession]:
    """Open a session for a request; what is not committed when the request ends is rolled back."""
    async with async_sessionmaker(get_engine(), expire_on_commit=False)() as session:
        yield session


def run_command(work: Coroutine[Any, Any, T]) -> T:
    """Run what a command does, in an event loop of its own, and close the database after it.

    A database that is not there, or not migrated, ends the process with one line and exit status 1.
    """

    async def run() -> T:
        try:
            return await work
        finally:
            await close_database()

    try:
        configure_logging(get_settings())
        return asyncio.run(run())
    except (OperationalError, ProgrammingError, InterfaceError, ConnectionError, gaierror) as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise SystemExit(f"the database cannot be used ({reason}); is it there, and migrated?") from None
    finally:
        work.close()  # it has not begun if a setting is wrong


async def check_database() -> dict[str, Any]:
    """Ask the database for an answer; for the health check."""
    async with get_engine().connect() as connection:
        await connection.execute(text("SELECT 1"))
    return {}


def _try_sqlite(_dialect: object, _record: object, arguments: Any, options: Any) -> None:
    """Fail here where the file cannot be opened: aiosqlite's thread may tell so to an event loop that is closed."""
    sqlite3.connect(*arguments, **options).close()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """SQLite checks foreign keys only when told to, and readers block no writer only with a write-ahead log."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA busy_timeout = 5000")
    cursor.close()
