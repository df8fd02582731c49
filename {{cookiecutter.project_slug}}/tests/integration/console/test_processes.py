"""The commands as processes of their own on a real Redis: in a pipe, in a terminal, with signals, and in the shell."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from {{ cookiecutter.__package }}.infrastructure.tasks import example_task, get_job_manager

from integration.console.terminals import PATIENCE, PROGRAM, terminal
from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.conftest import RunJobs

pytestmark = pytest.mark.usefixtures("tables", "redis_url")

WORKER = "{{ cookiecutter.__package }}.infrastructure.tasks.WorkerSettings"
COMPLETE = "_{{ cookiecutter.__package }}_complete".upper()


class Done(NamedTuple):
    """How a command has ended."""

    status: int
    stdout: str
    stderr: str


async def start(*words: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *words,
        env={**os.environ, "COLUMNS": "80", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*words: str, **environment: str) -> Done:
    """Run a command in a pipe."""
    process = await start(str(PROGRAM), *words, **environment)
    async with asyncio.timeout(PATIENCE):
        stdout, stderr = await process.communicate()
    return Done(int(process.returncode or 0), stdout.decode(), stderr.decode())


@pytest.fixture
async def worker() -> AsyncIterator[Any]:
    """Run a worker of the project."""
    async with command("arq", WORKER, REDIS_ALLOW_NO_PERSISTENCE="true") as process:
        await process.until("Starting worker")
        listening = asyncio.create_task(process.listen())
        yield process.process
        with suppress(ProcessLookupError):
            process.process.terminate()
        await listening


async def test_a_job_from_beginning_to_end(worker: asyncio.subprocess.Process) -> None:
    """It is enqueued, watched and listed, and so is the worker."""
    done = await run("enqueue", "example_task", "message=hello", "--wait")
    assert (done.status, done.stderr) == (0, "")
    job_id, *changes, last = done.stdout.splitlines()
    assert last.startswith(f"{job_id}: success after")
    assert changes[-1].split("\t")[1:] == [job_id, "success", "1", "", "", "hello (try 1)"]
    [row] = [line.split("\t") for line in (await run("jobs")).stdout.splitlines()]
    assert (row[0], row[2]) == (job_id, "success")
    [row] = [line.split("\t") for line in (await run("workers")).stdout.splitlines()]
    assert (row[2], row[3]) == (str(worker.pid), "running")


async def test_a_failure_is_a_status_that_scripts_can_use(run_jobs: RunJobs) -> None:
    """Of whoever waits for the job, and of whoever watches it afterwards."""
    waiting = await start(str(PROGRAM), "enqueue", "example_task", "message=x", 'seconds="x"', "--wait")
    assert waiting.stdout is not None
    async with asyncio.timeout(PATIENCE):
        job_id = (await waiting.stdout.readline()).decode().strip()
        await run_jobs(example_task)
        _, stderr = await waiting.communicate()
    assert (waiting.returncode, stderr.decode().startswith(f"{job_id}: failed after")) == (1, True)
    assert "TypeError" in (await run("jobs", "show", job_id)).stdout
    done = await run("jobs", "watch", job_id, "--json")
    assert (done.status, json.loads(done.stdout)["tries"]) == (1, 3)


async def test_a_worker_is_told_to_rest_and_to_end(worker: asyncio.subprocess.Process) -> None:
    """It obeys, and its process ends."""
    assert (await run("workers", "quiet", "--all")).status == 0
    async with asyncio.timeout(PATIENCE):
        while "quiet" not in (await run("workers")).stdout:
            pass
        done = await run("workers", "stop", "--all", "--json")
        assert len(json.loads(done.stdout)["done"]) == 1
        await worker.wait()


async def test_watching_shows_progress(pool: TaskPool, run_jobs: RunJobs) -> None:
    """With --json a document a line for each change, secrets hidden, until the job ends."""
    seen = asyncio.Event()

    async def climb(ctx: Any, _word: str, password: str) -> str:
        await ctx.progress(1, 3, f"{len(password)} of it")
        await seen.wait()
        return "top"

    job_id = str(await pool.enqueue("climb", ("by position",), {"password": "secret"}))
    watching = await start(str(PROGRAM), "jobs", "watch", job_id, "--json")
    assert watching.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert json.loads(await watching.stdout.readline())["status"] == "pending"
        working = asyncio.create_task(run_jobs(climb))
        record: dict[str, Any] = {}
        while not record.get("progress"):
            record = json.loads(await watching.stdout.readline())
        assert record["progress"] == {"done": 1, "total": 3, "message": "6 of it"}
        assert record["kwargs"] == {"password": "***"}
        seen.set()
        rest, errors = await watching.communicate()
        await working
    assert (watching.returncode, errors) == (0, b"")
    assert json.loads(rest.splitlines()[-1])["result"] == "top"


async def test_ctrl_c_ends_the_watching_and_not_the_job(pool: TaskPool) -> None:
    """The status is 130, as of any program; there is no trace."""
    job_id = str(await pool.enqueue("climb"))
    watching = await start(str(PROGRAM), "jobs", "watch", job_id)
    assert watching.stdout is not None
    await watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    async with asyncio.timeout(PATIENCE):
        _, errors = await watching.communicate()
    assert (watching.returncode, errors.decode()) == (130, f"{job_id}: goes on, but is no longer watched\n")
    record = await (await get_job_manager()).get_status(job_id)
    assert record is not None
    assert record.status == "pending"


async def test_a_terminal_gets_tables_in_colour(pool: TaskPool) -> None:
    """Without any colour where NO_COLOR is set."""
    job_id = str(await pool.enqueue("climb"))
    await pool.cancel(job_id)
    async with terminal("jobs") as shown:
        assert await shown.end() == 0
    assert "\x1b[33m" in shown.shown
    assert job_id in shown.shown
    async with terminal("jobs", NO_COLOR="1") as shown:
        assert await shown.end() == 0
    heading, _, row = shown.shown.split("\r\n")[:3]
    assert heading.split()[:3] == ["id", "task", "status"]
    assert row.split()[:3] == [job_id, "climb", "cancelled"]
    assert "\x1b" not in shown.shown


async def test_a_terminal_gets_a_progress_bar(pool: TaskPool, run_jobs: RunJobs) -> None:
    """And in the end one line, that stays."""
    job_id = str(await pool.enqueue("climb"))

    async def climb(ctx: Any) -> str:
        await ctx.progress(1, 3, "half-way")
        await seen.wait()
        return "top"

    seen = asyncio.Event()
    async with terminal("jobs", "watch", job_id) as shown:
        await shown.until("pending")
        working = asyncio.create_task(run_jobs(climb))
        await shown.until("half-way")
        seen.set()
        assert await shown.end() == 0
        await working
    assert "1/3" in shown.shown
    assert f"{job_id}: success" in shown.shown.splitlines()[-1]


@pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, 0), ("n\n", 1, 3), ("\n", 1, 3), ("\x03", 130, 3)])
async def test_what_cannot_be_undone_is_asked_for(pool: TaskPool, answer: str, status: int, left: int) -> None:
    """Only a yes is a yes; Ctrl-C is status 130."""
    for _ in range(3):
        await pool.enqueue("climb")
    async with terminal("queues", "purge", "default") as shown:
        await shown.until("Cancel 3 jobs waiting in default? [y/N]")
        assert await shown.end_by(answer) == status
    assert "Traceback" not in shown.shown
    assert await (await get_job_manager()).queue_length() == left


async def test_many_are_acted_on_with_a_progress_bar(pool: TaskPool) -> None:
    """After they were counted, and a yes."""
    await pool.enqueue_many("climb", [{}] * 1200)
    async with terminal("jobs", "cancel", "--all", "--task", "climb") as shown:
        await shown.until("Cancel 1,200 jobs? [y/N]")
        shown.type("y\n")
        assert await shown.end() == 0
    assert "done with 1,200 of 1,200 jobs" in shown.shown
    assert await (await get_job_manager()).queue_length() == 0


@pytest.mark.parametrize("words", ["jobs -n 3000", "queues pause a b c"])
async def test_a_pipe_may_be_closed_early(pool: TaskPool, words: str) -> None:
    """`... | head -1` leaves no trace of the rest, and no complaint about a server."""
    await pool.enqueue_many("climb", [{}] * 3000)
    process = await start("sh", "-c", f"'{PROGRAM}' {words} | head -1")
    async with asyncio.timeout(PATIENCE):
        stdout, stderr = await process.communicate()
    assert (process.returncode, len(stdout.splitlines()), stderr) == (0, 1, b"")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["jobs"], 3, "Redis does not answer"),
        (["enqueue", "example_task", "message=x"], 3, "Redis does not answer"),
        (["workers", "stop", "x"], 3, "Redis does not answer"),
        (["enqueue", "exampl_task"], 2, "did you mean 'example_task'"),
    ],
)
async def test_problems_are_a_line_and_a_status(words: list[str], status: int, said: str) -> None:
    """Standard output stays empty, so that nobody takes it for an answer."""
    done = await run(*words, REDIS_URL="redis://127.0.0.1:1")
    assert (done.status, done.stdout) == (status, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_a_database_that_cannot_be_used_is_status_3(tmp_path: Path) -> None:
    """It is away, or not migrated; what cannot be written down is not done."""
    for url in ("postgresql://nobody@127.0.0.1:1/nothing", f"sqlite:///{tmp_path}/empty.db"):
        done = await run("queues", "pause", "default", DATABASE_URL=url)
        assert (done.status, done.stdout, len(done.stderr.splitlines())) == (3, "", 1)
        assert "the database cannot be used" in done.stderr
    assert not (await (await get_job_manager()).get_queue()).paused


@pytest.mark.parametrize("words", ["jobs", "dead", "queues", "schedules", "workers", "overview"])
async def test_a_look_loads_neither_tasks_nor_database(words: str) -> None:
    """That would take longer than all the rest."""
    done = await run(words, PYTHONPROFILEIMPORTTIME="1", DATABASE_URL="bogus")
    assert done.status == 0
    loaded = [name for name in ("sqlalchemy", "jinja2", ".infrastructure.tasks", "fastapi") if name in done.stderr]
    assert loaded == []


async def test_the_help_is_quick_and_needs_nothing() -> None:
    """Neither a server nor good settings; the engine is not even loaded."""
    for words in (["jobs", "--help"], ["jobs", "list", "--help"], ["enqueue", "--help"]):
        done = await run(*words, REDIS_URL="bogus", PYTHONPROFILEIMPORTTIME="1")
        assert done.status == 0
        assert "Usage" in done.stdout
        assert "sqlalchemy" not in done.stderr
        assert "arq.worker" not in done.stderr


async def test_bash_completes(pool: TaskPool) -> None:
    """As its own script asks: commands, options, statuses, tasks and ids; and it says nothing where Redis is away."""
    job_id = str(await pool.enqueue("climb"))
    script = """
        PATH="$(dirname "$PROGRAM"):$PATH"; name="$(basename "$PROGRAM")"
        eval "$(env "$COMPLETE=source_bash" "$name")"
        COMP_WORDS=("$name" "$@"); COMP_CWORD=$#
        "$(complete -p "$name" | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" "$name"
        printf '%s\\n' "${COMPREPLY[@]}"
    """

    async def complete(*words: str, **environment: str) -> list[str]:
        environment |= {"PROGRAM": str(PROGRAM), "COMPLETE": COMPLETE}
        process = await start("bash", "-c", script, "bash", *words, **environment)
        async with asyncio.timeout(PATIENCE):
            stdout, stderr = await process.communicate()
        assert stderr == b""
        return stdout.decode().split()

    assert await complete("enq") == ["enqueue"]
    assert await complete("jobs", "") == ["list", "show", "watch", "retry", "cancel"]
    assert await complete("jobs", "--status", "fa") == ["failed"]
    assert await complete("jobs", "--st") == ["--status"]
    assert await complete("enqueue", "example") == ["example_task"]
    assert await complete("jobs", "show", job_id[:5]) == [job_id]
    assert await complete("jobs", "show", "", REDIS_URL="redis://127.0.0.1:1") == []
    assert await complete("jobs", "show", "", REDIS_URL="bogus") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_there_is_a_script_for_each_shell(shell: str) -> None:
    """`--show-completion` prints it."""
    done = await run(**{COMPLETE: f"source_{shell}"})
    assert done.status == 0
    assert f"complete_{shell}" in done.stdout
