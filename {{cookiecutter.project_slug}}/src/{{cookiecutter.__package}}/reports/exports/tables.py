"""Which rows are a user's: found by the foreign keys of the tables, so that no table is named, and none forgotten.

A row is a user's if a foreign key of it names the user. A table without a foreign key to the users has no say of its
own: its rows belong to whoever the rows belong to that they refer to, as the lines of an order do. So a comment belongs
to its author, and not to the author of what it comments on.

`info={"owner": False}` on a column says that it names somebody else than the owner, such as who has approved something.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic_core import to_json, to_jsonable_python
from sqlalchemy import func, literal, or_, select, tuple_

from ...infrastructure.database import get_session_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Select, Table

#: Rows that are read at once, and bytes that they may have; a page begins small, since nobody knows how long rows are.
#: Short ones may be followed by long ones: a page of 100 kB each took 27 MiB.
PAGE_ROWS = 250
PAGE_BYTES = 2**20
#: How many times as long as the one before a page may be.
GROWTH = 10


class Page(NamedTuple):
    """Some rows, as lines of JSON without the line breaks."""

    rows: int
    lines: bytes


class Source(Protocol):
    """One file of an export: rows by columns, in pages."""

    @property
    def name(self) -> str:
        """What the file is called, without its ending."""

    @property
    def left_out(self) -> Sequence[str]:
        """The columns that are secret."""

    async def count(self) -> int:
        """Count the rows."""

    def pages(self) -> AsyncGenerator[Page, None]:
        """Read the rows."""


class NoPrimaryKeyError(Exception):
    """A table is read in pages by its primary key."""

    def __init__(self, table: Table) -> None:
        super().__init__(f"the table {table.name} holds data of users and has no primary key; give it one")


@dataclass(frozen=True)
class Rows:
    """Rows that are in memory, such as those of another database."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    left_out: Sequence[str] = ()

    async def count(self) -> int:
        """Count the rows."""
        return len(self.rows)

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Give the rows in pages."""
        for start in range(0, len(self.rows), PAGE_ROWS):
            yield await _as_page(self.rows[start : start + PAGE_ROWS])


class TableRows:
    """The rows of a table that are a user's, in the order of the primary key.

    Each page is read in a transaction of its own: none is open for as long as an export takes. So a row is as it was at
    one moment, and what is written meanwhile may be in it or not.
    """

    def __init__(self, table: Table, condition: ColumnElement[bool]) -> None:
        self.name = str(table.name)  # which is a kind of text of SQLAlchemy's own
        self._table = table
        self._condition = condition
        self._key = list(table.primary_key.columns)
        if not self._key:
            raise NoPrimaryKeyError(table)
        self._columns = [column for column in table.columns if not column.info.get("secret")]
        self.left_out = [column.name for column in table.columns if column.info.get("secret")]

    async def count(self) -> int:
        """Count the rows."""
        async with get_session_context() as session:
            query = select(func.count()).select_from(self._table).where(self._condition)
            return await session.scalar(query) or 0

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Read the rows."""
        names = [column.name for column in self._columns]
        key, limit = None, 1
        while rows := await self._read(after=key, limit=limit):
            page = await _as_page([dict(zip(names, row[len(self._key) :], strict=True)) for row in rows])
            yield page
            if len(rows) < limit:
                return
            key = rows[-1][: len(self._key)]
            fitting = PAGE_BYTES * page.rows // len(page.lines)
            limit = max(1, min(PAGE_ROWS, GROWTH * limit, fitting))

    async def _read(self, *, after: tuple[Any, ...] | None, limit: int) -> list[tuple[Any, ...]]:
        query = select(*self._key, *self._columns).where(self._condition).order_by(*self._key).limit(limit)
        if after is not None:
            last = [literal(value, column.type) for value, column in zip(after, self._key, strict=True)]
            query = query.where(self._key[0] > last[0] if len(last) == 1 else tuple_(*self._key) > tuple_(*last))
        async with get_session_context() as session:
            return [tuple(row) for row in await session.execute(query)]


def find_tables(users: Table, user_id: int) -> list[TableRows]:
    """Find the tables that hold rows of users, in the metadata of the users' own table; that comes first."""
    others = sorted(set(users.metadata.tables.values()) - {users}, key=lambda table: table.name)
    conditions = [(table, _condition(table, users, user_id)) for table in (users, *others)]
    return [TableRows(table, condition) for table, condition in conditions if condition is not None]


def _condition(table: Table, users: Table, user_id: int, *seen: Table) -> ColumnElement[bool] | None:
    """Give what holds for the rows of a table that are the user's; None if it has none.

    Tables that refer to each other in a circle are followed once round: `seen` are those on the way here.
    """
    if table is users:
        return users.c.id == user_id
    keys = [key for key in table.foreign_key_constraints if all(c.info.get("owner", True) for c in key.columns)]
    keys.sort(key=lambda key: list(key.column_keys))
    own = [key for key in keys if key.referred_table is users]
    ways = []
    for key in own or keys:
        parent = key.referred_table
        condition = None if parent in (table, *seen) else _condition(parent, users, user_id, table, *seen)
        if condition is not None:
            columns, referred = zip(*((element.parent, element.column) for element in key.elements), strict=True)
            # The user's id as a value, not as a subquery: an index then gives the rows in order.
            plain = referred == (users.c.id,)
            ways.append(columns[0] == user_id if plain else _in(columns, select(*referred).where(condition)))
    return or_(*ways) if ways else None


def _in(columns: Sequence[ColumnElement[Any]], rows: Select[Any]) -> ColumnElement[bool]:
    return (tuple_(*columns) if len(columns) > 1 else columns[0]).in_(rows)


async def _as_page(rows: Sequence[Mapping[str, Any]]) -> Page:
    """Write rows as JSON, in a thread: long ones take their time."""
    return Page(len(rows), await asyncio.to_thread(lambda: b",\n".join(map(as_json, rows))))


def as_json(row: Mapping[str, Any]) -> bytes:
    """Write a row as JSON: decimals, times, UUIDs as text, bytes in Base64 with `-` and `_`; nothing is rounded."""
    try:
        return to_json(row, bytes_mode="base64", inf_nan_mode="strings", fallback=str)
    except ValueError:  # half of a surrogate pair, which no UTF-8 can hold
        plain = to_jsonable_python(row, bytes_mode="base64", inf_nan_mode="strings", fallback=str)
        return json.dumps(plain, separators=(",", ":")).encode()
