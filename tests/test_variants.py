"""Every variant, installed, passes the checks and the tests that it was generated with, as it is."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from conftest import project_files, run_program
from processes import Process
from service import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Render

#: Seconds that checks or tests of one project may take; they take half of it on two cores.
LIMIT = 1200
#: Those with code of their own, the longest first: they run side by side.
BACKENDS = ("falkordb", "redis", "none")
#: The engine and its tests, which `redis` and `falkordb` have in common: they are run in one of the two, on its server.
ENGINE = ("infrastructure/jobs", "tests/unit/jobs", "tests/integration/jobs")
#: What is left out elsewhere.
LEFT_OUT = {"redis": [f"--ignore={path}" for path in ENGINE if path.startswith("tests/")]}
#: Where the code of `valkey` is that of `redis`, only what stands in these is still to be tested.
PAGES = ["tests/integration/test_docs.py", "tests/e2e/test_service.py"]


def passes(project: Path, *words: str, log: Path) -> None:
    """Run a recipe of a project, which is to succeed and to change none of its files."""
    just = Process(f"just {words[0]}", ["just", *words], cwd=project, env=clean_environment(), log=log)
    try:
        status = just.wait(LIMIT)
    finally:
        just.stop(number=signal.SIGINT)  # as Ctrl-C: its tests end the servers that they have started
    assert status == 0, just.output
    changes = run_program(["git", "status", "--porcelain", "--untracked-files=no"], cwd=project)
    assert (changes.returncode, changes.stdout) == (0, "")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("recipe", ["check", "test"])
def test_a_generated_project_passes_its_own(synced: Render, backend: str, recipe: str, tmp_path: Path) -> None:
    """A project straight from the template passes its `just check` and `just test`, which change none of its files."""
    words = [recipe, *(LEFT_OUT.get(backend, []) if recipe == "test" else [])]
    passes(synced(backend), *words, log=tmp_path / "output.txt")


def test_the_engine_is_the_same_in_all(rendered: Render) -> None:
    """The engine and its tests are the same to the byte, so that one variant can stand for the others."""

    def engine(backend: str) -> dict[str, bytes]:
        project = rendered(cache_backend=backend)
        names = {path: path.relative_to(project).as_posix() for path in project_files(project)}
        return {name: path.read_bytes() for path, name in names.items() if any(part in name for part in ENGINE)}

    assert len(engine("falkordb")) > 100
    assert engine("redis") == engine("valkey") == engine("falkordb")


def test_valkey_is_redis_with_another_server(rendered: Render) -> None:
    """The two have the same code and the same tests: they differ in their pages and their containers only."""
    redis, valkey = (
        {path.relative_to(project).as_posix(): path.read_bytes() for path in project_files(project)}
        for project in (rendered(cache_backend="redis"), rendered(cache_backend="valkey"))
    )
    different = {name for name in redis.keys() | valkey.keys() if redis.get(name) != valkey.get(name)}
    assert different <= {"README.md", "compose.yaml", "docs/background-tasks.md", "docs/cache-graph.md"}


@pytest.mark.parametrize("words", [["check"], ["test", *PAGES]], ids=["check", "pages"])
def test_a_project_on_valkey_passes_what_differs(synced: Render, words: list[str], tmp_path: Path) -> None:
    """The pages of the `valkey` project are true, and it starts; all other tests of it are those of `redis`."""
    passes(synced("valkey"), *words, log=tmp_path / "output.txt")
