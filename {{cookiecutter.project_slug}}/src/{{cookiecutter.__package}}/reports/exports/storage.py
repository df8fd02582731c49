"""Where the files of exports are: a folder, a bucket, or whatever else fsspec knows.

All of it blocks, and is to be called in a thread.
"""

from __future__ import annotations

import re
import secrets
from typing import IO, TYPE_CHECKING, cast

from fsspec.core import url_to_fs

from ...infrastructure.settings import get_settings
from .settings import ExportSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: Bytes that are sent at once to a storage that takes files in parts, and held in memory until then.
PART = 8 * 2**20
#: Bytes that are read ahead.
AHEAD = 2**20
FILE_NAME = re.compile(r"export-[0-9a-f]{32}\.zip")


def new_file_name() -> str:
    """Make a name that nobody else has, nor can guess."""
    return f"export-{secrets.token_hex(16)}.zip"


class ExportStorage:
    """The files of exports in one folder, by their names."""

    def __init__(self, url: str) -> None:
        # Without a cache of listings: other processes write there, too.
        self._files, root = url_to_fs(url, use_listings_cache=False)
        self._root = root.rstrip("/")

    def create(self, name: str) -> IO[bytes]:
        """Open a new file to write; parts of it are sent while it is written."""
        self._files.makedirs(self._root, exist_ok=True)
        return cast("IO[bytes]", self._files.open(self.path(name), "wb", block_size=PART))

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read.

        Raises:
            FileNotFoundError: it is not there.
        """
        return cast("IO[bytes]", self._files.open(self.path(name), "rb", block_size=AHEAD))

    def size(self, name: str) -> int:
        """Give the number of bytes of a file."""
        return int(self._files.size(self.path(name)))

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        try:
            self._files.rm_file(self.path(name))
        except FileNotFoundError:
            return

    def find_older(self, than: datetime) -> Iterator[str]:
        """Find the exports that were written before some moment; files of other names are none."""
        try:
            paths = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return
        for path in paths:
            name = path.rpartition("/")[2]
            if FILE_NAME.fullmatch(name) and self._is_older(path, than):
                yield name

    def _is_older(self, path: str, than: datetime) -> bool:
        try:
            return bool(self._files.modified(path) < than)
        except FileNotFoundError:  # somebody has just deleted it
            return False

    def path(self, name: str) -> str:
        """Give where a file is, as the storage names it."""
        return f"{self._root}/{name}"


def get_storage() -> ExportStorage:
    """Give the storage that REPORTS_STORAGE names."""
    return ExportStorage(get_settings().of(ExportSettings).storage)
