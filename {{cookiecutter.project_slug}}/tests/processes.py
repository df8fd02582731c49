"""Programs of the project as processes of their own, for tests that look at them from outside."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Seconds after which a program that says nothing is taken to hang.
PATIENCE = 60


class Process:
    """A running command, and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def until(self, text: str) -> None:
        """Read on until the text has been printed."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while text not in self.output:
                line = await self.process.stdout.readline()
                assert line, f"it ended without saying {text!r}:\n{self.output}"
                self.output += line.decode()

    async def listen(self) -> None:
        """Read until it ends, however long that takes: one that nobody listens to stops when the pipe is full."""
        assert self.process.stdout is not None
        self.output += (await self.process.stdout.read()).decode()

    async def end(self) -> int:
        """Read the rest and give the exit status."""
        async with asyncio.timeout(PATIENCE):
            await self.listen()
            return await self.process.wait()


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def command(program: str, *words: str, **environment: str) -> AsyncIterator[Process]:
    """Run a program of this environment; it is killed when the block is left."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name(program),
        *words,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Process(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
