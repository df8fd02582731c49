"""Somebody who types commands."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from typer.testing import CliRunner

from {{ cookiecutter.__package }}.console import commands


class Console:
    """Somebody who types commands, in a pipe: commands have event loops of their own, so each runs in a thread."""

    def __init__(self) -> None:
        self.status = 0
        self.stdout = self.stderr = ""

    async def __call__(self, *words: str) -> str:
        """Run a command, and give what it says on standard output."""
        done = await asyncio.to_thread(CliRunner().invoke, commands, list(words))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        self.status, self.stdout, self.stderr = done.exit_code, done.stdout, done.stderr
        return done.stdout

    async def json(self, *words: str) -> Any:
        """Run a command that prints a document."""
        return json.loads(await self(*words, "--json"))

    async def lines(self, *words: str) -> list[list[str]]:
        """Run a command that prints values between tabs."""
        return [line.split("\t") for line in (await self(*words)).splitlines()]
