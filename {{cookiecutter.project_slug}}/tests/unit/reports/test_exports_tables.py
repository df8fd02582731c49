"""Which rows are a user's, how they are read in pages, and what they look like as JSON."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
)

from {{ cookiecutter.__package }}.infrastructure.database import (
    SECRET,
    UtcDateTime,
    close_database,
    get_engine,
    get_session_context,
)
from {{ cookiecutter.__package }}.reports.exports import tables
from {{ cookiecutter.__package }}.reports.exports.tables import (
    NoPrimaryKeyError,
    Rows,
    TableRows,
    as_json,
    find_tables,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

METADATA = MetaData()
NOT_OWNER = {"owner": False}
USERS = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("email", String, unique=True),
    Column("password_hash", String, info=SECRET),
)
ORDERS = Table(
    "orders", METADATA, Column("id", Integer, primary_key=True), Column("user_id", ForeignKey("users.id"), index=True)
)
LINES = Table(
    "lines",
    METADATA,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("article", String, primary_key=True),
)
#: Three steps away from the user, by a key of two columns.
RETURNS = Table(
    "returns",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("order_id", Integer),
    Column("article", String),
    ForeignKeyConstraint(["order_id", "article"], ["lines.order_id", "lines.article"]),
)
#: Names two users, and both have a right to it.
MESSAGES = Table(
    "messages",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sender", ForeignKey("users.id")),
    Column("receiver", ForeignKey("users.id")),
)
#: Somebody's own words about somebody else's order.
REVIEWS = Table(
    "reviews",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("author", ForeignKey("users.id")),
    Column("order_id", ForeignKey("orders.id")),
)
#: Approved by a user whose it is not.
REFUNDS = Table(
    "refunds",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("approved_by", ForeignKey("users.id"), info=NOT_OWNER),
    Column("order_id", ForeignKey("orders.id")),
)
#: Known by the address instead of the id.
ADDRESSES = Table(
    "addresses", METADATA, Column("email", ForeignKey("users.email"), primary_key=True), Column("street", String)
)
#: Refer to each other, and a team to itself; a member is somebody.
TEAMS = Table(
    "teams",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("parent", ForeignKey("teams.id")),
    Column("lead", ForeignKey("members.id", use_alter=True, name="lead")),
)
MEMBERS = Table(
    "members",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("team_id", ForeignKey("teams.id")),
    Column("user_id", ForeignKey("users.id")),
)
#: Nobody's.
COUNTRIES = Table("countries", METADATA, Column("code", String, primary_key=True))

ROWS: dict[Table, list[tuple[Any, ...]]] = {
    USERS: [(1, "ada@example.com", "hash"), (2, "bob@example.com", "hash"), (3, "cleo@example.com", None)],
    ORDERS: [(1, 1), (2, 2), (3, 1)],
    LINES: [(1, "pen"), (1, "ink"), (2, "pen"), (3, "pen")],
    RETURNS: [(1, 1, "ink"), (2, 2, "pen"), (3, None, None)],
    MESSAGES: [(1, 1, 2), (2, 2, 1), (3, 2, 3), (4, None, 1)],
    REVIEWS: [(1, 1, 2), (2, 2, 1)],
    REFUNDS: [(1, 2, 1), (2, 1, 2)],
    ADDRESSES: [("ada@example.com", "Main Street"), ("bob@example.com", "High Street")],
    MEMBERS: [(1, None, 1), (2, None, 2)],
    TEAMS: [(1, None, 1), (2, 1, 2)],
    COUNTRIES: [("CH",)],
}


@pytest.fixture
async def shop() -> AsyncIterator[None]:
    """Put the rows into tables of the test's own."""
    async with get_engine().begin() as connection:
        await connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        await connection.run_sync(METADATA.create_all)
        for table, rows in ROWS.items():
            names = table.columns.keys()
            await connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows])
    yield
    await close_database()


async def read(rows: TableRows | Rows) -> list[dict[str, Any]]:
    pages = [page async for page in rows.pages()]
    found: list[dict[str, Any]] = json.loads(b"[" + b",".join(page.lines for page in pages) + b"]")
    assert len(found) == sum(page.rows for page in pages) == await rows.count()
    return found


@pytest.mark.usefixtures("shop")
async def test_all_that_belongs_to_a_user_is_found_and_nothing_else() -> None:
    """Rows that name the user, and rows of rows of the user; no others, however they refer to each other."""
    found = {table.name: [tuple(row.values()) for row in await read(table)] for table in find_tables(USERS, 1)}
    assert found == {
        "users": [(1, "ada@example.com")],
        "addresses": [("ada@example.com", "Main Street")],
        "lines": [(1, "ink"), (1, "pen"), (3, "pen")],
        "members": [(1, None, 1)],
        "messages": [(1, 1, 2), (2, 2, 1), (4, None, 1)],
        "orders": [(1, 1), (3, 1)],
        "refunds": [(1, 2, 1)],
        "returns": [(1, 1, "ink")],
        "reviews": [(1, 1, 2)],
        "teams": [(1, None, 1)],
    }


@pytest.mark.usefixtures("shop")
async def test_a_user_without_anything_has_empty_tables() -> None:
    """Every table is there, also where it has nothing."""
    found = {table.name: await read(table) for table in find_tables(USERS, 99)}
    assert set(found) == {table.name for table in ROWS} - {"countries"}
    assert not any(found.values())


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pages_neither_repeat_nor_lose_a_row(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows a page has, and whether the key has one column or two, each row comes once, in order."""
    monkeypatch.setattr(tables, "PAGE_ROWS", size)
    async with get_session_context() as session:
        await session.execute(LINES.insert(), [{"order_id": 3, "article": f"{n:03}"} for n in range(20)])
        await session.execute(ORDERS.insert(), [{"user_id": 1} for _ in range(20)])
    found = {table.name: table for table in find_tables(USERS, 1)}
    lines = [(row["order_id"], row["article"]) for row in await read(found["lines"])]
    assert (len(lines), lines) == (23, sorted(lines))
    assert [row["id"] for row in await read(found["orders"])] == [1, *range(3, 24)]


@pytest.mark.usefixtures("shop")
async def test_pages_are_bounded_in_rows_and_in_bytes() -> None:
    """Short rows come by the thousand; of long ones so few that a page is about as long as any other."""
    async with get_session_context() as session:
        await session.execute(ORDERS.insert(), [{"user_id": 1} for _ in range(5000)])
        long = [{"order_id": 1, "article": f"{n:03}".ljust(100_000, "x")} for n in range(100)]
        await session.execute(LINES.insert(), long)
    found = {table.name: table for table in find_tables(USERS, 1)}
    assert max([page.rows async for page in found["orders"].pages()]) == tables.PAGE_ROWS
    assert max([len(page.lines) async for page in found["lines"].pages()]) <= 2 * tables.PAGE_BYTES


@pytest.mark.usefixtures("shop")
async def test_long_rows_after_short_ones_stay_within_bounds() -> None:
    """The first page of them has no more than so many, whose length is known only then."""
    async with get_session_context() as session:
        await session.execute(LINES.insert(), [{"order_id": 1, "article": f"{n:04}"} for n in range(1200)])
        long = [{"order_id": 1, "article": f"{n}".ljust(100_000, "x")} for n in range(9000, 9400)]
        await session.execute(LINES.insert(), long)
    [lines] = [table for table in find_tables(USERS, 1) if table.name == "lines"]
    sizes = [(page.rows, len(page.lines)) async for page in lines.pages()]
    assert sum(rows for rows, _ in sizes) >= 1600
    assert max(size for _, size in sizes) < 32 * 2**20


async def test_a_table_without_a_key_is_refused() -> None:
    """It could not be read in pages; and to leave it out would be to forget it."""
    metadata = MetaData()
    users = Table("users", metadata, Column("id", Integer, primary_key=True))
    Table("visits", metadata, Column("user_id", ForeignKey("users.id")))
    with pytest.raises(NoPrimaryKeyError, match="visits"):
        find_tables(users, 1)


class Colour(enum.Enum):
    """An enumeration in the database."""

    RED = "red"


KINDS = MetaData()
PEOPLE = Table("people", KINDS, Column("id", Integer, primary_key=True))
THINGS = Table(
    "things",
    KINDS,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", ForeignKey("people.id")),
    Column("token", String, primary_key=True, info=SECRET),
    Column("price", Numeric(30, 10)),
    Column("at", UtcDateTime),
    Column("naive", DateTime),
    Column("data", JSON),
    Column("raw", LargeBinary),
    Column("text", String),
    Column("colour", Enum(Colour)),
)


async def test_values_survive_as_json() -> None:
    """Every kind of column has a form that says it exactly; a secret is left out although it is part of the key."""
    row = {
        "id": UUID(int=7),
        "owner_id": 1,
        "token": "secret",
        "price": Decimal("12345678901234567890.1234567890"),
        "at": datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=UTC),
        "naive": datetime(2026, 11, 22, 9),  # noqa: DTZ001 - as some tables have it
        "data": {"a": [1, 2.5, None, "x"], "half": "\ud83d"},
        "raw": b"\x00\xff\xfe",
        "text": 'Zoë\n"\\ \u2028 \N{GRINNING FACE}',
        "colour": Colour.RED,
    }
    async with get_engine().begin() as connection:
        await connection.run_sync(KINDS.create_all)
        await connection.execute(PEOPLE.insert(), {"id": 1})
        await connection.execute(THINGS.insert(), [row, row | {"id": UUID(int=8), "token": "other", "data": None}])
    people, things = find_tables(PEOPLE, 1)
    first, second = await read(things)
    await close_database()
    assert (people.name, list(things.left_out)) == ("people", ["token"])
    assert first == {
        "id": "00000000-0000-0000-0000-000000000007",
        "owner_id": 1,
        "price": first["price"],
        "at": "2026-11-22T09:00:00.123456Z",
        "naive": "2026-11-22T09:00:00",
        "data": row["data"],
        "raw": "AP_-",
        "text": row["text"],
        "colour": "red",
    }
    assert isinstance(first["price"], str)
    assert second["data"] is None


def test_nothing_is_rounded() -> None:
    """Decimals, large integers and the smallest parts of times are as they were; what JSON has no form for is text."""
    row = {
        "decimal": Decimal("12345678901234567890.1234567890"),
        "integer": 2**70,
        "day": date(2026, 2, 28),
        "time": time(3, 4, 5, 6),
        "span": timedelta(days=1, microseconds=1),
        "infinite": float("inf"),
        "other": range(3),
    }
    assert json.loads(as_json(row)) == {
        "decimal": "12345678901234567890.1234567890",
        "integer": 2**70,
        "day": "2026-02-28",
        "time": "03:04:05.000006",
        "span": "P1DT0.000001S",
        "infinite": "Infinity",
        "other": "range(0, 3)",
    }


async def test_rows_from_elsewhere_are_given_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from another store looks like a table."""
    monkeypatch.setattr(tables, "PAGE_ROWS", 2)
    rows = Rows("sessions", [{"n": n} for n in range(5)])
    assert await read(rows) == list(rows.rows)
    assert [page.rows async for page in rows.pages()] == [2, 2, 1]
