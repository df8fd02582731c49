"""CPU-bound functions in processes of their own: what reaches them, what comes back, and how they end."""

from __future__ import annotations

import asyncio
import functools
import logging
import multiprocessing
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import Progress, Retry
from {{ cookiecutter.__package }}.infrastructure.jobs.context import TaskContext
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import ProcessDiedError, UnimportableTaskError
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import function_of
from {{ cookiecutter.__package }}.infrastructure.jobs.running.processes import (
    ProcessPool,
    _Process,
    place_of,
)

from integration.jobs import burners
from processes import command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

TESTS = str(Path(__file__).parents[2])
#: Seconds after which what does not happen is taken never to happen.
PATIENCE = 60


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again until the condition holds; for what only a file or the system tells."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


def living() -> dict[int, int]:
    """Give the parent of each process that lives; one that has ended, and that nobody has asked about, does not."""
    lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, check=True, text=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def is_gone(pid: int) -> bool:
    return pid not in living()


async def pid_in(told: Path) -> int:
    """Wait until a function has said which process it burns in."""
    await until(told.exists)
    return int(told.read_text())  # noqa: ASYNC240 - a few bytes


class Context(TaskContext):
    """A context that keeps what it is told."""

    def __init__(self, **values: Any) -> None:
        self.reported: list[Progress] = []
        self.deadlines: list[float] = []

        async def save(progress: Progress) -> None:
            self.reported.append(progress)

        super().__init__(values, move_deadline=self.deadlines.append, save_progress=save)


@pytest.fixture
def processes() -> Iterator[ProcessPool]:
    pool = ProcessPool(2)
    yield pool
    pool.close()


@pytest.fixture
def run(processes: ProcessPool) -> Callable[..., Any]:
    async def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await processes.run(function, Context(), args, kwargs)

    return run


# What goes there and back


async def test_a_process_is_used_again(run: Callable[..., Any]) -> None:
    """Functions run in another process than the worker's, one after the other in the same one."""
    pids = {await run(burners.pid) for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids


async def test_functions_run_at_once_up_to_the_limit(run: Callable[..., Any], tmp_path: Path) -> None:
    """Two functions that wait for each other end where two may run; a third takes the place of one of them."""
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    first, second, third = await asyncio.gather(run(burners.meets, a, b), run(burners.meets, b, a), run(burners.pid))
    assert first != second
    assert third in {first, second}


async def test_arguments_and_results_go_unchanged(run: Callable[..., Any]) -> None:
    """Plain data of any size, by position and by name, comes back as it went."""
    large = b"x" * 20_000_000
    assert await run(burners.echo, 1, large, name={"a": [1.5, None]}) == ((1, large), {"name": {"a": [1.5, None]}})


async def test_the_context_holds_what_is_plain(processes: ProcessPool) -> None:
    """Text and numbers of the context go along, a connection to Redis does not."""
    ctx = Context(job_id="a", job_try=2, redis=object(), settings={"a": 1})
    assert await processes.run(burners.context, ctx, (), {}) == {"job_id": "a", "job_try": 2}


async def test_progress_and_the_deadline_reach_the_worker(processes: ProcessPool) -> None:
    """`ctx.progress` and `ctx["job_timeout"]` work as in a thread."""
    ctx = Context()
    await processes.run(burners.reports, ctx, (), {})
    await ctx.save_progress()
    assert ctx.reported == [Progress(3, 4, "nearly")]
    assert ctx.deadlines == [3600]


async def test_log_lines_reach_the_worker(run: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """What a function logs, by logging or structlog, is logged by the worker, if the level is; tracebacks too."""
    caplog.set_level(logging.INFO)
    await run(burners.logs)
    first, second = (record for record in caplog.records if record.name == "burners")
    assert first.getMessage() == "from the library"
    assert (second.getMessage().splitlines()[0], second.__dict__["number"]) == ("from the project", 7)
    assert "ValueError: invalid literal" in second.getMessage()


async def test_lines_below_the_workers_level_are_dropped(
    run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The levels that the worker sets for single loggers hold for what comes from a process, too."""
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.ERROR, "burners")
    await run(burners.logs)
    assert [record.levelname for record in caplog.records if record.name == "burners"] == ["ERROR"]


# What goes wrong


async def test_an_error_comes_back_as_it_was_raised(run: Callable[..., Any]) -> None:
    """Also one that pickle could not carry: its class, message, cause and traceback are there."""
    with pytest.raises(burners.OddError, match=r"odd \(7\)") as caught:
        await run(burners.fails)
    assert caught.value.code == 7
    assert isinstance(caught.value.__cause__, ValueError)
    assert "raise OddError(7" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (burners.runs_out, EOFError),
        (burners.asks_again, Retry),
        (burners.returns_a_function, Exception),
    ],
)
async def test_an_error_leaves_the_process_fit(
    function: Callable[..., Any], error: type[Exception], run: Callable[..., Any]
) -> None:
    """A function that raises, or returns what no process can pass on, fails, and its process runs the next."""
    before = await run(burners.pid)
    with pytest.raises(error) as caught:
        await run(function)
    assert caught.type is not ProcessDiedError
    assert await run(burners.pid) == before


async def test_a_wish_for_another_try_keeps_its_delay(run: Callable[..., Any]) -> None:
    """`raise Retry(defer=60)` asks for 60 seconds from a process, too."""
    with pytest.raises(Retry) as caught:
        await run(burners.asks_again)
    assert caught.value.defer_score == 60_000


@pytest.mark.parametrize(
    ("function", "args", "manner"),
    [
        (burners.dies, (3,), "ended with status 3"),
        (burners.dies, (-signal.SIGSEGV,), "was ended by SIGSEGV"),
        (burners.dies, (-signal.SIGKILL,), "was ended by SIGKILL, perhaps since the machine ran out of memory"),
        (burners.leaves, (), "ended with status 5"),
    ],
)
async def test_a_process_that_dies_fails_its_call_alone(
    function: Callable[..., Any], args: tuple[Any, ...], manner: str, run: Callable[..., Any], tmp_path: Path
) -> None:
    """The error says how it ended; a function in another process is not harmed, and the next call gets a new one."""
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    neighbour = asyncio.create_task(run(burners.meets, a, b))
    await until(Path(a).exists)
    with pytest.raises(ProcessDiedError, match=f"burners:{function.__name__}: its process {manner}$"):
        await run(function, *args)
    assert await run(burners.pid)
    await asyncio.to_thread(Path(b).touch)
    assert await neighbour


async def test_an_idle_process_that_dies_is_replaced(run: Callable[..., Any]) -> None:
    """A process that was killed between two calls harms nobody."""
    before = await run(burners.pid)
    os.kill(before, signal.SIGKILL)
    await until(lambda: is_gone(before))
    assert await run(burners.pid) != before


# How they end


@pytest.mark.parametrize("function", [burners.spins, burners.sits])
async def test_a_cancelled_function_is_killed(
    function: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    """A cancellation ends the function, whatever it does, and the next call gets a new process."""
    call = asyncio.create_task(run(function, str(tmp_path / "pid")))
    pid = await pid_in(tmp_path / "pid")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: is_gone(pid))
    assert await run(burners.pid) != pid


@pytest.mark.parametrize("turns", range(6))
async def test_a_call_cancelled_at_its_start_leaves_nothing(
    turns: int, processes: ProcessPool, run: Callable[..., Any]
) -> None:
    """However early the cancellation comes, no process stays that nobody uses, and no slot is lost."""
    for _ in range(3):
        call = asyncio.create_task(run(burners.pid))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.gather(run(burners.pid), run(burners.pid))
    assert len(processes._idle) == 2
    ours = {process._process.pid for process in processes._idle}
    await until(lambda: {child.pid for child in multiprocessing.active_children()} == ours)


def test_a_process_killed_before_it_was_started_never_starts() -> None:
    """A cancellation may come while the thread that is to start a process has not begun."""
    process = _Process()
    process.kill()
    with pytest.raises(ChildProcessError, match="cancelled before it had started"):
        process.call(("x:y", {}, (), {}), Context.__new__(Context))
    assert multiprocessing.active_children() == []


async def test_a_closed_pool_leaves_no_process(processes: ProcessPool, run: Callable[..., Any]) -> None:
    """`close` returns when what is idle has ended, in order; used again, the pool starts anew."""
    before = await run(burners.pid)
    ended = {process._process for process in processes._idle}
    processes.close()
    assert is_gone(before)
    assert [process.exitcode for process in ended] == [0]
    assert await run(burners.pid) != before


async def test_signals_to_the_workers_group_do_not_reach_it(run: Callable[..., Any]) -> None:
    """Ctrl-C in a terminal is for the worker alone: the processes are in groups of their own."""
    pid, group = await run(burners.group)
    assert group == pid
    assert os.getpgid(0) != group


# Which functions


async def test_a_decorated_function_is_found(run: Callable[..., Any]) -> None:
    """A module holds the `Task`, the process runs the function."""
    assert await run(function_of(burners.decorated), 1) == 2


async def test_a_function_inside_a_class_is_found(run: Callable[..., Any]) -> None:
    """A static method is a plain function, too."""
    assert await run(burners.Holder.inside) == "inside"


def local(ctx: dict[str, Any]) -> None: ...


local.__module__ = "__main__"


def lost(ctx: dict[str, Any]) -> None: ...


lost.__module__ = "nowhere"


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda ctx: ctx, r"<lambda> is a lambda, or defined inside another function"),
        (burners.wrapping(burners.pid), r"burners.pid is not what its module holds under that name"),
        (burners.hides, r"burners._hidden is not what its module holds"),
        (burners.Holder().method, r"burners.Holder.method is not what its module holds"),
        (burners.asynchronous, r"burners.asynchronous is `async def`"),
        (functools.partial(burners.pid), r"is no function"),
        (lost, r"nowhere.lost is not what its module holds"),
        (local, r"__main__.local is defined in the program that was started"),
    ],
)
def test_what_no_process_could_import_is_refused(function: Callable[..., Any], problem: str) -> None:
    """The error names the function and says what is wrong with it."""
    with pytest.raises(UnimportableTaskError, match=problem):
        place_of(function)


# Whole workers


@pytest.mark.parametrize("name", ["burns", "sleeps"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_no_process_outlives_its_worker(
    number: signal.Signals, name: str, pool: TaskPool, redis_url: str, tmp_path: Path
) -> None:
    """Whether the worker is killed or told to stop, the function that runs ends, and so does every other process."""
    told = tmp_path / "pid"
    await pool.enqueue(name, (str(told),), job_id="a")
    async with command("arq", "integration.jobs.burners.SETTINGS", PYTHONPATH=TESTS, REDIS_URL=redis_url) as worker:
        pid = await pid_in(told)
        family = descendants(worker.process.pid)
        assert pid in family
        worker.process.send_signal(number)
        assert await worker.end() == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        await until(lambda: all(map(is_gone, family)))
    if number != signal.SIGKILL:
        assert "cancelled, will be run again" in worker.output
        assert "Traceback" not in worker.output


def descendants(pid: int) -> set[int]:
    """Give the processes that a process has started, and those that these have."""
    found = {child for child, parent in living().items() if parent == pid}
    return found.union(*map(descendants, found))
