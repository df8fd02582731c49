"""A Redis inside the process: the engine's own scripts run on it, and no server is needed.

It is fakeredis, with what that lacks for this engine. It differs from a real Redis in this: it persists nothing; its
memory is never full; a script of a few jobs takes a good part of a millisecond; and `INFO` tells hardly anything.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
from fakeredis import FakeServer
from fakeredis._commands import command
from fakeredis.aioredis import AsyncFakeSocket, FakeAsyncRedisConnection, FakeReader, FakeWriter
from redis.asyncio import ConnectionPool

from . import connections
from .connections import RedisSettings
from .pool import TaskPool
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from redis.asyncio.connection import AbstractConnection

#: What a connection takes over from the settings; where the server is, and who asks, does not matter here.
OPTIONS = {"db", "decode_responses", "encoding", "encoding_errors"}
INFO = b"redis_version:8.0.0\r\nmaxmemory_policy:noeviction\r\n"
#: What no worker in memory takes over from a project's settings: start-up and services belong to a process.
SETTINGS: dict[str, Any] = {
    "redis_settings": RedisSettings(),
    "burst": True,
    "queues": "*",
    "handle_signals": False,
    "on_startup": None,
    "on_shutdown": None,
    "services": (),
    "poll_delay": 0.01,
    "allow_no_persistence": True,
}


class MemoryServer(FakeServer):
    """One empty Redis; whoever has the object reaches it, from any thread and event loop."""

    def installed(self) -> AbstractContextManager[Any]:
        """Lead every client that is made meanwhile to this server, whatever its settings say.

        Clients that were made before keep their own. A client of Sentinels still asks them.
        """
        return patch.object(connections, "QuickPool", partial(_Pool, server=self))

    def client(self, **options: Any) -> TaskPool:
        """Give a new connection to this server; the options are those of a `TaskPool`."""
        return TaskPool(_Pool(server=self), **options)


class MemoryWorker(Worker):
    """A worker that ends as soon as there is nothing to start. It enqueues no ticks: a test runs at any time of day."""

    def __init__(self, *, at_most: int, **settings: Any) -> None:
        """Prepare.

        Args:
            at_most: how many starts of jobs are enough.
            settings: those of a project's workers, as far as they fit.
        """
        super().__init__(**{**settings, **SETTINGS})
        self._at_most = at_most
        #: Ids of the jobs in the order in which they were started, again for each try.
        self.started: list[str] = []
        self.tasks = self.job_tasks = _Tasks(self.started)

    async def run_all(self, queue_keys: Callable[[], list[str]]) -> list[str]:
        """Run until nothing is due in any queue; give the ids of the jobs that were started, again for each try.

        Args:
            queue_keys: gives the keys of the queues that are not empty.
        """
        before = -1
        try:
            while before < len(self.started) <= self._at_most:
                before = len(self.started)
                self.served.add(queue_keys())
                self.max_burst_jobs = -1
                await self.async_run()
        finally:
            await self.close()
        return self.started

    async def poll(self) -> None:
        """Start what is due; if that was nothing, this was the last time."""
        await super().poll()
        if not self.tasks or len(self.started) > self._at_most:
            self.max_burst_jobs = self.jobs_started

    async def run_cron(self, *_args: Any, **_kwargs: Any) -> None:
        """Enqueue nothing."""


class _Tasks(dict[str, "asyncio.Task[Any]"]):
    """Running jobs; it writes down which have been."""

    def __init__(self, started: list[str]) -> None:
        super().__init__()
        self._started = started

    def __setitem__(self, job_id: str, task: asyncio.Task[Any]) -> None:
        self._started.append(job_id)
        super().__setitem__(job_id, task)


class _Pool(ConnectionPool):
    """Connections to one server in memory."""

    def __init__(self, connection_class: object = None, *, server: MemoryServer, **options: Any) -> None:  # noqa: ARG002 - QuickPool has it
        super().__init__(
            _Connection, server=server, **{name: value for name, value in options.items() if name in OPTIONS}
        )

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connect if need be."""
        await connection.connect()  # type: ignore[no-untyped-call]


class _Socket(AsyncFakeSocket):
    """One client's end, with what fakeredis lacks."""

    #: What waits for the answer of a blocking call.
    _waiting: asyncio.Task[Any] | None = None
    _gone = False

    def hang_up(self) -> None:
        """Wait for nothing more: who has gone must not take what another waits for."""
        self._gone = True
        if self._waiting:
            self._waiting.cancel()

    async def _async_blocking(self, *args: Any) -> None:
        self._waiting = asyncio.current_task()
        if self._gone:
            self._db.remove_change_callback(args[3])
            return
        try:
            await super()._async_blocking(*args)
        finally:
            self._waiting = None

    @command(name="INFO", fixed=(), repeat=(bytes,))
    def info(self, *_sections: bytes) -> bytes:
        """Tell what a worker asks for when it starts."""
        return INFO

    def _get_server_runtime(self, server: Any) -> Any:
        """Give the Lua that scripts run in, with the MessagePack that Redis brings."""
        runtime = super()._get_server_runtime(server)
        known = server._lua_expected_globals  # noqa: SLF001 - any other global is refused
        if b"cmsgpack" not in known:
            known.add(b"cmsgpack")
            runtime.globals()[b"cmsgpack"] = runtime.table_from({b"unpack": partial(_unpack, runtime)})
        return runtime


class _Connection(FakeAsyncRedisConnection):
    """A connection whose end is a `_Socket`."""

    async def _connect(self) -> None:
        await super()._connect()
        self._sock = _Socket(
            self._server,
            self.db,
            client_class=self._client_class,
            lua_modules=self._lua_modules,
            client_info=self._client_info,
        )
        self._reader, self._writer = FakeReader(self._sock), FakeWriter(self._sock)

    async def disconnect(self, nowait: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - part of redis-py
        """Close, and end what waits for an answer."""
        if isinstance(self._sock, _Socket):
            self._sock.hang_up()
        await super().disconnect(nowait, **kwargs)


def _unpack(runtime: Any, data: bytes) -> Any:
    return _in_lua(runtime, msgspec.msgpack.decode(data))


def _in_lua(runtime: Any, value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return runtime.table_from([_in_lua(runtime, each) for each in value])
    return value
