"""Somebody in front of a terminal, who types what is asked for."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: The project's command.
PROGRAM = Path(sys.executable).with_name("{{ cookiecutter.project_slug }}")
#: Seconds after which a program that says nothing is taken to hang.
PATIENCE = 60


class Terminal:
    """A command that runs in a terminal, and what it has shown."""

    def __init__(self, process: asyncio.subprocess.Process, side: int) -> None:
        self.process, self.shown = process, ""
        self._side = side

    async def until(self, text: str) -> None:
        """Read on until the text has been shown."""
        async with asyncio.timeout(PATIENCE):
            while text not in self.shown:
                assert await self._read(), f"it ended without showing {text!r}:\n{self.shown}"

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._side, keys.encode())

    async def end(self) -> int:
        """Read the rest and give the exit status."""
        async with asyncio.timeout(PATIENCE):
            while await self._read():
                pass
            return await self.process.wait()

    async def end_by(self, keys: str) -> int:
        """Press keys as often as it takes, and give the exit status.

        Python overlooks a Ctrl-C that comes in the very moment in which it begins to wait for a line.
        """
        ending = asyncio.create_task(self.end())
        while not ending.done():
            self.type(keys)
            await asyncio.wait([ending], timeout=10)
        return ending.result()

    async def _read(self) -> bool:
        try:
            block = await asyncio.to_thread(os.read, self._side, 4096)
        except OSError:  # Linux says so when nobody is there any more
            return False
        self.shown += block.decode()
        return bool(block)


@asynccontextmanager
async def terminal(*words: str, **environment: str) -> AsyncIterator[Terminal]:
    """Run the project's command in a terminal of 120 columns; it is killed when the block is left."""
    side, other = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *words,
        env={**plain, "TERM": "xterm-256color", "COLUMNS": "120", **environment},
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # so that Ctrl-C reaches it
    )
    os.close(other)
    try:
        yield Terminal(process, side)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(side)
