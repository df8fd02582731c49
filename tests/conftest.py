"""What all tests of the template share: the table of variants, and fixtures that render and install each once."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_cookies.plugin import Cookies

TEMPLATE = Path(__file__).resolve().parent.parent
PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"

BACKENDS = ("redis", "valkey", "falkordb", "none")

#: Every variant, with and without the examples, and each other choice once: id -> answers.
SUPPORTED: dict[str, dict[str, str]] = {
    **{
        f"{backend}{'' if examples == 'yes' else '-no-examples'}": {
            "cache_backend": backend,
            "include_examples": examples,
        }
        for backend, examples in itertools.product(BACKENDS, ("yes", "no"))
    },
    "python-3.12": {"python_version": "3.12"},
    "python-3.11": {"python_version": "3.11"},
    "apache": {"license": "Apache-2.0"},
    "bsd": {"license": "BSD-3-Clause"},
    "proprietary": {"license": "Proprietary"},
    "gitlab": {"ci_provider": "gitlab"},
    "no-ci": {"ci_provider": "none"},
}

#: Answers that are refused: id -> (answers, what the message says of them).
UNSUPPORTED: dict[str, tuple[dict[str, str], str]] = {
    "empty-name": ({"project_name": " "}, "project_name: ' ' is empty"),
    "control-character": ({"project_name": "bell\a"}, r"project_name: 'bell\x07' holds characters that are no text"),
    "empty-slug": ({"project_slug": ""}, "project_slug: '' is empty"),
    "slug-of-white-space": ({"project_slug": "  "}, "project_slug: '  ' must be lower-case letters"),
    "slug-outside": ({"project_slug": "../outside"}, "project_slug: '../outside' must be lower-case letters"),
    "slug-with-folders": ({"project_slug": "a/b/c"}, "project_slug: 'a/b/c' must be lower-case letters"),
    "slug-too-long-for-a-folder": ({"project_slug": "a" * 300}, "has 300 characters; use at most 40"),
    "digit-first": ({"project_slug": "3d-shop"}, "project_slug: '3d-shop' must be lower-case letters"),
    "upper-case": ({"project_slug": "MyShop"}, "project_slug: 'MyShop' must be lower-case letters"),
    "space": ({"project_slug": "my shop"}, "project_slug: 'my shop' must be lower-case letters"),
    "keyword": ({"project_slug": "class"}, "project_slug: 'class' is a keyword of Python"),
    "standard-library": ({"project_slug": "email"}, "project_slug: 'email' is a module of Python's standard library"),
    "dependency": ({"project_slug": "redis"}, "project_slug: 'redis' is a package that the project depends on"),
    "tool": ({"project_slug": "tests"}, "project_slug: 'tests' is a name that the project or its tools use"),
    "empty-author": ({"author_name": ""}, "author_name: '' is empty"),
    "bad-email": ({"author_email": "ada(at)example.org"}, "author_email: 'ada(at)example.org' is no e-mail address"),
}

#: Modules whose tests take minutes each, the longest first: those of one backend go to one process, others elsewhere.
SIDE_BY_SIDE = ("test_variants", "test_slices")

Render = Callable[..., Path]
Cookiecutter = Callable[..., "subprocess.CompletedProcess[str]"]


def run_program(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    typed: str = "",
    seconds: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; stderr follows stdout in `stdout`. A status other than 0 is for the caller to judge.

    The environment is that of the tests, without the virtual environment that they run in, and with `env` on top.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    return subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, "UV_PYTHON_DOWNLOADS": "never", "PYTHONUTF8": "1", **(env or {})},
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    )


def project_files(project: Path) -> list[Path]:
    """List what the template put into `project`: neither git's files nor those that installing and running leave."""
    made_later = {".git", ".venv", "uv.lock", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".data"}
    return sorted(
        path for path in project.rglob("*") if path.is_file() and made_later.isdisjoint(path.relative_to(project).parts)
    )


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each process run whole modules: their tests share what was rendered, installed, started. Long ones first."""

    def group(item: pytest.Item) -> str:
        module = item.path.stem
        given = getattr(item, "callspec", None)
        return f"{module}-{given.params.get('backend', '') if given else ''}" if module in SIDE_BY_SIDE else module

    order = dict(zip(SIDE_BY_SIDE, range(-len(SIDE_BY_SIDE), 0), strict=True))
    items.sort(key=lambda item: order.get(item.path.stem, 0))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))


@pytest.fixture(scope="session")
def rendered(cookies_session: Cookies) -> Render:
    """Render the template with `**answers`, once for each set of answers, and return the project's folder.

    The folder is shared by all tests: read it, and copy it before you change anything.
    """
    projects: dict[frozenset[tuple[str, str]], Path] = {}

    def render(**answers: str) -> Path:
        key = frozenset(answers.items())
        if key not in projects:
            result = cookies_session.bake(extra_context=answers)
            assert result.exception is None, f"{answers}: {result.exception!r}"
            projects[key] = result.project_path
        return projects[key]

    return render


@pytest.fixture(scope="session")
def synced(rendered: Render, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render the variant `cache_backend`, install it as its owner would, and return its folder; once for all tests.

    It is a copy, shared by all tests that ask for the same answers: what they leave in it, others find.
    """
    projects: dict[frozenset[tuple[str, str]], Path] = {}

    def sync(cache_backend: str, **answers: str) -> Path:
        answers = {"include_examples": "yes", **answers, "cache_backend": cache_backend}
        key = frozenset(answers.items())
        if key not in projects:
            source = rendered(**answers)
            project = tmp_path_factory.mktemp(f"synced-{cache_backend}") / source.name
            shutil.copytree(source, project)
            done = run_program(["uv", "sync"], cwd=project, seconds=600)
            assert done.returncode == 0, done.stdout
            projects[key] = project
        return projects[key]

    return sync


@pytest.fixture
def cookiecutter(tmp_path: Path) -> Cookiecutter:
    """Run the `cookiecutter` command with a configuration of its own: `cookiecutter(*arguments, typed=..., env=...)`.

    Its replay files are in `tmp_path / "replay"`.
    """
    config = tmp_path / "cookiecutter.yaml"
    config.write_text(
        f"cookiecutters_dir: {tmp_path / 'clones'}\nreplay_dir: {tmp_path / 'replay'}\n", encoding="utf-8"
    )

    def call(
        *arguments: str | Path, cwd: Path = TEMPLATE, env: Mapping[str, str] | None = None, typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cookiecutter", "--config-file", config, *arguments]
        return run_program(command, cwd=cwd, env=env, typed=typed)

    return call
