"""`create-admin`, as somebody types it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from {{ cookiecutter.__package }}.accounts import service
from {{ cookiecutter.__package }}.accounts.commands import create_admin
from {{ cookiecutter.__package }}.infrastructure.database import (
    Base,
    get_engine,
    get_session_context,
    run_command,
)

if TYPE_CHECKING:
    from typer.testing import Result

    from {{ cookiecutter.__package }}.accounts.models import User

EMAIL, PASSWORD = "ada@example.com", "correct horse"


@pytest.fixture(autouse=True)
def tables() -> None:
    """Make the tables; the commands have event loops of their own."""

    async def create() -> None:
        async with get_engine().begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    run_command(create())


def run(*words: str, stdin: bytes = b"") -> Result:
    app = typer.Typer()
    app.command()(create_admin)
    return CliRunner().invoke(app, list(words), input=stdin)


def sign_in(email: str = EMAIL, password: str = PASSWORD) -> User:
    async def act() -> User:
        async with get_session_context() as session:
            return await service.sign_in(session, email=email, password=password)

    return run_command(act())


def sign_up(password: str | None) -> None:
    async def act() -> None:
        async with get_session_context() as session:
            await service.register(session, email=EMAIL, name="Ada", password=password)

    run_command(act())


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\nmore lines\n"])
def test_a_new_administrator(ending: bytes) -> None:
    """The account is made with the first line of standard input as its password."""
    done = run("Ada@example.com", "--password-stdin", stdin=PASSWORD.encode() + ending)
    assert (done.exit_code, done.output) == (0, "ada@example.com is an administrator now, user 1\n")
    user = sign_in()
    assert (user.role, user.name) == ("admin", "Ada")


def test_the_name_can_be_given() -> None:
    """Otherwise it is what stands before the @."""
    assert run(EMAIL, "--name", "Ada Lovelace", "--password-stdin", stdin=PASSWORD.encode()).exit_code == 0
    assert sign_in().name == "Ada Lovelace"


def test_a_user_becomes_an_administrator() -> None:
    """Without being asked for a password, which stays; so does the name."""
    sign_up(PASSWORD)
    done = run("ADA@example.com", "--name", "Somebody else")
    assert (done.exit_code, done.output) == (0, "ada@example.com is an administrator now, user 1\n")
    assert (sign_in().role, sign_in().name) == ("admin", "Ada")


def test_a_user_gets_the_password_that_is_given() -> None:
    """And none from before is good any longer."""
    sign_up(PASSWORD)
    assert run(EMAIL, "--password-stdin", stdin=b"battery staple").exit_code == 0
    assert sign_in(password="battery staple").role == "admin"
    with pytest.raises(service.WrongCredentialsError):
        sign_in()


@pytest.mark.parametrize(
    ("words", "stdin", "line"),
    [
        (["nobody", "--password-stdin"], b"correct horse", "email: value is not a valid email address"),
        ([EMAIL, "--name", " ", "--password-stdin"], b"correct horse", "name: String should have at least 1 character"),
        ([EMAIL, "--name", "A\nda", "--password-stdin"], b"correct horse", "name: String should match pattern"),
        ([EMAIL, "--password-stdin"], b"", "a password has 8 to 128 characters"),
        ([EMAIL, "--password-stdin"], b"short\n", "a password has 8 to 128 characters"),
        ([EMAIL, "--password-stdin"], b"x" * 129, "a password has 8 to 128 characters"),
        ([EMAIL, "--password-stdin"], b"\xff" * 8, "the password on standard input is not UTF-8"),
        ([EMAIL], b"", "there is no terminal to ask for the password on; use --password-stdin"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words: list[str], stdin: bytes, line: str) -> None:
    """It says what is wrong, and nobody becomes anything."""
    done = run(*words, stdin=stdin)
    assert done.exit_code == 2
    assert done.output.startswith(line)
    assert done.output.count("\n") == 1
    with pytest.raises(service.WrongCredentialsError):
        sign_in()


def test_a_database_without_tables_is_one_line_and_status_1() -> None:
    """It says what may be wrong with it."""

    async def drop() -> None:
        async with get_engine().begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)

    run_command(drop())
    done = run(EMAIL, "--password-stdin", stdin=PASSWORD.encode())
    assert done.exit_code == 1
    assert done.output == "the database cannot be used (no such table: users); is it there, and migrated?\n"


class Terminal:
    """A person in front of the command."""

    def __init__(self, *words: str) -> None:
        self.master, slave = pty.openpty()
        code = f"import typer; from {create_admin.__module__} import create_admin; typer.run(create_admin)"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.seen = self._new = ""

    def until(self, text: str) -> None:
        while text not in self._new:
            self._new += self._read()
        self._new = self._new.partition(text)[2]

    def type(self, line: str) -> None:
        os.write(self.master, f"{line}\n".encode())

    def break_off(self) -> None:
        """Send Ctrl-C until it ends: Python overlooks one that comes in the very moment in which it begins to wait."""
        while self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)

    def close(self) -> None:
        with suppress(OSError):  # Linux says that nobody is there any more
            while self._read():
                pass
        os.close(self.master)
        self.process.wait()

    def _read(self) -> str:
        block = os.read(self.master, 4096).decode()
        self.seen += block
        return block


def test_the_password_is_asked_for_twice_and_not_shown() -> None:
    """Until both are the same."""
    with closing(Terminal(EMAIL)) as terminal:
        for answers in ([PASSWORD, "another one"], [PASSWORD, PASSWORD]):
            for question, answer in zip(["Password: ", "Once more: "], answers, strict=True):
                terminal.until(question)
                terminal.type(answer)
    assert terminal.process.returncode == 0
    assert PASSWORD not in terminal.seen
    assert "is an administrator now" in terminal.seen
    assert sign_in().role == "admin"


def test_it_can_be_broken_off() -> None:
    """Ctrl-C at the question ends it, and nobody becomes anything."""
    with closing(Terminal(EMAIL)) as terminal:
        terminal.until("Password: ")
        terminal.break_off()
    assert terminal.process.returncode == 1
    assert "Traceback" not in terminal.seen
    with pytest.raises(service.WrongCredentialsError):
        sign_in()
