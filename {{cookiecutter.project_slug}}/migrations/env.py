"""Alembic's entry: migrate the database that DATABASE_URL names; `alembic upgrade head --sql` prints the SQL."""

import asyncio

from alembic import context
from alembic.operations import MigrationScript
from alembic.operations.ops import DropTableOp, MigrateOperation
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

import {{ cookiecutter.__package }}.main  # noqa: F401 - brings in every slice's models
from {{ cookiecutter.__package }}.infrastructure.database import Base, close_database, get_engine
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings


def drop_dependents_first(migration: MigrationContext, _revision: object, scripts: list[MigrationScript]) -> None:
    """Order what autogenerate drops: Alembic takes it from a set, but who refers to a table has to go before it."""
    made = [name for name, _ in inspect(migration.bind).get_sorted_table_and_fkc_names()] if migration.bind else []

    def place(operation: MigrateOperation) -> int:
        return -made.index(operation.table_name) if isinstance(operation, DropTableOp) else -len(made)

    for script in scripts:
        for upgrade, downgrade in zip(script.upgrade_ops_list, script.downgrade_ops_list, strict=True):
            upgrade.ops.sort(key=place)
            upgrade.reverse_into(downgrade)


def migrate(connection: Connection) -> None:
    """Run the migrations over one connection."""
    # SQLite cannot change a table in place; Alembic then makes a new one and moves the rows.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        process_revision_directives=drop_dependents_first,
    )
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
