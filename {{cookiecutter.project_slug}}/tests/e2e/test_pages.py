"""Every command of the pages for those who run the service, run in order on a whole service, prints what they show."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import AsyncExitStack, ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.audit import audited, cli_actor
from {{ cookiecutter.__package }}.infrastructure.database import close_database
from {{ cookiecutter.__package }}.infrastructure.embedded import embedded_redis
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    WorkerSettings,
    close_task_pool,
    get_job_manager,
    get_task_pool,
)

from e2e.pages import Comparison, Step, shell, steps
from processes import Process, command, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from e2e.pages import Shell

PROJECT = Path(__file__).parents[2]
OPERATIONS = (PROJECT / "docs/operations.md").read_text()
BACKGROUND = (PROJECT / "docs/background-tasks.md").read_text()
MONITORING = BACKGROUND[BACKGROUND.index("## Monitoring\n") : BACKGROUND.index("## Once-only effects\n")]

#: The release that comes next: it has one more task, of which one job runs at a time.
NEXT_RELEASE = f"""
import asyncio
from {WorkerSettings.__module__} import WorkerSettings as Settings
from {{ cookiecutter.__package }}.infrastructure.jobs import task

@task(concurrency=1)
async def make_thumbnail(ctx, number: int) -> None:
    await asyncio.sleep(600)

WorkerSettings = type("Settings", (), dict(vars(Settings), functions=[*Settings.functions, make_thumbnail]))
"""
#: Looks at what may be about to change, and changes nothing: worth another look.
LOOK = re.compile(
    r"\S+ (workers|queues|jobs|dead|schedules|overview|audit|worker-check)( show \S+| -.*)?|curl -s \S+/\S+"
)
#: Seconds until what the page shows is there.
SOON = 30.0


class Service:
    """A whole service, and what happens to it."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._workers: list[Process] = []
        self._redis = ExitStack()
        self._port = free_port()
        stack.callback(self._redis.close)

    def start_redis(self) -> str:
        """Start Redis, with the data that it had."""
        return self._redis.enter_context(embedded_redis(self._folder / "redis", self._port))

    def stop_redis(self) -> None:
        """Stop Redis."""
        self._redis.close()

    def make_next_release(self) -> None:
        """Make the release that comes next, in a folder of its own."""
        folder = self._folder / "next"
        about = folder / "{{ cookiecutter.__package }}-0.2.0.dist-info" / "METADATA"
        about.parent.mkdir(parents=True)
        about.write_text("Metadata-Version: 2.1\nName: {{ cookiecutter.project_slug }}\nVersion: 0.2.0\n")
        (folder / "next_release.py").write_text(NEXT_RELEASE)

    async def start_worker(self, **environment: str) -> None:
        """Start a worker."""
        await self._start_worker(WorkerSettings.__module__, **environment)

    async def start_next_worker(self, **environment: str) -> None:
        """Start a worker of the release that comes next."""
        await self._start_worker("next_release", PYTHONPATH=str(self._folder / "next"), **environment)

    async def _start_worker(self, module: str, **environment: str) -> None:
        worker = await self._stack.enter_async_context(command("arq", f"{module}.WorkerSettings", **environment))
        await worker.until("Starting worker for")
        self._stack.push_async_callback(cancelled, asyncio.create_task(worker.listen()))
        self._workers.append(worker)

    async def stop_workers(self) -> None:
        """Stop all workers."""
        for worker in self._workers:
            if worker.process.returncode is None:
                worker.process.terminate()
            await worker.process.wait()
        self._workers.clear()

    async def enqueue(self, task: str, count: int = 1, *, queue: str | None = None, **arguments: Any) -> None:
        """Enqueue jobs."""
        pool = await get_task_pool()
        for number in range(count):
            await pool.enqueue(task, (), arguments or {"number": number}, queue=queue)


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def drain(service: Service) -> None:
    """A job runs, for long enough to be seen."""
    await service.enqueue("example_task", message="a long one", seconds=600)


async def two_releases(service: Service) -> None:
    """The release before has a worker, too."""
    await service.start_worker()
    await service.start_next_worker()


async def no_worker(service: Service) -> None:
    """Redis is back, but evicts; and all workers are gone."""
    service.start_redis()
    await service.stop_workers()
    await (await get_task_pool()).config_set("maxmemory-policy", "allkeys-lru")


async def redis_away(service: Service) -> None:
    """Redis has ended."""
    service.stop_redis()


async def paused(service: Service) -> None:
    """Somebody has paused a queue."""
    await (await get_task_pool()).config_set("maxmemory-policy", "noeviction")
    await service.start_next_worker(WORKER_QUEUES="default,newsletter")
    async with audited(cli_actor(), "queue.pause", "newsletter", paused=True):
        await (await get_job_manager()).pause("newsletter")
    await service.enqueue("example_task", 2, queue="newsletter", message="news")


async def quiet(_service: Service) -> None:
    """Somebody has told all workers to be quiet."""
    manager = await get_job_manager()
    for worker in await manager.list_workers():
        await manager.quiet_worker(worker.worker_id)


async def busy(service: Service) -> None:
    """There are more jobs than places."""
    await service.start_next_worker(WORKER_QUEUES="default,newsletter")
    await service.enqueue("example_task", queue="newsletter", message="hangs", seconds=600)
    await service.enqueue("example_task", 11, message="hangs", seconds=600)


async def not_served(service: Service) -> None:
    """No worker serves a queue."""
    await service.enqueue("example_task", queue="exports", message="all data")


async def unknown(service: Service) -> None:
    """A job is enqueued whose task no worker knows."""
    await service.enqueue("resize_image")


async def limited(service: Service) -> None:
    """There are more jobs of a task than its limit lets run."""
    await service.enqueue("make_thumbnail", 3)


async def paused_schedule(_service: Service) -> None:
    """Somebody has paused a schedule; the others go on."""
    manager = await get_job_manager()
    for schedule in await manager.list_scheduled():
        if schedule.id != "cron:cleanup_expired_sessions":
            await manager.resume_schedule(schedule.id)


async def failing(service: Service) -> None:
    """Jobs fail at once."""
    await service.enqueue("send_email", 2, to="nobody", subject="Hello", body="Hello!")


async def full(_service: Service) -> None:
    """The memory of Redis is full."""
    await (await get_task_pool()).config_set("maxmemory", "1")


async def well_again(_service: Service) -> None:
    """All is well again."""
    await (await get_task_pool()).config_set("maxmemory", "0")


#: What has happened before somebody reads on, by the heading under which they do.
SCENES: dict[str, Callable[[Service], Awaitable[None]]] = {
    "Drain and stop": drain,
    "Upgrade side by side": two_releases,
    "Redis does not answer": redis_away,
    "No worker is alive": no_worker,
    "A queue is paused": paused,
    "The workers are quiet": quiet,
    "All slots are busy": busy,
    "No worker serves the queue": not_served,
    "No worker knows the task": unknown,
    "A limit holds jobs back": limited,
    "A schedule makes no jobs": paused_schedule,
    "Jobs fail": failing,
    "Enqueueing is refused": full,
    "Figures": well_again,
}


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """Run a whole service: migrated database, Redis, API, a worker; everything in the environment points to it."""
    async with AsyncExitStack() as stack:
        service = Service(tmp_path, stack)
        port = free_port()
        monkeypatch.setenv("API", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("REDIS_URL", service.start_redis())
        service.make_next_release()
        get_settings.cache_clear()
        monkeypatch.chdir(PROJECT)
        async with command("alembic", "upgrade", "head") as alembic:
            assert await alembic.end() == 0, alembic.output
        serve = ("{{ cookiecutter.project_slug }}", "api", "--port", str(port))
        api = await stack.enter_async_context(command(*serve))
        await asyncio.gather(api.until("Uvicorn running on"), service.start_worker())
        stack.push_async_callback(cancelled, asyncio.create_task(api.listen()))
        stack.push_async_callback(close_database)
        stack.push_async_callback(close_task_pool)
        manager = await get_job_manager()
        for schedule in await manager.list_scheduled():
            await manager.pause_schedule(schedule.id)  # so that the same jobs run at any time of the day
        yield service


async def play(shell: Shell, step: Step, comparison: Comparison) -> int:
    """Run a command until it prints what the page shows, or once if it changes something; give its exit status."""
    words = comparison.command(step.command)
    end = asyncio.get_running_loop().time() + SOON
    while True:
        output, status = await shell.run(words)
        try:
            comparison.check(step, output)
        except AssertionError:
            if not LOOK.fullmatch(step.command) or asyncio.get_running_loop().time() > end:
                raise
        else:
            return status


@pytest.mark.timeout(480)
async def test_every_command_prints_what_the_page_shows(service: Service) -> None:
    """The commands of both pages, as they stand; each ends with status 0 unless the page says otherwise."""
    heading = ""
    comparison = Comparison()
    async with shell() as bash:
        for step, after in pairwise([*steps(OPERATIONS), *steps(MONITORING), Step("", 0, "", "")]):
            if step.heading != heading:
                heading = step.heading
                if heading in SCENES:
                    await SCENES[heading](service)
            status = await play(bash, step, comparison)
            assert status == 0 or after.command == "echo $?", f"line {step.line}: {step.command}: status {status}"


def test_there_is_no_other_command() -> None:
    """What the pages tell to type is run: here, or, what needs containers, by the tests of the template."""
    played = [*steps(OPERATIONS), *steps(MONITORING)]
    assert set(SCENES) <= {step.heading for step in played}
    for page in (OPERATIONS, MONITORING):
        assert set(re.findall(r"^ *```(\w+)$", page, re.MULTILINE)) <= {"bash", "console", "json", "python", "text"}
        typed = "\n".join(re.findall(r"^ *```bash\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)).split("\n")
        assert all(re.match(r" *(echo '[^']*' \| )?docker compose |$", line) for line in typed)
        commands = [line.strip() for line in typed] + [step.command for step in played]
        for name in re.findall(r"`((?:docker|{{ cookiecutter.project_slug }}) [^`]+)`", page):
            assert any(command.startswith(name) for command in commands), name
