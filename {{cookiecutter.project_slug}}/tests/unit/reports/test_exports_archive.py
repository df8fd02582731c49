"""The ZIP of an export: what is in it, how much memory it takes, and how it ends when something fails."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import tracemalloc
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, text

from {{ cookiecutter.__package }}.infrastructure.database import close_database, get_engine
from {{ cookiecutter.__package }}.reports.exports.archive import write_archive
from {{ cookiecutter.__package }}.reports.exports.tables import Rows, find_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

METADATA = MetaData()
USERS = Table("users", METADATA, Column("id", Integer, primary_key=True))
NOTES = Table(
    "notes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("user_id", ForeignKey("users.id"), index=True),
    Column("text", String),
)


async def silent(_done: int, _total: int, _message: str) -> None: ...


@pytest.fixture
async def notes() -> AsyncIterator[None]:
    """Make the tables, which are empty but for the users 1 and 2."""
    async with get_engine().begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(USERS.insert(), [{"id": 1}, {"id": 2}])
    yield
    await close_database()


async def add_notes(user_id: int, number: int) -> None:
    series = f"WITH RECURSIVE series(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < {number})"
    rows = f"{series} SELECT {user_id}, 'a note that is neither short nor long, the number ' || i FROM series"
    async with get_engine().begin() as connection:
        await connection.execute(text(f"INSERT INTO notes (user_id, text) {rows}"))


def into(file: Path) -> Callable[[], IO[bytes]]:
    return lambda: file.open("xb")


def contents(file: Path) -> dict[str, Any]:
    with ZipFile(file) as archive:
        assert archive.testzip() is None
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


async def test_there_is_a_file_for_each_source_and_a_manifest(tmp_path: Path) -> None:
    """Each is an array of objects; the manifest counts them and says what they are."""
    sources = [Rows("users", [{"id": 1, "name": "Zoë 😀"}], ["password_hash"]), Rows("notes", [])]
    assert await write_archive(into(tmp_path / "a.zip"), sources, user_id=1, report=silent) == 1
    found = contents(tmp_path / "a.zip")
    manifest = found.pop("manifest.json")
    assert found == {"users.json": [{"id": 1, "name": "Zoë 😀"}], "notes.json": []}
    assert manifest["tables"] == [
        {"file": "users.json", "rows": 1, "left_out": ["password_hash"]},
        {"file": "notes.json", "rows": 0, "left_out": []},
    ]
    assert manifest["user_id"] == 1
    assert manifest["begun"] <= manifest["finished"]
    with ZipFile(tmp_path / "a.zip") as archive:
        members = archive.infolist()
    assert all(member.date_time[0] >= 2026 and member.compress_type == ZIP_DEFLATED for member in members)


@pytest.mark.usefixtures("notes")
async def test_progress_is_told_by_the_page(tmp_path: Path) -> None:
    """It grows to the number of rows, which is known from the beginning, and says which table is being read."""
    await add_notes(1, 700)
    told: list[tuple[int, int, str]] = []

    async def report(done: int, total: int, message: str) -> None:
        told.append((done, total, message))

    rows = await write_archive(into(tmp_path / "a.zip"), find_tables(USERS, 1), user_id=1, report=report)
    assert rows == 701
    assert told == [
        (1, 701, "users"),
        (2, 701, "notes"),
        (12, 701, "notes"),
        (112, 701, "notes"),
        (362, 701, "notes"),
        (612, 701, "notes"),
        (701, 701, "notes"),
    ]


@pytest.mark.usefixtures("notes")
async def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Thirty times as many rows take no more memory at once, and far less than they would together."""
    await add_notes(1, 500)
    await add_notes(2, 15_000)
    peaks: list[int] = []
    for user_id in (1, 1, 2):  # the first run fills caches
        create = into(tmp_path / f"{len(peaks)}.zip")
        tracemalloc.start()
        await write_archive(create, find_tables(USERS, user_id), user_id=user_id, report=silent)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    _, few, many = peaks
    assert many < 1.3 * few
    assert many < 4 * 2**20
    assert len(contents(tmp_path / "2.zip")["notes.json"]) == 15_000


@pytest.mark.usefixtures("notes")
async def test_the_event_loop_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written in the thread of the loop, and everything in one other."""
    await add_notes(1, 3000)
    threads = set()

    class File(io.FileIO):
        def write(self, data: Any, /) -> int:
            threads.add(threading.get_ident())
            return super().write(data) or 0

    await write_archive(lambda: File(tmp_path / "a.zip", "xb"), find_tables(USERS, 1), user_id=1, report=silent)
    assert len(threads) == 1
    assert threading.get_ident() not in threads


class FullDisk(io.BytesIO):
    """Takes some bytes and no more."""

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > 20_000:
            raise OSError(28, "No space left on device")
        return super().write(data)


@pytest.mark.usefixtures("notes")
async def test_a_full_disk_is_an_error() -> None:
    """It is raised as it is, and the file is closed."""
    await add_notes(1, 60_000)
    disk = FullDisk()
    with pytest.raises(OSError, match="No space left"):
        await write_archive(lambda: disk, find_tables(USERS, 1), user_id=1, report=silent)
    assert disk.closed


async def test_a_disk_that_is_full_at_the_end_is_an_error() -> None:
    """What the archive ends with is missed, too."""
    disk = FullDisk()
    disk.write(bytes(19_800))
    with pytest.raises(OSError, match="No space left"):
        await write_archive(lambda: disk, [Rows("users", [])], user_id=1, report=silent)
    assert disk.closed


async def test_a_cancelled_export_closes_its_file(tmp_path: Path) -> None:
    """A write that is under way is waited for; the file is closed then, and is no archive."""
    writing, go_on = threading.Event(), threading.Event()

    class Slow(io.FileIO):
        def write(self, data: Any, /) -> int:
            writing.set()
            go_on.wait()
            return super().write(data) or 0

    file = Slow(tmp_path / "a.zip", "xb")
    sources = [Rows("users", [{"id": 1}])]
    task = asyncio.create_task(write_archive(lambda: file, sources, user_id=1, report=silent))
    await asyncio.to_thread(writing.wait)
    task.cancel()
    await asyncio.sleep(0)
    assert not file.closed
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert file.closed


async def test_half_an_archive_can_be_told(tmp_path: Path) -> None:
    """What a process has written that was killed has no end, and no program takes it for whole."""
    await write_archive(into(tmp_path / "a.zip"), [Rows("a", [{"n": 1}])], user_id=1, report=silent)
    whole = (tmp_path / "a.zip").read_bytes()
    with pytest.raises(BadZipFile):
        ZipFile(io.BytesIO(whole[: len(whole) // 2]))
