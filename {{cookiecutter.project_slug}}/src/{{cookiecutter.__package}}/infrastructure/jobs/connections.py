"""Redis addresses and the clients made from them: one parser for the application and for arq."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from arq.connections import RedisSettings as ArqRedisSettings
from redis.asyncio import ConnectionPool, Redis, Sentinel
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.sentinel import SentinelConnectionPool

from .errors import InvalidRedisUrlError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

RedisT = TypeVar("RedisT", bound=Redis)

FORMS = "redis://[user:password@]host[:port][/database], rediss://... for TLS, or unix:///path?db=0"
SENTINEL_PORT = 26_379

#: Seconds to wait for a connection; short, because a caller is waiting for an answer.
CONNECT_TIMEOUT = 0.5

#: The system ends a connection whose other side is silent for some 20 s: commands that block have no other limit.
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": 5,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 20_000,
    }.items()
    if hasattr(socket, name)
}

#: What may follow the `?` of the URL, and the field of arq's settings that holds it (None: only our clients know it).
QUERY_OPTIONS: Mapping[str, str | None] = {
    "client_name": None,
    "db": "database",
    "health_check_interval": None,
    "max_connections": "max_connections",
    "retry_on_timeout": "retry_on_timeout",
    "socket_connect_timeout": "conn_timeout",
    "socket_keepalive": None,
    "socket_timeout": None,
    "ssl_ca_certs": "ssl_ca_certs",
    "ssl_cert_reqs": "ssl_cert_reqs",
    "ssl_certfile": "ssl_certfile",
    "ssl_check_hostname": "ssl_check_hostname",
    "ssl_keyfile": "ssl_keyfile",
}


@dataclass
class RedisSettings(ArqRedisSettings):
    """arq's connection settings, with the options of the URL that arq has no field for."""

    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Show where, never the password."""
        where = self.unix_socket_path or (self.host if self.sentinel else f"{self.host}:{self.port}")
        return f"<RedisSettings {where}/{self.database}{' tls' if self.ssl else ''}>"


def parse_redis_url(url: str, *, sentinels: str = "", sentinel_master: str = "mymaster") -> RedisSettings:
    """Read `url` in any form that redis-py understands; user and password may hold percent-encoded characters.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with options after a `?` (those of `QUERY_OPTIONS`).
        sentinels: `host:port,host:port`; if given, the master is asked of them, and the host in `url` is not used.
        sentinel_master: the name that the Sentinels know the master by.

    Raises:
        InvalidRedisUrlError: it names the setting, the value without its password, and what is wrong.
    """
    problem = _problem_with(url)
    if problem:
        raise InvalidRedisUrlError("REDIS_URL", _without_password(url), problem)
    try:
        parts: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise InvalidRedisUrlError("REDIS_URL", _without_password(url), str(error)) from None
    scheme = urlsplit(url).scheme
    settings = RedisSettings(
        host=parts.get("host", "localhost"),
        port=parts.get("port", 6379),
        unix_socket_path=parts.get("path"),
        username=parts.get("username"),
        password=parts.get("password"),
        database=parts.get("db", 0),
        ssl=scheme == "rediss",
        ssl_check_hostname=True,
        conn_retries=0,  # who waits for Redis, and how long, is decided elsewhere
        conn_timeout=CONNECT_TIMEOUT,  # type: ignore[arg-type] # arq hands it on to a socket, which takes fractions
    )
    for option, arq_field in QUERY_OPTIONS.items():
        if option in parts and arq_field:
            setattr(settings, arq_field, parts[option])
        elif option in parts:
            settings.options[option] = parts[option]
    if sentinels:
        settings.host = _parse_sentinels(sentinels)
        settings.sentinel = True
        settings.sentinel_master = sentinel_master
    return settings


class QuickPool(ConnectionPool):
    """A pool that hands out a connection without a look at its socket.

    redis-py looks before every command, which takes a turn of the event loop, a fifth of the time of a short command.
    But what the server has sent or closed in the meantime, the connection's reader has been told already.
    """

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connect if need be."""
        reader: asyncio.StreamReader | None = getattr(connection, "_reader", None)
        if reader is None or reader.at_eof() or reader.exception():
            await super().ensure_connection(connection)


def make_client(settings: ArqRedisSettings, client_class: type[RedisT], **kwargs: Any) -> RedisT:
    """Make a client that connects at its first command; close it with `close_client`."""
    options: dict[str, Any] = {
        "socket_keepalive": None if settings.unix_socket_path else True,
        "socket_keepalive_options": None if settings.unix_socket_path else KEEPALIVE,
        "db": settings.database,
        "username": settings.username,
        "password": settings.password,
        "socket_connect_timeout": settings.conn_timeout,
        "retry_on_timeout": settings.retry_on_timeout,
        "retry_on_error": settings.retry_on_error,
        "retry": settings.retry,
        "max_connections": settings.max_connections,
    }
    if settings.ssl:
        names = ("keyfile", "certfile", "cert_reqs", "ca_certs", "ca_data", "check_hostname")
        options |= {"ssl": True} | {f"ssl_{name}": getattr(settings, f"ssl_{name}") for name in names}
    options |= {**kwargs, **getattr(settings, "options", {})}  # the URL has the last word
    options = {name: value for name, value in options.items() if value is not None}
    if isinstance(settings.host, str):
        client = client_class(
            host=settings.host, port=settings.port, unix_socket_path=settings.unix_socket_path, **options
        )
        pool = client.connection_pool
        client.connection_pool = QuickPool(
            connection_class=pool.connection_class, max_connections=pool.max_connections, **pool.connection_kwargs
        )
        return client
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        settings.host, sentinel_kwargs={"socket_connect_timeout": settings.conn_timeout}, **options
    )
    master: RedisT = sentinel.master_for(settings.sentinel_master, redis_class=client_class)
    return master


def clone_client(client: Redis) -> Redis:
    """Make another client to the same server, for an event loop of its own."""
    pool = client.connection_pool
    if not isinstance(pool, SentinelConnectionPool):
        return Redis(connection_pool=type(pool)(connection_class=pool.connection_class, **pool.connection_kwargs))
    manager = pool.sentinel_manager
    sentinels = [clone_client(sentinel) for sentinel in manager.sentinels]
    kwargs = {name: value for name, value in pool.connection_kwargs.items() if name != "connection_pool"}
    twin = Sentinel([], sentinel_kwargs=manager.sentinel_kwargs)  # type: ignore[no-untyped-call]
    twin.sentinels = sentinels
    return Redis(
        connection_pool=SentinelConnectionPool(  # type: ignore[no-untyped-call]
            pool.service_name, twin, connection_class=pool.connection_class, **kwargs
        )
    )


async def close_client(client: Redis) -> None:
    """Close a client of `make_client`: its connections, and those to the Sentinels that it asked."""
    await client.aclose(close_connection_pool=True)
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager else ():
        await sentinel.aclose(close_connection_pool=True)


def _problem_with(url: str) -> str | None:
    """Find what redis-py would pass over in silence or stumble on much later."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:  # a port that is no number, a broken IPv6 address
        return f"{error}; use {FORMS}"
    problem = None
    unknown = sorted(set(parse_qs(parts.query, keep_blank_values=True)) - set(QUERY_OPTIONS))
    if parts.scheme not in {"redis", "rediss", "unix"}:
        problem = f"the scheme {parts.scheme!r} is unknown"
    elif unknown:
        return f"the option {unknown[0]!r} is unknown; there are {', '.join(QUERY_OPTIONS)}"
    elif parts.scheme == "unix" and not parts.path:
        problem = "the path of the socket is missing"
    elif parts.scheme != "unix" and (not parts.hostname or port == 0):
        problem = "the host or its port is missing"
    elif parts.scheme != "unix" and not re.fullmatch(r"(/\d*)?", unquote(parts.path)):
        problem = f"the database {parts.path[1:]!r} is no number"
    return problem and f"{problem}; use {FORMS}"


def _parse_sentinels(sentinels: str) -> list[tuple[str, int]]:
    addresses = []
    for entry in sentinels.split(","):
        try:
            parts = urlsplit(f"//{entry.strip()}")
            host, port = parts.hostname, parts.port or SENTINEL_PORT
        except ValueError:  # a port that is no number
            host = None
        if not host:
            raise InvalidRedisUrlError("REDIS_SENTINELS", entry, "this is no address; use host:port,host:port")
        addresses.append((host, port))
    return addresses


def _without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*:).*@", r"\1***@", url)
