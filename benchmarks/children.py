"""The processes of a peer: started in its environment, spoken to in JSON lines, surely ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.environments import Environment
    from benchmarks.roster import Contender

#: Bytes read at once.
READ = 65_536


class Child:
    """One producer or worker of a peer; its log is all that it and its libraries print."""

    def __init__(
        self, contender: Contender, role: str, *, environment: Environment, env: Mapping[str, str], log: Path
    ) -> None:
        """Start it."""
        self.name = f"{role} of {contender.title}"
        self.log = log
        command: list[str | Path] = [environment.python, "-m", "benchmarks.driver", contender.module, role]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=environment.folder,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._heard = b""

    def check(self) -> None:
        """Raise ProcessError if it has ended."""
        if (status := self._process.poll()) is not None:
            raise ProcessError(f"the {self.name} ended with status {status}", self.log)

    def say(self, order: Mapping[str, Any]) -> None:
        """Send one line."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ProcessError(f"the {self.name} has ended", self.log) from None

    def hear(self, within: float) -> dict[str, Any]:
        """Wait for one line.

        Raises:
            ProcessError: it has ended, or has said nothing within so many seconds.
        """
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + within
        while b"\n" not in self._heard:
            ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise ProcessError(f"the {self.name} has said nothing within {within:g} s", self.log)
            chunk = os.read(pipe, READ)
            if not chunk:
                status = self._process.wait()
                raise ProcessError(f"the {self.name} ended with status {status}", self.log)
            self._heard += chunk
        line, self._heard = self._heard.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        """End it and its children at once: what it leaves in Redis is thrown away."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
