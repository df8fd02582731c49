"""The embedded Redis."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from {{ cookiecutter.__package }}.infrastructure import embedded
from {{ cookiecutter.__package }}.infrastructure.embedded import EmbeddedRedisError, embedded_redis

if TYPE_CHECKING:
    from pathlib import Path


def test_data_outlives_the_server(tmp_path: Path) -> None:
    """What is written before it stops is there when it starts again; it evicts nothing and listens here only."""
    with embedded_redis(tmp_path / "data") as url, Redis.from_url(url) as client:
        client.set("key", "value")
        settings = client.config_get("*")
    assert (settings["appendonly"], settings["maxmemory-policy"], settings["bind"]) == (
        "yes",
        "noeviction",
        "127.0.0.1",
    )
    with embedded_redis(tmp_path / "data") as url, Redis.from_url(url) as client:
        assert client.get("key") == b"value"


def test_the_server_ends_with_the_block(tmp_path: Path) -> None:
    """Also when an exception leaves it."""
    port = embedded.free_port()
    with pytest.raises(ZeroDivisionError), embedded_redis(tmp_path, port):
        _ = 1 / (not embedded.is_taken(port))
    assert not embedded.is_taken(port)


def test_a_taken_port_is_an_error(tmp_path: Path) -> None:
    """The message names the port."""
    with socket.create_server((embedded.HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EmbeddedRedisError, match=f"port {port} is taken"), embedded_redis(tmp_path, port):
            pass


def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message ends with what the server wrote last."""
    command = embedded.command_for(tmp_path, embedded.free_port())
    monkeypatch.setattr(embedded, "command_for", lambda *_: [*command, "--no-such-option", "1"])
    with pytest.raises(EmbeddedRedisError, match=r"no-such-option"), embedded_redis(tmp_path):
        pass


def test_a_server_of_ones_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """REDIS_SERVER names the program; one that is not there is an error that says so."""
    chosen = tmp_path / "my-redis"
    chosen.write_text("#!/bin/sh\n")
    chosen.chmod(0o755)
    monkeypatch.setenv("REDIS_SERVER", str(chosen))
    assert embedded.find_server() == str(chosen)
    monkeypatch.setenv("REDIS_SERVER", "no-such-program")
    with pytest.raises(EmbeddedRedisError, match="REDIS_SERVER: 'no-such-program'"):
        embedded.find_server()


def test_without_a_packaged_server_one_from_path_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`redis-server` before `valkey-server`; where there is neither, the error says how to get one."""
    monkeypatch.delenv("REDIS_SERVER", raising=False)
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedRedisError, match="install redis-server or valkey-server"):
        embedded.find_server()
    for name in ("valkey-server", "redis-server"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        assert embedded.find_server() == str(program)
