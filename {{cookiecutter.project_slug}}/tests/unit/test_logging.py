"""Logs in their two forms."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from {{ cookiecutter.__package }}.infrastructure.logging import configure_logging
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch):
    """Set logging up as in an environment, and undo it after the test."""
    root = logging.getLogger()
    before = (root.handlers, root.level)

    def configure(environment: str, level: str = "INFO") -> None:
        monkeypatch.setenv("ENVIRONMENT", environment)
        monkeypatch.setenv("LOG_LEVEL", level)
        monkeypatch.setenv("SECRET_KEY", "long and random")
        get_settings.cache_clear()
        configure_logging(get_settings())

    yield configure
    root.handlers, root.level = before
    structlog.reset_defaults()


def fail(password: str) -> None:
    raise ValueError(f"{len(password)} letters")


def log_all() -> None:
    """Log through structlog, through the standard library, and a failure."""
    structlog.get_logger("ours").info("hello", user=7)
    logging.getLogger("theirs").warning("%d mails", 3)
    try:
        fail("hunter" + str(2))  # not as one word: a trace shows the line itself
    except ValueError:
        structlog.get_logger("ours").exception("it failed")


def test_production_writes_one_json_object_a_line(configure, capsys: pytest.CaptureFixture[str]) -> None:
    """Every logger's lines have the same form; a failure brings its trace, but no values of variables."""
    configure("production")
    log_all()
    output = capsys.readouterr().err
    first, second, third = map(json.loads, output.splitlines())
    assert (first["event"], first["user"], first["level"], first["logger"]) == ("hello", 7, "info", "ours")
    assert (second["event"], second["level"], second["logger"]) == ("3 mails", "warning", "theirs")
    assert third["exception"][0]["exc_value"] == "7 letters"
    assert "hunter2" not in output


def test_development_writes_lines_to_read(configure, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, for eyes: no colour where there is no terminal, no values of variables."""
    configure("development")
    log_all()
    output = capsys.readouterr().err
    assert "hello" in output
    assert "user=7" in output
    assert "3 mails" in output
    assert "ValueError: 7 letters" in output
    assert "\x1b[" not in output
    assert "hunter2" not in output


def test_a_logger_with_handlers_of_its_own_is_heard_once(configure, capsys: pytest.CaptureFixture[str]) -> None:
    """Servers that set up their logging first do not print every line twice."""
    logging.getLogger("server").addHandler(logging.StreamHandler())
    configure("development")
    logging.getLogger("server").warning("only once")
    assert capsys.readouterr().err.count("only once") == 1


def test_no_driver_tells_values_of_statements(configure, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even with LOG_LEVEL=DEBUG, which would show hashes of passwords."""
    configure("development", level="DEBUG")
    logging.getLogger("aiosqlite").debug("executing INSERT ... '$argon2id$...'")
    logging.getLogger("others").debug("heard")
    output = capsys.readouterr().err
    assert "heard" in output
    assert "argon2id" not in output
