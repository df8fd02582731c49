"""The ZIP of an export: one JSON file for each source, and a manifest, in constant memory."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Protocol
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .tables import Source

ABOUT = "All that is stored about the user. One file for each table: an array of its rows, by the names of the columns."
VALUES = (
    "Decimal numbers, times (ISO 8601) and UUIDs are text, exact as stored; bytes are in Base64 with the letters - and "
    "_. Tables were read one after the other: each row is as it was at one moment, not all at the same."
)


class Report(Protocol):
    """Hears how far it is."""

    def __call__(self, done: int, total: int, message: str, /) -> Awaitable[None]:
        """Hear how many rows of how many have been written, and the name of the source that they are from."""


async def write_archive(
    create: Callable[[], IO[bytes]], sources: Sequence[Source], *, user_id: int, report: Report
) -> int:
    """Write the sources into a new file, which is closed at the end, and give the number of rows.

    What blocks runs in a thread of the archive's own, a page of rows at a time. An error, or a cancellation, closes the
    file when what is just being written has been; what is in it then is good for nothing.
    """
    begun = datetime.now(UTC)
    total = sum([await source.count() for source in sources])
    done, tables = 0, []
    # One thread only: so the file is closed after a write that goes on when its task has been cancelled.
    thread = ThreadPoolExecutor(1, "export")
    run = partial(asyncio.get_running_loop().run_in_executor, thread)
    archive = _Archive()
    try:
        await run(archive.open, create)
        for source in sources:
            await run(archive.begin, f"{source.name}.json")
            rows = 0
            async with aclosing(source.pages()) as pages:
                async for page in pages:
                    await run(archive.add, page.lines)
                    rows += page.rows
                    await report(done + rows, max(total, done + rows), source.name)
            await run(archive.end)
            done += rows
            tables.append({"file": f"{source.name}.json", "rows": rows, "left_out": list(source.left_out)})
        manifest = {"about": ABOUT, "values": VALUES, "user_id": user_id, "begun": begun, "tables": tables}
        await run(archive.finish, manifest)
    finally:
        closed = run(archive.close)
        thread.shutdown(wait=False)  # what it has been given is done first
        await closed
    return done


class _Archive:
    """A ZIP that is written; all of it blocks."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._members = ExitStack()
        self._zip: ZipFile
        self._member: IO[bytes]
        self._between = b""

    def open(self, create: Callable[[], IO[bytes]]) -> None:
        """Open the file."""
        file = self._stack.enter_context(create())
        self._zip = self._stack.enter_context(ZipFile(file, "w", ZIP_DEFLATED))
        self._stack.enter_context(self._members)

    def begin(self, name: str) -> None:
        """Begin an array in a file of its own."""
        member = ZipInfo(name, date_time=datetime.now(UTC).timetuple()[:6])
        member.compress_type = ZIP_DEFLATED
        self._member = self._members.enter_context(self._zip.open(member, "w", force_zip64=True))
        self._between = b"[\n"

    def add(self, lines: bytes) -> None:
        """Add elements to the array."""
        self._member.write(self._between)
        self._member.write(lines)
        self._between = b",\n"

    def end(self) -> None:
        """End the array."""
        self._member.write(b"[]\n" if self._between == b"[\n" else b"\n]\n")
        self._members.close()

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write what the rest is."""
        self._zip.writestr("manifest.json", to_json(manifest | {"finished": datetime.now(UTC)}, indent=2) + b"\n")

    def close(self) -> None:
        """Close what is open, the file last."""
        self._stack.close()
