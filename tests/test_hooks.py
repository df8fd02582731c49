"""The hooks by themselves: what they refuse, what they remove, what they commit and what they say."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cookiecutter.utils import create_env_with_context

import post_gen_project
import pre_gen_project
from conftest import BACKENDS, PROJECT, TEMPLATE, Render, run_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VARIABLES = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
HOOKS = sorted((TEMPLATE / "hooks").glob("*.py"))

ANSWERS = {
    "project_name": "Shop",
    "project_slug": "corner-shop",
    "project_description": "Sells things",
    "author_name": "Ada",
    "author_email": "ada@example.org",
    "python_version": "3.13",
    "cache_backend": "redis",
    "include_examples": "yes",
    "license": "MIT",
    "ci_provider": "github",
    "__asked_slug": "corner-shop",
    "__kept_slug": "yes",
    "__package": "corner_shop",
    "__name": "Shop",
    "__name_quoted": "Shop",
    "__description": "Sells things",
    "__description_quoted": "Sells things",
    "__author": "Ada",
    "__author_quoted": "Ada",
}


def problems(**answers: object) -> list[str]:
    """Find the problems of good answers with some of them changed."""
    return pre_gen_project.find_problems({**ANSWERS, **answers})


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.stem)
def test_hooks_need_nothing_but_python(hook: Path) -> None:
    """A hook runs in whatever environment Cookiecutter was installed in, so it imports only the standard library."""
    imports = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(hook.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imports <= sys.stdlib_module_names


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.stem)
@pytest.mark.parametrize(
    "text",
    [
        "'''",
        "''')); raise SystemExit(0) #",
        '"""',
        "\\",
        "\\'''",
        "ends in \\\\\\",
        "\\u0027\\u0027\\u0027",
        "a\nb\r\nc\0d\x1b[31m\u2028",
        "\udcff",
        "{{ 1 / 0 }} {% raw %} {# #} # {% if",
        "</script>&amp;<>",
        "é 日本 🚀",
        "%s {0} ${x} $(id) `id`",
    ],
)
def test_an_answer_reaches_the_hook_as_data(hook: Path, text: str) -> None:
    """Rendered with a hostile answer, a hook is still the same program, and reads exactly that answer."""
    answers = {**ANSWERS, "project_name": text, "author_name": text}
    source = hook.read_text(encoding="utf-8")
    context = {"cookiecutter": {**answers, "_jinja2_env_vars": VARIABLES["_jinja2_env_vars"]}}
    program = ast.parse(create_env_with_context(context).from_string(source).render(**context))

    def literals(tree: ast.Module) -> list[str]:
        return [
            str(node.args[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) == "json.loads"
            and isinstance(node.args[0], ast.Constant)
        ]

    [answered] = literals(program)
    assert json.loads(answered)["project_name"] == json.loads(answered)["author_name"] == text
    [placeholder] = literals(ast.parse(source))
    assert ast.dump(program).replace(repr(answered), repr(placeholder)) == ast.dump(ast.parse(source))


class TestAnswers:
    """pre_gen_project: which answers pass."""

    def test_the_choices_are_those_of_the_prompts(self) -> None:
        """The hook accepts exactly the choices that the prompts offer, and the defaults are good answers."""
        offered = {
            name: tuple(default) for name, default in VARIABLES.items() if isinstance(default, list) and name[0] != "_"
        }
        assert offered == pre_gen_project.CHOICES
        assert problems() == []

    @pytest.mark.parametrize(
        "slug", ["a", "shop", "corner-shop", "corner_shop", "a1", "v2-api", "match", "x" * 40, "shop2go", "classy"]
    )
    def test_good_slugs(self, slug: str) -> None:
        """Plain names pass; so do soft keywords such as `match`, which are fine as package names."""
        assert pre_gen_project.slug_problems(slug) == []
        ast.parse(f"import {slug.replace('-', '_')}.main")

    @pytest.mark.parametrize(
        "slug",
        [
            "",
            " ",
            "1a",
            "-a",
            "_a",
            "a-",
            "a_",
            "a--b",
            "a__b",
            "a-_b",
            "A",
            "aB",
            "a b",
            "a.b",
            "a/b",
            ".",
            "..",
            "é",
            "ｓhop",
            "a\n",
            "\na",
            "a\x00",
            "x" * 41,
            "{{a}}",
            "a;b",
            "~",
            "c:",
            "shop\u200b",
            "ѕhop",
        ],
    )
    def test_malformed_slugs(self, slug: str) -> None:
        """Anything but lower-case ASCII words is refused, a trailing line break and look-alike letters too."""
        assert len(pre_gen_project.slug_problems(slug)) == 1

    @pytest.mark.parametrize(
        ("slugs", "reason"),
        [
            (["class", "import", "async", "lambda", "is"], "keyword"),
            (["json", "email", "test", "site", "asyncio", "imp", "distutils", "annotationlib"], "standard library"),
            (
                ["redis", "fastapi", "arq", "falkordb", "sqlalchemy", "pydantic", "pydantic-settings", "yaml"],
                "depends on",
            ),
            (["uvicorn", "typer", "dotenv", "python-dotenv", "jwt", "hatchling", "pytest"], "depends on"),
            (["tests", "migrations", "src", "conftest", "python", "activate", "just"], "something else"),
        ],
    )
    def test_taken_slugs(self, slugs: list[str], reason: str) -> None:
        """A slug that something else is called is refused, and the message says by what."""
        for slug in slugs:
            [problem] = pre_gen_project.slug_problems(slug)
            assert reason in problem

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_every_installed_name_is_taken(self, synced: Render, backend: str) -> None:
        """No slug passes that is a distribution, an import or a program in the project's own environment."""
        project = synced(backend)
        listing = """
import importlib.metadata as m, json, pathlib, re, sys
print(json.dumps([*(re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower() for d in m.distributions()),
                  *m.packages_distributions(), *(p.name for p in pathlib.Path(sys.prefix, "bin").iterdir())]))
"""
        done = run_program([project / ".venv" / "bin" / "python", "-c", listing], cwd=project)
        names = set(json.loads(done.stdout)) - {"my-service", "my_service"}
        assert len(names) > 50
        passed = sorted({name.replace("-", "_") for name in names if not pre_gen_project.slug_problems(name)})
        assert not passed, "add to DEPENDENCY_NAMES in hooks/pre_gen_project.py: " + " ".join(passed)

    @pytest.mark.parametrize(
        "address",
        ["a@b.co", "ada.lovelace+shop@mail.example.org", "o'neil@example.ie", "x_y-z@sub.example-site.museum"],
    )
    def test_good_addresses(self, address: str) -> None:
        """Ordinary e-mail addresses pass."""
        assert pre_gen_project.email_problems(address) == []

    @pytest.mark.parametrize(
        "address",
        [
            "",
            " ",
            "ada",
            "ada@",
            "@example.org",
            "ada@localhost",
            "ada@example",
            "a b@example.org",
            "ada@exa mple.org",
            "ada@@example.org",
            ".ada@example.org",
            "ada.@example.org",
            "a..b@example.org",
            "ada@-example.org",
            "ada@example.org\n",
            " ada@example.org",
            'a"b@example.org',
            "a\\b@example.org",
            "Ada <ada@example.org>",
            "ada@example..org",
            "{{x}}@example.org",
            "é@example.org",
            f"{'a' * 250}@example.org",
        ],
    )
    def test_bad_addresses(self, address: str) -> None:
        """What no mail can be sent to, or what package metadata cannot hold, is refused with an example."""
        [problem] = problems(author_email=address)
        assert problem.startswith("author_email: ")
        assert "write it like ada@example.org" in problem

    @pytest.mark.parametrize(
        "text", ["", " ", "\n\t", "\u2003", "x" * 81, "a\0b", "a\x1b[31mb", "a\x7fb", "a\x9bb", "a\udcffb"]
    )
    @pytest.mark.parametrize("prompt", ["project_name", "author_name"])
    def test_bad_texts(self, prompt: str, text: str) -> None:
        """Empty or endless texts are refused, and characters that a terminal obeys or a file cannot hold."""
        [problem] = problems(**{prompt: text})
        assert problem.startswith(f"{prompt}: ")
        assert problem.isprintable()

    def test_a_description_may_be_empty(self) -> None:
        """Only the description may be left empty."""
        assert problems(project_description="", __description="", __description_quoted="") == []

    @pytest.mark.parametrize("value", [None, 5, True, [], {"a": "b"}])
    @pytest.mark.parametrize("prompt", [name for name in ANSWERS if not name.startswith("_")])
    def test_answers_that_are_no_text(self, prompt: str, value: object) -> None:
        """A replay file may hold numbers or lists: each is one clear line, not a trace."""
        [problem] = problems(**{prompt: value})
        assert problem == f"{prompt}: {value!r} is no text; answer this prompt again"

    def test_answers_that_are_missing(self) -> None:
        """No answer at all is a problem of every prompt."""
        assert len(pre_gen_project.find_problems({})) == 10

    def test_the_asked_slug_is_shown(self) -> None:
        """A slug that was kept from the file system is reported as it was asked for."""
        [problem] = problems(project_slug="refused-1234", __asked_slug="../x", __kept_slug="no")
        assert problem.startswith("project_slug: '../x' must be")

    def test_long_values_are_cut(self) -> None:
        """A message stays short, however long the value is."""
        [problem] = problems(project_slug="x" * 5000)
        assert len(problem) < 200

    def test_the_messages(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Every problem is a line on stderr, and the exit status is 1; good answers say nothing."""
        assert pre_gen_project.main({**ANSWERS, "project_slug": "1", "author_email": "?", "license": "GPL"}) == 1
        out, err = capfd.readouterr()
        assert out == ""
        assert [line.split(": ")[0] for line in err.splitlines() if line.startswith("  ")] == [
            "  project_slug",
            "  author_email",
            "  license",
        ]
        assert pre_gen_project.main({**ANSWERS}) == 0
        assert capfd.readouterr() == ("", "")


class TestRemoval:
    """post_gen_project: which files go."""

    @pytest.mark.parametrize("prompt", post_gen_project.LEFT_OUT)
    def test_the_table_fits_the_prompts(self, prompt: str) -> None:
        """Every answer in the table is a choice of its prompt."""
        assert set(post_gen_project.LEFT_OUT[prompt]) <= set(VARIABLES[prompt])

    def test_the_table_fits_the_template(self) -> None:
        """Every path in the table exists in the template, once for each answer that leaves it out."""
        for answers in post_gen_project.LEFT_OUT.values():
            for paths in answers.values():
                assert len(paths) == len(set(paths))
                for path in paths:
                    assert (PROJECT / path.format(package="{{cookiecutter.__package}}")).exists(), path

    @staticmethod
    def plant(folder: Path, answers: dict[str, str]) -> None:
        """Make every path that `answers` leave out, and one file that stays."""
        for prompt, left_out in post_gen_project.LEFT_OUT.items():
            for path in left_out.get(answers[prompt], []):
                target = folder / path.format(package=answers["__package"])
                if target.suffix:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.touch()
                else:
                    (target / "inside").mkdir(parents=True, exist_ok=True)
        (folder / "README.md").touch()

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_what_is_left_out_is_removed(self, tmp_path: Path, backend: str) -> None:
        """Files and whole folders of the table go, everything else stays."""
        answers = {**ANSWERS, "cache_backend": backend}
        self.plant(tmp_path, answers)
        post_gen_project.remove_left_out(tmp_path, answers)
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["README.md"]

    def test_a_path_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        """A stale table fails, names the paths, and removes nothing."""
        answers = {**ANSWERS, "cache_backend": "none"}
        self.plant(tmp_path, answers)
        (tmp_path / "docs" / "cache-graph.md").unlink()
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit, match=r"names paths that do not exist: docs/cache-graph\.md$"):
            post_gen_project.remove_left_out(tmp_path, answers)
        assert sorted(tmp_path.rglob("*")) == before


class TestFirstCommit:
    """post_gen_project: what git is told, with the real git."""

    @pytest.fixture(autouse=True)
    def no_settings(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Take git's own settings away, as on a new machine."""
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
            monkeypatch.delenv(name, raising=False)

    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        """Make a folder with one file."""
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "README.md").write_text("# Shop\n", encoding="utf-8")
        return folder

    @staticmethod
    def git(folder: Path, *arguments: str) -> str:
        """Ask git."""
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    def test_the_commit_is_made_without_any_settings(self, project: Path) -> None:
        """Without user.name or any other setting there is one commit on main, by the author, that holds everything."""
        line = post_gen_project.first_commit(project, ANSWERS)
        assert line == "git: the first commit is made, on the branch main."
        assert (
            self.git(project, "log", "--format=%an <%ae> %cn %s", "main")
            == "Ada <ada@example.org> Ada Generate the project"
        )
        assert self.git(project, "status", "--porcelain") == ""

    def test_the_settings_of_a_machine_do_not_stop_it(
        self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Signing without a key and a hook that refuses every commit are a matter of later commits."""
        hooks = tmp_path / "hooks"
        hooks.mkdir()
        (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (hooks / "pre-commit").chmod(0o755)
        settings = tmp_path / "gitconfig"
        settings.write_text(
            f'[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = /nonexistent\n[core]\n\thooksPath = "{hooks}"\n',
            encoding="utf-8",
        )
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
        assert "first commit is made" in post_gen_project.first_commit(project, ANSWERS)
        assert self.git(project, "rev-list", "--count", "HEAD") == "1"

    def test_another_repository_is_not_touched(
        self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Started in another repository's hook, where git exports GIT_DIR, the commit still lands in the project."""
        other = tmp_path / "other"
        other.mkdir()
        self.git(other, "init", "--quiet")
        monkeypatch.setenv("GIT_DIR", str(other / ".git"))
        monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
        post_gen_project.first_commit(project, ANSWERS)
        monkeypatch.delenv("GIT_DIR")
        monkeypatch.delenv("GIT_INDEX_FILE")
        assert self.git(project, "rev-list", "--count", "HEAD") == "1"
        assert self.git(other, "rev-list", "--all", "--count") == "0"

    def test_a_repository_that_is_there_is_left_alone(self, project: Path) -> None:
        """Generating over a project that has a history commits nothing to it."""
        post_gen_project.first_commit(project, ANSWERS)
        (project / "mine.txt").touch()
        assert "already is a git repository" in post_gen_project.first_commit(project, ANSWERS)
        assert self.git(project, "status", "--porcelain") == "?? mine.txt"

    def test_a_failure_of_git_is_a_line(self, project: Path) -> None:
        """A name that git does not accept costs the commit, not the project, and git's reason is told."""
        line = post_gen_project.first_commit(project, {**ANSWERS, "__author": "..."})
        assert line.startswith("`git commit` did not work (")
        assert "disallowed characters" in line
        assert line.endswith("; commit the project yourself.")
        assert "\n" not in line

    def test_without_git_there_is_a_line(self, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """On a PATH without git nothing fails, and the line says what to do."""
        monkeypatch.setenv("PATH", str(tmp_path))
        line = post_gen_project.first_commit(project, ANSWERS)
        assert line.startswith("git is not on PATH")
        assert "`git init`" in line
        assert not (project / ".git").exists()


class TestNextSteps:
    """post_gen_project: what the owner is told."""

    @staticmethod
    def steps(tmp_path: Path, **answers: str) -> str:
        """Tell the next steps of a project."""
        return post_gen_project.next_steps(tmp_path / "corner shop", {**ANSWERS, **answers}, "git: done.")

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_they_are_true_for_the_variant(self, tmp_path: Path, backend: str) -> None:
        """A project with jobs is told of Redis and a worker, one without is not."""
        text = self.steps(tmp_path, cache_backend=backend)
        assert ("Redis" in text) == ("worker" in text) == (backend != "none")
        for command in ("uv sync", "just dev", "just test"):
            assert f"\n  {command}" in text
        assert f"cd '{tmp_path}/corner shop'\n" in text

    def test_the_commands_are_recipes(self) -> None:
        """Every `just` command that is told is a recipe of the project."""
        recipes = re.findall(
            r"^([a-z][a-z-]*)[^:=\n]*:(?!=)", (PROJECT / "justfile").read_text(encoding="utf-8"), re.MULTILINE
        )
        assert {"dev", "test"} <= set(recipes)

    def test_missing_tools_are_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who has neither uv nor just is told how to get them, who has both is not."""
        monkeypatch.setenv("PATH", str(tmp_path))
        assert "pip install uv" in self.steps(tmp_path)
        assert "uv run just" in self.steps(tmp_path)
        for name in ("uv", "just"):
            (tmp_path / name).touch(mode=0o755)
        assert "not on PATH" not in self.steps(tmp_path)

    @pytest.fixture
    def shown(self, tmp_path: Path) -> Callable[..., str]:
        """Run the hook's text on a real terminal, and give what it wrote."""

        def run(**env: str) -> str:
            program = (
                "import pathlib, post_gen_project as hook, json, sys\n"
                "print(hook.next_steps(pathlib.Path.cwd(), json.loads(sys.argv[1]), 'git: done.'))"
            )
            controller, terminal = pty.openpty()
            subprocess.run(
                [sys.executable, "-c", program, json.dumps(ANSWERS)],
                cwd=tmp_path,
                env={
                    **{k: v for k, v in os.environ.items() if k != "NO_COLOR"},
                    "PYTHONPATH": str(HOOKS[0].parent),
                    **env,
                },
                stdout=terminal,
                check=True,
            )
            os.close(terminal)
            text = os.read(controller, 65536).decode()
            os.close(controller)
            return text

        return run

    def test_colours_only_on_a_terminal(self, tmp_path: Path, shown: Callable[..., str]) -> None:
        """Styles are for terminals, and NO_COLOR switches them off there too."""
        assert "\x1b[" not in self.steps(tmp_path)
        assert "\x1b[1m" in shown()
        assert "\x1b[" not in shown(NO_COLOR="1")


def test_git_may_be_missing_for_the_whole_run(tmp_path: Path) -> None:
    """Cookiecutter on a PATH without git makes the project and says in a line what was left out."""
    done = run_program(
        [sys.executable, "-m", "cookiecutter", "--default-config", "--no-input", TEMPLATE, "--output-dir", tmp_path],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout
    assert "git is not on PATH" in done.stdout
    assert "uv is not on PATH: `pip install uv` brings it." in done.stdout
    assert (tmp_path / "my-service" / "pyproject.toml").is_file()
    assert not (tmp_path / "my-service" / ".git").exists()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_work_tree_is_clean_after_generation(rendered: Render, backend: str) -> None:
    """The first commit holds every generated file, so that the owner's first diff is the owner's own."""
    project = rendered(cache_backend=backend)
    git = shutil.which("git")
    assert git is not None, "these tests need git"
    assert run_program([git, "status", "--porcelain", "--ignored"], cwd=project).stdout == ""
    assert run_program([git, "rev-list", "--count", "main"], cwd=project).stdout.strip() == "1"
