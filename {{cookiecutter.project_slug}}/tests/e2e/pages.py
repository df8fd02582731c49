"""The commands of a page: reading them, running them as they stand, and comparing what they print with the page.

A block of the language `console` holds commands, each after a `$`, and what each of them prints on a terminal. A line
`...` stands for any lines. Every command ends with status 0, unless the next one is `echo $?`.

What is different at each run is taken for the same: ids, moments, durations, fractions, ports, process numbers, host
and user. An id that a command names is the one that stood in the place of the page's id so far.
"""

from __future__ import annotations

import asyncio
import os
import pty
import re
import socket
import termios
import textwrap
import tty
from contextlib import asynccontextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

#: Rows and columns of the terminal: tables are as wide as what is in them.
SIZE = (50, 400)
#: What the terminal is, and nothing is installed by `uv run`.
ENVIRONMENT = {"TERM": "xterm", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC", "UV_NO_SYNC": "1"}
#: What this machine is called on the pages.
HOST = "app-1"
#: Stands before and after the exit status of each command.
MARK = b"\x1e"

BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n", re.MULTILINE)

JOB_ID = r"\b[0-9a-f]{32}\b"
WORKER_ID = r"\b[\w.-]+:\d+:[0-9a-f]{8}\b"
ID = re.compile(f"{JOB_ID}|{WORKER_ID}")
#: What is different at each run, and what is compared in its place.
DIFFERENT = {
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?": "<moment>",
    r"\b\d\d:\d\d:\d\d\b": "<moment>",
    r"\b\d+(\.\d+)? (ms|s|min|h|d)\b": "<duration>",
    r"\bcli:\S+?@[\w.-]+": "cli:<somebody>",
    r"(127\.0\.0\.1(?::|', ))\d+": r"\1<port>",
    r"--cursor \S+": "--cursor <cursor>",
    r"\b([0-9a-f]{40}|[0-9a-f]{16})\b": "<digest>",
    r"\b[A-Z][a-z]{2}-\d\d <moment>": "<moment>",
    r"(?<![\d.])\d+\.\d+(e-?\d+)?(?![\d.])": "<fraction>",
    rf"\b{HOST} \d+ ": f"{HOST} <process> ",
    r'(process |"pid": ?)\d+': r"\1<process>",
    # What a queue ends in a minute is a whole number now and then.
    r"^(\S+( \d+){4} (?:-|<duration>)) \S+ (yes|no)$": r"\1 <fraction> \3",
    r"is running, and its worker is about to end it": "is cancelled",  # as fast as the worker is
    "─+": "─",
}


class Step(NamedTuple):
    """A command of a page, and what the page says that it prints."""

    heading: str  #: the nearest one above
    line: int
    command: str
    output: str


def steps(text: str) -> Iterator[Step]:
    """Give the commands of a page in their order."""
    for block in BLOCK.finditer(text):
        heading = re.findall(r"^#+ (.*)$", text[: block.start()], re.MULTILINE)[-1]
        content = textwrap.dedent(block[1])
        found = list(COMMAND.finditer(content))
        assert found, f"no command in {block[0]}"
        for this, after in zip_longest(found, found[1:]):
            end = after.start() if after else None
            line = text.count("\n", 0, block.start(1)) + content.count("\n", 0, this.start()) + 1
            yield Step(heading, line, this[1], content[this.end() : end])


class Shell:
    """A bash on a terminal, which keeps its variables from one command to the next."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: asyncio.StreamReader) -> None:
        self._process = process
        self._terminal = terminal
        self._status = 0

    async def run(self, command: str) -> tuple[str, int]:
        """Run a command, without anything to read, and give what the terminal shows then, and its exit status."""
        assert self._process.stdin is not None
        script = (f"(exit {self._status})", "{", command, "} < /dev/null", r"printf '\036%d\036' $?", "")
        self._process.stdin.write("\n".join(script).encode())
        async with asyncio.timeout(PATIENCE):
            output = await self._terminal.readuntil(MARK)
            self._status = int((await self._terminal.readuntil(MARK))[:-1])
        return as_seen(output[:-1].decode()), self._status


@asynccontextmanager
async def shell() -> AsyncIterator[Shell]:
    """Start a bash in a terminal of its own; it ends with the block."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    termios.tcsetwinsize(slave, SIZE)
    terminal = asyncio.StreamReader(limit=2**22)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(terminal), os.fdopen(master, "rb", 0)
    )
    process = await asyncio.create_subprocess_exec(
        *("bash", "--noprofile", "--norc"),
        env={**os.environ, **ENVIRONMENT},
        stdin=asyncio.subprocess.PIPE,
        stdout=slave,
        stderr=slave,
    )
    try:
        yield Shell(process, terminal)
    finally:
        transport.close()
        os.close(slave)
        process.kill()
        await process.wait()


def as_seen(output: str) -> str:
    """Give what a terminal shows in the end: progress bars have erased themselves, and nothing has a colour."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n])", output):
        if part == "\n":
            row += 1
            lines[row:] = lines[row:] or [""]
        elif part == "\x1b[2K":
            lines[row] = ""
        elif up := re.fullmatch(r"\x1b\[(\d*)A", part):
            row -= int(up[1] or 1)
        elif part != "\r" and not part.startswith("\x1b["):
            lines[row] += part
    return "\n".join(lines)


class Comparison:
    """Compares what a page says with what is printed, and learns which ids stand for which."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}  # of the page -> of this run

    def command(self, text: str) -> str:
        """Give a command with the ids of this run."""
        return ID.sub(lambda found: self._ids.get(found[0], found[0]), text)

    def check(self, step: Step, output: str) -> None:
        """Fail where the page says something else than what has been printed."""
        known = {real: written for written, real in self._ids.items()}
        output = ID.sub(lambda found: known.get(found[0], found[0]), output)
        expected, printed = self._plain(step.output), self._plain(output)
        pattern = "".join(r"(?:.*\n)*?" if line == "..." else f"{re.escape(line)}\n" for line in expected)
        where = f"line {step.line}: {step.command}"
        assert re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)), f"{where}\nprints\n{output}"
        new = [[each for each in ID.findall(text) if each not in self._ids] for text in (step.output, output)]
        if "..." not in expected:
            self._ids |= dict(zip(*map(dict.fromkeys, new), strict=True))

    def _plain(self, text: str) -> list[str]:
        """Give lines in which everything that is different at each run is the same."""
        text = ID.sub(lambda found: found[0] if found[0] in self._ids else "<id>", text)
        text = re.sub(rf"(?<![\w.-]){re.escape(socket.gethostname())}(?![\w.-])", HOST, text)
        lines = [" ".join(line.split()) for line in text.splitlines()]
        for pattern, instead in DIFFERENT.items():
            lines = [re.sub(pattern, instead, line) for line in lines]
        return [line for line in lines if line]
