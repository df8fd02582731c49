"""Every form of REDIS_URL against servers that demand it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest
import trustme
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from {{ cookiecutter.__package }}.infrastructure.embedded import find_server, free_port
from {{ cookiecutter.__package }}.infrastructure.jobs.connections import (
    close_client,
    make_client,
    parse_redis_url,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def server(directory: Path, *options: str) -> AsyncIterator[None]:
    """Run a server of the project's kind with options of its own."""
    process = await asyncio.create_subprocess_exec(
        find_server(), *options, "--dir", str(directory), "--save", "", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def answers(url: str, **options: str) -> bool:
    """Ask until there is an answer; a server needs a moment to start."""
    client = make_client(parse_redis_url(url, **options), Redis)
    try:
        async with asyncio.timeout(20):
            while True:
                with suppress(RedisConnectionError):
                    return bool(await client.ping())
                await asyncio.sleep(0.02)
    finally:
        await close_client(client)


async def test_user_and_password_with_special_characters(tmp_path: Path) -> None:
    """What is percent-encoded in the URL arrives decoded."""
    port, password = free_port(), "p@ss/w:ö#?&=%"
    user = f"user us$er on >{password} ~* +@all"
    options = ("--port", str(port), "--bind", "127.0.0.1", "--requirepass", password, *("--user", *user.split()[1:]))
    async with server(tmp_path, *options):
        assert await answers(f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/3")
        assert await answers(f"redis://us%24er:{quote(password, safe='')}@127.0.0.1:{port}/3")


async def test_unix_socket(tmp_path: Path) -> None:
    """`unix://` reaches a server that listens on no port."""
    path = tmp_path / "redis.sock"
    async with server(tmp_path, "--port", "0", "--unixsocket", str(path)):
        assert await answers(f"unix://{path}?db=1")


async def test_tls(redis_url: str, tmp_path: Path) -> None:
    """`rediss://` checks certificate and host name, and says when they do not fit."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    upstream = urlsplit(redis_url).port

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            while data := await source.read(65_536):
                target.write(data)
        target.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as terminator:
        port = terminator.sockets[0].getsockname()[1]
        assert await answers(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ca.pem")
        for url in (f"rediss://127.0.0.1:{port}", f"rediss://localhost:{port}?ssl_ca_certs={tmp_path}/ca.pem"):
            client = make_client(parse_redis_url(url), Redis)
            with pytest.raises(RedisConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.ping()
            await close_client(client)


async def test_sentinel(tmp_path: Path) -> None:
    """With REDIS_SENTINELS, the client asks them where the master is."""
    master, watcher = free_port(), free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(f"port {watcher}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n")
    async with (
        server(tmp_path, "--port", str(master), "--bind", "127.0.0.1"),
        server(tmp_path, str(configuration), "--sentinel"),
    ):
        assert await answers("redis://ignored", sentinels=f"127.0.0.1:{watcher}", sentinel_master="main")
