"""Finish the project: remove what the answers leave out, make the first commit, say what to do next.

An option adds or removes whole files. They all stand in one table; to add an option, add its line there.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

GRAPH = [
    "migrations/versions/0003_follows.py",
    "src/{package}/infrastructure/cypher.py",
    "src/{package}/infrastructure/graph.py",
    "src/{package}/social",
    "tests/integration/test_graph.py",
    "tests/integration/test_social.py",
    "tests/unit/test_graph_names.py",
]

#: prompt -> answer -> the paths that a project with this answer does not have. `{package}` is the import package.
LEFT_OUT: dict[str, dict[str, list[str]]] = {
    "cache_backend": {
        "redis": GRAPH,
        "valkey": GRAPH,
        "none": [
            *GRAPH,
            "docs/architecture.md",
            "docs/cache-graph.md",
            "docs/operations.md",
            "migrations/versions/0002_outbox.py",
            "migrations/versions/0006_audit_log.py",
            "src/{package}/accounts/shared_limits.py",
            "src/{package}/accounts/tasks.py",
            "src/{package}/api/admin",
            "src/{package}/api/job_access.py",
            "src/{package}/api/job_events.py",
            "src/{package}/api/job_problems.py",
            "src/{package}/api/job_routes.py",
            "src/{package}/api/jobs.py",
            "src/{package}/api/stopping.py",
            "src/{package}/billing/tasks.py",
            "src/{package}/console",
            "src/{package}/infrastructure/audit",
            "src/{package}/infrastructure/cache.py",
            "src/{package}/infrastructure/embedded.py",
            "src/{package}/infrastructure/jobs",
            "src/{package}/infrastructure/mail_tasks.py",
            "src/{package}/infrastructure/outbox.py",
            "src/{package}/infrastructure/session_scripts.py",
            "src/{package}/infrastructure/tasks.py",
            "src/{package}/reports/cleanup/tasks.py",
            "src/{package}/reports/daily/job_figures.py",
            "src/{package}/reports/daily/job_routes.py",
            "src/{package}/reports/daily/tasks.py",
            "src/{package}/reports/exports/job_routes.py",
            "src/{package}/reports/exports/sessions.py",
            "src/{package}/reports/exports/tasks.py",
            "src/{package}/reports/job_routes.py",
            "src/{package}/reports/newsletter/job_routes.py",
            "src/{package}/reports/newsletter/tasks.py",
            "src/{package}/reports/tasks.py",
            "tests/e2e/billing",
            "tests/e2e/everybody.py",
            "tests/e2e/pages.py",
            "tests/e2e/reports",
            "tests/e2e/streams.py",
            "tests/e2e/test_generated_client.py",
            "tests/e2e/test_job_events.py",
            "tests/e2e/test_pages.py",
            "tests/integration/accounts",
            "tests/integration/admin",
            "tests/integration/billing",
            "tests/integration/conftest.py",
            "tests/integration/console",
            "tests/integration/jobs",
            "tests/integration/reports",
            "tests/integration/test_embedded.py",
            "tests/integration/test_jobs_api.py",
            "tests/integration/test_mail_tasks.py",
            "tests/integration/test_sessions.py",
            "tests/postgres.py",
            "tests/unit/accounts/test_tasks.py",
            "tests/unit/admin",
            "tests/unit/billing/test_tasks.py",
            "tests/unit/console",
            "tests/unit/jobs",
            "tests/unit/reports/test_exports_tasks.py",
            "tests/unit/reports/test_tasks.py",
            "tests/unit/test_stopping.py",
        ],
    },
    "include_examples": {
        "no": [
            "docs/billing.md",
            "docs/reports.md",
            "migrations/versions/0004_billing.py",
            "migrations/versions/0005_reports.py",
            "src/{package}/billing",
            "src/{package}/reports",
            "tests/e2e/billing",
            "tests/e2e/everybody.py",
            "tests/e2e/reports",
            "tests/integration/billing",
            "tests/integration/reports",
            "tests/unit/billing",
            "tests/unit/reports",
        ],
    },
    "ci_provider": {
        "github": [".gitlab-ci.yml"],
        "gitlab": [".github"],
        "none": [".github", ".gitlab-ci.yml"],
    },
}

#: Variables that point git at another repository than the one in the project's folder.
GIT_REDIRECTIONS = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"}

Answers = dict[str, str]


def remove_left_out(project: Path, answers: Answers) -> None:
    """Remove the paths that the answers leave out; one that is not there means that the table is wrong."""
    paths = [
        project / path.format(package=answers["__package"])
        for prompt, left_out in LEFT_OUT.items()
        for path in left_out.get(answers[prompt], [])
    ]
    missing = [path.relative_to(project).as_posix() for path in paths if not path.exists()]
    if missing:
        raise SystemExit(f"The table in hooks/post_gen_project.py names paths that do not exist: {', '.join(missing)}")
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # two answers may leave it out


def first_commit(project: Path, answers: Answers) -> str:
    """Put the project under version control; the answer is a line that says what happened, never an exception."""
    git = shutil.which("git")
    if git is None:
        return "git is not on PATH, so there is no repository yet: install git, then `git init`."
    if (project / ".git").exists():
        return "The folder already is a git repository, so nothing was committed."
    settings = {
        "user.name": answers["__author"],
        "user.email": answers["author_email"],
        "commit.gpgsign": "false",
        "core.hooksPath": os.devnull,
        "init.defaultBranch": "main",
    }
    command = [git, *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))]
    environment = {name: value for name, value in os.environ.items() if name not in GIT_REDIRECTIONS}
    for step in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "Generate the project"],
    ):
        try:
            done = subprocess.run(
                [*command, *step],
                cwd=project,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=60,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"`git {step[0]}` did not work ({error}); commit the project yourself."
        if done.returncode:
            reason = " ".join(done.stderr.decode(errors="replace").split()) or f"exit status {done.returncode}"
            return f"`git {step[0]}` did not work ({reason}); commit the project yourself."
    return "git: the first commit is made, on the branch main."


def next_steps(project: Path, answers: Answers, git_line: str) -> str:
    """Tell what to type next; true for this variant, and on a machine without uv or just too."""
    starts = {
        "none": "the API on http://127.0.0.1:8000, with reload; Ctrl-C stops it",
        "redis": "Redis, the API on http://127.0.0.1:8000 and a worker, both with reload; Ctrl-C stops all",
    }
    steps = [
        (f"cd {shlex.quote(str(project))}", ""),
        ("uv sync", "install what the project needs into its own .venv"),
        ("just dev", starts["none" if answers["cache_backend"] == "none" else "redis"]),
        ("just test", "run its tests"),
        ("just", "list everything else"),
    ]
    lines = [bold(f"{answers['__name']} is ready."), git_line, ""]
    lines += [f"  {bold(f'{command:<11}')}{'  ' if why else ''}{dim(why)}".rstrip() for command, why in steps]
    for program, line in {
        "uv": "uv is not on PATH: `pip install uv` brings it.",
        "just": "just is not on PATH: `uv tool install rust-just` brings it, or type `uv run just` for `just`.",
    }.items():
        if shutil.which(program) is None:
            lines += ["", line]
    return "\n".join(lines)


def bold(text: str) -> str:
    """Stress `text` where the output can show it."""
    return styled("1", text)


def dim(text: str) -> str:
    """Take `text` back where the output can show it."""
    return styled("2", text)


def styled(code: str, text: str) -> str:
    """Wrap `text` in an ANSI style: only on a terminal, and not when NO_COLOR is set."""
    if not text or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def main(answers: Answers) -> None:
    """Run in the new project's folder, as Cookiecutter does."""
    project = Path.cwd()
    remove_left_out(project, answers)
    text = next_steps(project, answers, first_commit(project, answers))
    encoding = sys.stdout.encoding or "utf-8"  # a terminal that cannot show an accent is no reason to fail
    print("\n" + text.encode(encoding, "replace").decode(encoding), flush=True)


if __name__ == "__main__":
    main(json.loads(r'''{{ cookiecutter | tojson }}'''))  # fmt: skip # noqa: Q001 - JSON is full of the other quote
