"""Alembic's entry: migrate the database that DATABASE_URL names; `alembic upgrade head --sql` prints the SQL."""

import asyncio

from alembic import context
from sqlalchemy import Connection

import {{ cookiecutter.__package }}.main  # noqa: F401 - brings in every slice's models
from {{ cookiecutter.__package }}.infrastructure.database import Base, close_database, get_engine
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings


def migrate(connection: Connection) -> None:
    """Run the migrations over one connection."""
    # SQLite cannot change a table in place; Alembic then makes a new one and moves the rows.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


async def migrate_online() -> None:
    """Connect as the application does, and migrate."""
    async with get_engine().connect() as connection:
        await connection.run_sync(migrate)
    await close_database()


if context.is_offline_mode():
    context.configure(url=get_settings().database.url, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(migrate_online())
