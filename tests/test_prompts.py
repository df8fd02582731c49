"""The questions that the template asks, through Cookiecutter's own command: typed, passed, replayed, refused."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config

from conftest import BACKENDS, PROJECT, TEMPLATE, UNSUPPORTED, Cookiecutter, Render, project_files, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VARIABLES = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
PROMPTS = {name: default for name, default in VARIABLES.items() if not name.startswith("_")}
TEXTS = VARIABLES["__prompts__"]

#: What people really call things, and what attackers would: as typed, and as it must come out.
HOSTILE = {
    "quotes": """Ada's "Shop" of 'quotes' and \"\"\" too""",
    "backslashes": "C:\\new\\table \\\\ \\u0041 \\",
    "accents": "Crème brûlée à l’île — Ünïcödé, Привет, 日本語",
    "emoji": "🚀 👩‍💻 service",
    "jinja": "{{ 7 * 7 }} {% raw %} {# note #} }} %}",
    "statement": "# {% if broken %}",
    "python": "'''); raise SystemExit(7) #",
    "markup": "<b>&amp;</b> [bold]name[/bold] $HOME `id` %(here)s ${x}",
    "toml": '"]\nname = "other"',
    "lines": "one\ntwo\r\nthree\tfour\u2028five",
}
#: Cookiecutter evaluates what it is passed on its command line as Jinja, so there these are code and not text.
ONLY_AS_TEXT = {"jinja", "statement"}


def collapsed(text: str) -> str:
    """Put `text` on one line, as the template does."""
    return " ".join(text.split())


def assert_holds(project: Path, text: str) -> None:
    """Read the name, description and author back as programs do, and compare them with `text`."""
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["description"] == collapsed(text)
    assert metadata["authors"] == [{"name": collapsed(text), "email": "you@example.com"}]
    module = ast.parse((project / "src" / "hostile" / "__init__.py").read_text(encoding="utf-8"))
    titles = [node.value for node in module.body if isinstance(node, ast.Assign) and "TITLE" in ast.unparse(node)]
    assert [ast.literal_eval(title) for title in titles] == [collapsed(text)]
    assert f" {collapsed(text)}\n" in (project / "LICENSE").read_text(encoding="utf-8")
    assert collapsed(text) in (project / "README.md").read_text(encoding="utf-8")


def hostile_answers(text: str) -> dict[str, str]:
    """Answer the three prompts that take any text with `text`."""
    return {
        "project_name": text,
        "project_slug": "hostile",
        "project_description": text,
        "author_name": text,
    }


def left_behind(folder: Path) -> list[str]:
    """List what is in `folder` beside Cookiecutter's own configuration."""
    ours = {"cookiecutter.yaml", "replay", "clones"}
    return [path.name for path in folder.iterdir() if path.name not in ours]


def test_there_are_ten_prompts_each_with_a_human_text() -> None:
    """Ten prompts are asked, and each has a text of its own, which also says what every choice means."""
    assert len(PROMPTS) == 10
    assert list(TEXTS) == list(PROMPTS)
    for name, default in PROMPTS.items():
        text = TEXTS[name]
        if isinstance(default, list):
            assert set(text) == {"__prompt__", *default}
            for choice in default:
                assert text[choice].startswith(f"{choice} - ")
                assert len(text[choice]) > len(choice) + 10
        else:
            assert len(text) > len(name)


def test_every_prompt_makes_a_difference() -> None:
    """Each prompt, or a value derived from it, is used by a project's file, its name or the table of removals."""

    def sources() -> Iterator[str]:
        yield (TEMPLATE / "hooks" / "post_gen_project.py").read_text(encoding="utf-8")
        for path in project_files(PROJECT):
            yield str(path)
            yield path.read_text(encoding="utf-8")

    used = set(
        re.findall(r"""cookiecutter\.(\w+)|^    "(\w+)": {$|answers\["(\w+)"\]""", "\n".join(sources()), re.MULTILINE)
    )
    names = {name for match in used for name in match if name}
    derived = {name: set(re.findall(r"cookiecutter\.(\w+)", str(VARIABLES[name]))) for name in VARIABLES}
    for _ in derived:
        names |= {source for name in names for source in derived.get(name, ())}
    assert set(PROMPTS) <= names


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Service", "my-service"),
        ("Ada's Shop!", "adas-shop"),
        ("Crème brûlée", "creme-brulee"),
        ("日本", "ri-ben"),
        ("🚀", "my-service"),
        ("The quick brown fox jumps over the lazy dog", "the-quick-brown-fox-jumps-over-the-lazy"),
        ("a_b  c--d", "a-b-c-d"),
    ],
)
def test_the_slug_is_derived_from_the_name(name: str, slug: str) -> None:
    """The proposed slug is a plain form of the name, at most 40 characters long."""
    context = generate_context(str(TEMPLATE / "cookiecutter.json"), extra_context={"project_name": name})
    assert prompt_for_config(context, no_input=True)["project_slug"] == slug


def test_the_prompts_are_shown_in_words(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """Asked interactively, the template shows its human texts, and Enter all the way down accepts the defaults."""
    done = cookiecutter(".", "--output-dir", tmp_path, typed="\n" * 10)
    assert done.returncode == 0, done.stdout
    shown = collapsed(done.stdout)
    for text in TEXTS.values():
        for line in text.values() if isinstance(text, dict) else [text]:
            assert line in shown
    assert (tmp_path / "my-service" / "pyproject.toml").is_file()


def test_an_answer_is_typed(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """Typed answers and chosen numbers decide what is generated."""
    typed = "Corner Shop\n\nSells things\nAda\nada@example.org\n2\n4\n2\n4\n3\n"
    done = cookiecutter(".", "--output-dir", tmp_path, typed=typed)
    assert done.returncode == 0, done.stdout
    project = tmp_path / "corner-shop"
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["description"] == "Sells things"
    assert metadata["authors"] == [{"name": "Ada", "email": "ada@example.org"}]
    assert metadata["license"] == "LicenseRef-Proprietary"
    assert not [name for name in metadata["dependencies"] if name.startswith("arq")]
    assert "FROM python:3.12-slim" in (project / "Dockerfile").read_text(encoding="utf-8")
    assert not (project / ".github").exists()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_line_chooses_a_variant(cookiecutter: Cookiecutter, tmp_path: Path, backend: str) -> None:
    """`cookiecutter --no-input . cache_backend=...` generates that variant into --output-dir."""
    done = cookiecutter("--no-input", ".", f"cache_backend={backend}", "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stdout
    project = tmp_path / "out" / "my-service"
    dependencies = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {re.split(r"[^\w-]", dependency)[0] for dependency in dependencies}
    assert ("arq" in names) == (backend != "none")
    assert ("falkordb" in names) == (backend == "falkordb")
    assert (project / "src" / "my_service" / "infrastructure" / "graph.py").exists() == (backend == "falkordb")


def test_a_replay_makes_the_same_project(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """--replay answers with what was answered last time, and makes the same files."""
    arguments = ("cache_backend=valkey", "project_name=Twice", "project_slug=once_more")
    assert cookiecutter("--no-input", ".", *arguments, "--output-dir", tmp_path / "a").returncode == 0
    done = cookiecutter("--replay", ".", "--output-dir", tmp_path / "b")
    assert done.returncode == 0, done.stdout
    first, second = tmp_path / "a" / "once_more", tmp_path / "b" / "once_more"
    contents = {path.relative_to(first): path.read_bytes() for path in project_files(first)}
    assert contents == {path.relative_to(second): path.read_bytes() for path in project_files(second)}


def change_replay(tmp_path: Path, **changes: object) -> Path:
    """Write a copy of the last replay file with other values."""
    [saved] = (tmp_path / "replay").iterdir()
    context = json.loads(saved.read_text(encoding="utf-8"))
    context["cookiecutter"].update(changes)
    changed = tmp_path / "replay" / "changed.json"
    changed.write_text(json.dumps(context), encoding="utf-8")
    return changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cache_backend": "memcached"},
            "cache_backend: 'memcached' is no choice; use one of redis, valkey, falkordb, none",
        ),
        ({"license": None}, "license: None is no text"),
        ({"project_slug": "other"}, "project_slug: 'other' was changed in a replay file, but not __package"),
        ({"project_name": "Other"}, "project_name: 'Other' was changed in a replay file, but not __name"),
        (
            {"__author_quoted": '", x = "'},
            "author_name: 'Your Name' was changed in a replay file, but not __author_quoted",
        ),
    ],
    ids=["unknown-choice", "no-text", "slug", "name", "derived"],
)
def test_a_replay_file_that_was_edited_is_checked(
    cookiecutter: Cookiecutter, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    """A replay file can hold anything, and what no prompt would have let through is refused."""
    assert cookiecutter("--no-input", ".", "--output-dir", tmp_path / "a").returncode == 0
    shutil.rmtree(tmp_path / "a")
    done = cookiecutter("--replay-file", change_replay(tmp_path, **changes), ".", "--output-dir", tmp_path)
    assert done.returncode == 1
    assert message in done.stdout
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_typed_text_is_text(cookiecutter: Cookiecutter, tmp_path: Path, text: str) -> None:
    """Names and descriptions with quotes, backslashes, emoji or braces come out as they were typed."""
    line = collapsed(text)
    done = cookiecutter(".", "--output-dir", tmp_path, typed=f"{line}\nhostile\n{line}\n{line}\n" + "\n" * 6)
    assert done.returncode == 0, done.stdout
    assert_holds(tmp_path / "hostile", line)


@pytest.mark.parametrize("text", [pytest.param(HOSTILE[name], id=name) for name in HOSTILE if name not in ONLY_AS_TEXT])
def test_passed_text_is_text(rendered: Render, text: str) -> None:
    """The same text passed as arguments, line breaks included, comes out on one line and otherwise unchanged."""
    assert_holds(rendered(**hostile_answers(text)), text)


@pytest.mark.parametrize("text", [pytest.param(HOSTILE[name], id=name) for name in ("jinja", "statement", "quotes")])
def test_replayed_text_is_text(cookiecutter: Cookiecutter, tmp_path: Path, text: str) -> None:
    """Text that was typed once is replayed as text: it is not evaluated the second time either."""
    line = collapsed(text)
    typed = f"{line}\nhostile\n{line}\n{line}\n" + "\n" * 6
    assert cookiecutter(".", "--output-dir", tmp_path / "a", typed=typed).returncode == 0
    done = cookiecutter("--replay", ".", "--output-dir", tmp_path / "b")
    assert done.returncode == 0, done.stdout
    assert_holds(tmp_path / "b" / "hostile", line)


@pytest.mark.parametrize(("answers", "message"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_bad_answers_are_refused(
    cookiecutter: Cookiecutter, tmp_path: Path, answers: dict[str, str], message: str
) -> None:
    """A bad answer ends in a message that names the prompt, the value and what to do, and leaves nothing behind."""
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    done = cookiecutter("--no-input", ".", *(f"{name}={value}" for name, value in answers.items()), "--output-dir", out)
    assert done.returncode == 1
    assert message in done.stdout
    assert list(out.iterdir()) == []
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_white_space_typed_as_the_slug_is_refused(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """A space typed at the slug's prompt is an empty slug: refused, and not the output folder itself."""
    done = cookiecutter(".", "--output-dir", tmp_path, typed="Shop\n \n" + "\n" * 8)
    assert done.returncode == 1
    assert "project_slug: '' is empty; give a name such as my-service" in done.stdout
    assert left_behind(tmp_path) == []


def test_all_problems_are_told_at_once(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """Three bad answers are three lines, so nobody has to start three times."""
    answers = ("project_name= ", "project_slug=fastapi", "author_email=nobody")
    done = cookiecutter("--no-input", ".", *answers, "--output-dir", tmp_path)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert [line.split(":")[0] for line in lines if line.startswith(("project_", "author_"))] == [
        "project_name",
        "project_slug",
        "author_email",
    ]


@pytest.mark.parametrize("prompt", [name for name, default in PROMPTS.items() if isinstance(default, list)])
def test_a_value_that_is_no_choice_is_refused(cookiecutter: Cookiecutter, tmp_path: Path, prompt: str) -> None:
    """A choice that does not exist ends in a last line that names the prompt, the value and the choices."""
    done = cookiecutter("--no-input", ".", f"{prompt}=memcached", "--output-dir", tmp_path)
    assert done.returncode != 0
    last = done.stdout.strip().splitlines()[-1]
    assert f"memcached provided for choice variable {prompt}, but the choices are {PROMPTS[prompt]}" in last
    assert left_behind(tmp_path) == []


def test_an_existing_folder_is_not_touched(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """A folder that is already there stays as it is, and the message names it."""
    note = tmp_path / "my-service" / "note.txt"
    note.parent.mkdir()
    note.write_text("mine", encoding="utf-8")
    done = cookiecutter("--no-input", ".", "--output-dir", tmp_path)
    assert done.returncode == 1
    assert '/my-service" directory already exists' in done.stdout
    assert [path.read_text(encoding="utf-8") for path in note.parent.iterdir()] == ["mine"]


def test_generating_again_leaves_history_alone(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """--overwrite-if-exists puts the files back, of this variant only, and commits nothing."""
    arguments = ("--no-input", ".", "cache_backend=none", "--overwrite-if-exists", "--output-dir", tmp_path)
    assert cookiecutter(*arguments).returncode == 0
    project = tmp_path / "my-service"
    before = {path: path.read_bytes() for path in project_files(project)}
    (project / "pyproject.toml").write_text("", encoding="utf-8")
    done = cookiecutter(*arguments)
    assert done.returncode == 0, done.stdout
    assert "already is a git repository" in done.stdout
    assert {path: path.read_bytes() for path in project_files(project)} == before
    assert run_program(["git", "rev-list", "--count", "HEAD"], cwd=project).stdout.strip() == "1"


def test_accents_do_not_need_a_utf8_terminal(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """On a terminal that knows only ASCII, a name with accents still makes a project."""
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = cookiecutter("--no-input", ".", "project_name=Café", "--output-dir", tmp_path, env=ascii_only)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "cafe").is_dir()


def test_git_is_told_the_typed_author(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    """The first commit is by the author who was typed, whatever characters the name holds."""
    done = cookiecutter(
        ".", "--output-dir", tmp_path, typed='Shop\n\n\nAda "É" {{ x }} O\'Neil\nada@example.org\n' + "\n" * 5
    )
    assert done.returncode == 0, done.stdout
    log = subprocess.run(
        ["git", "log", "--format=%an|%ae|%s"], cwd=tmp_path / "shop", capture_output=True, text=True, check=True
    )
    assert log.stdout == 'Ada "É" {{ x }} O\'Neil|ada@example.org|Generate the project\n'
