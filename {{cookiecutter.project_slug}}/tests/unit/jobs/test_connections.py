"""REDIS_URL: every form is understood, and a malformed one is explained."""

from __future__ import annotations

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs.connections import parse_redis_url
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidRedisUrlError
from {{ cookiecutter.__package }}.infrastructure.settings import ConfigurationError, get_settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", {"host": "cache", "port": 6379, "database": 0, "ssl": False}),
        ("redis://cache:7000/5", {"host": "cache", "port": 7000, "database": 5}),
        ("redis://cache?db=3", {"database": 3}),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}),
        ("redis://:p%40ss%2Fw%3A%23@cache", {"username": None, "password": "p@ss/w:#"}),
        ("redis://us%20er:pw@cache", {"username": "us er", "password": "pw"}),
        ("rediss://cache:6380/1", {"ssl": True, "port": 6380, "database": 1, "ssl_check_hostname": True}),
        (
            "rediss://cache?ssl_check_hostname=no&ssl_ca_certs=/ca.pem",
            {"ssl_check_hostname": False, "ssl_ca_certs": "/ca.pem"},
        ),
        ("unix:///run/redis.sock?db=2", {"unix_socket_path": "/run/redis.sock", "database": 2}),
        (
            "unix://user:pw@/run/redis.sock",
            {"unix_socket_path": "/run/redis.sock", "username": "user", "password": "pw"},
        ),
        ("redis://cache?socket_connect_timeout=3.5&max_connections=7", {"conn_timeout": 3.5, "max_connections": 7}),
        (
            "redis://cache?client_name=api&health_check_interval=9",
            {"options": {"client_name": "api", "health_check_interval": 9}},
        ),
    ],
)
def test_every_form_is_understood(url: str, expected: dict[str, object]) -> None:
    """Scheme, user, password, host, port, database and options arrive where clients look for them."""
    settings = parse_redis_url(url)
    assert {name: getattr(settings, name) for name in expected} == expected


def test_sentinels_replace_the_host() -> None:
    """With Sentinels, the URL gives user, password and database only."""
    settings = parse_redis_url("redis://:pw@ignored/2", sentinels="one:26380, two", sentinel_master="main")
    assert settings.host == [("one", 26380), ("two", 26379)]
    assert (settings.sentinel, settings.sentinel_master) == (True, "main")
    assert (settings.password, settings.database) == ("pw", 2)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "scheme ''"),
        ("localhost:6379", "scheme 'localhost'"),
        ("http://cache", "scheme 'http'"),
        ("redis://", "host"),
        ("redis://cache:port", "port"),
        ("redis://cache:99999", "port"),
        ("redis://cache/first", "database 'first'"),
        ("redis://cache?db=x", "db"),
        ("redis://cache?max_connections=many", "max_connections"),
        ("redis://cache?colour=red", "option 'colour'"),
        ("redis://[::1", "IPv6"),
        ("unix://", "path"),
        ("redis://user:secret@cache/first", "database"),
    ],
)
def test_a_malformed_url_is_explained(url: str, problem: str) -> None:
    """The error names the setting and what is wrong, and keeps the password to itself."""
    with pytest.raises(InvalidRedisUrlError, match="REDIS_URL") as caught:
        parse_redis_url(url)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sentinels", ["one:port", ",", "one,:26379"])
def test_malformed_sentinels_are_explained(sentinels: str) -> None:
    """The error names the setting."""
    with pytest.raises(InvalidRedisUrlError, match="REDIS_SENTINELS"):
        parse_redis_url("redis://cache", sentinels=sentinels)


def test_a_malformed_url_ends_the_process_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the settings fails with one line, long before a client is made."""
    monkeypatch.setenv("REDIS_URL", "redis://cache:port")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"^REDIS_URL: 'redis://cache:port': .*[Pp]ort"):
        get_settings()


def test_the_password_is_never_shown() -> None:
    """Settings may be logged."""
    assert "secret" not in repr(parse_redis_url("redis://user:secret@cache"))
