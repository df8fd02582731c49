"""Generate a project, run it, and watch its jobs: `python scripts/demo.py [redis|valkey|falkordb|none]`.

Everything happens in a temporary folder and on free ports of this machine; nothing is left of it at the end.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.markup import escape

from demo_board import Board
from processes import Process, ProcessError, run, uninterrupted, wait_for
from service import Service, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = Path(__file__).resolve().parent.parent
DRIVER = Path(__file__).with_name("demo_driver.py")
VARIANTS = ("redis", "valkey", "falkordb", "none")
SLUG = "my-service"
JOBS = 1_000
#: Seconds after which the demo stops waiting for its jobs; they take about ten.
PATIENCE = 300
INTERRUPTED = 130


@dataclass
class Step:
    """One line of the story; `text` may be made more precise while it happens."""

    text: str


class Demo:
    """The story, told line by line, each with the seconds that it took."""

    def __init__(self, variant: str, folder: Path, console: Console) -> None:
        """Prepare to tell; nothing has happened yet."""
        self.variant = variant
        self.folder = folder
        self.project = folder / SLUG
        self.console = console
        self.summary: list[str] = []
        # Cookiecutter and uv leave temporary files behind.
        self.temporary = {"TMPDIR": str(folder / "tmp")}

    @contextmanager
    def step(self, text: str) -> Iterator[Step]:
        """Do something, then tell of it."""
        start, step = time.monotonic(), Step(text)
        with self.console.status(text):
            yield step
        self.tell(f"{time.monotonic() - start:6.1f} s  {step.text}")

    def tell(self, text: str) -> None:
        """Print a line as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def play(self) -> None:
        """Play all of it.

        Raises:
            ProcessError: something did not work; the message says what, with the end of its log.
        """
        self.make("tmp")
        self.render()
        self.install()
        with Service(self.project, self.make("running"), env=self.temporary) as service:
            if self.variant == "none":
                self.play_without_jobs(service)
            else:
                self.play_with_jobs(service)
            with self.step("stop everything"):
                service.stop()

    def make(self, name: str) -> Path:
        """Make a folder beside the project."""
        path = self.folder / name
        path.mkdir()
        return path

    def render(self) -> None:
        """Generate the project; its files are all in the temporary folder, those that Cookiecutter remembers too."""
        config = self.folder / "cookiecutter.yaml"
        config.write_text(f"replay_dir: {json.dumps(str(self.folder / 'replay'))}\n", encoding="utf-8")
        answers = [f"project_slug={SLUG}", f"cache_backend={self.variant}"]
        command: list[str | Path] = [sys.executable, "-m", "cookiecutter", "--no-input", "--config-file", config]
        with self.step(f"generate {SLUG} with cache_backend={self.variant}"):
            self.run([*command, "--output-dir", self.folder, TEMPLATE, *answers], "rendering")

    def install(self) -> None:
        """Install the project into an environment of its own."""
        uv = shutil.which("uv")
        if uv is None:
            raise ProcessError("uv is not on PATH, and it installs the project: `pip install uv` brings it")
        with self.step("uv sync"):
            self.run([uv, "sync", "--project", self.project], "uv sync")

    def run(self, command: list[str | Path], what: str) -> None:
        """Run one program to its end."""
        log = self.folder / f"{what.replace(' ', '-')}.log"
        run(command, cwd=self.folder, env=clean_environment() | self.temporary, log=log, what=what)

    def play_with_jobs(self, service: Service) -> None:
        """Start all, sign somebody up, follow the job, then a thousand more."""
        with self.step(f"embedded Redis: answers at {service.redis_url}"):
            service.start_redis()
        worker = service.start_worker()  # it gets ready while the database and the API do
        self.start_api(service)
        with self.step(f"uv run arq {service.worker_settings}: waits for jobs"):
            service.wait_for_worker(worker)
        with self.step("POST /api/v1/users") as step:
            user = service.sign_up("ada@example.com", "Ada")
            step.text = f"POST /api/v1/users: Ada is user {user['id']}, her welcome message is job {user['job_id']}"
        service.act_as("ada@example.com")
        self.follow(service, user["job_id"], worker)
        if self.variant == "falkordb":
            self.show_graph(service, worker, followed=user["id"])
        self.show_jobs(service, worker)

    def play_without_jobs(self, service: Service) -> None:
        """Start the API and sign somebody up: the message is sent before the answer."""
        api = self.start_api(service)
        with self.step("POST /api/v1/users") as step:
            user = service.sign_up("ada@example.com", "Ada")
            step.text = f"POST /api/v1/users: Ada is user {user['id']}; the message was sent in the request"
        sent = wait_for(
            lambda: [line for line in api.output.splitlines() if "ada@example.com" in line],
            what="message in the log of the API",
            beside=[api],
        )
        self.tell(f"{'':10}its log says: {sent[0].strip()}")

    def start_api(self, service: Service) -> Process:
        """Migrate the database and serve HTTP."""
        with self.step("uv run alembic upgrade head"):
            service.migrate()
        with self.step("uv run uvicorn") as step:
            api = service.start_api()
            step.text = f"uv run uvicorn {service.package}.main:app: answers at {service.http.base_url}"
        return api

    def follow(self, service: Service, job_id: str, worker: Process) -> None:
        """Follow one job over HTTP to its result."""
        with self.step(f"GET /api/v1/jobs/{job_id}") as step:
            job = service.follow(job_id)
            step.text = f"GET /api/v1/jobs/{job_id}: {job['task']}, {job['status']} in try {job['tries']}"
        if job["status"] != "success":
            raise ProcessError(f"the job failed: {job['error']}", worker.log)

    def show_graph(self, service: Service, worker: Process, *, followed: int) -> None:
        """Let a second user follow the first, and ask the graph who follows whom."""
        with self.step("a user follows another") as step:
            grace = service.sign_up("grace@example.com", "Grace")
            path = f"/api/v1/users/{grace['id']}/following/{followed}"
            service.act_as("grace@example.com")
            accepted = service.ask("PUT", path, status=202)
            step.text = f"PUT {path}: Grace follows Ada, job {accepted['job_id']} tells the graph"
        self.follow(service, accepted["job_id"], worker)
        path = f"/api/v1/users/{followed}/followers"
        with self.step(f"GET {path}") as step:
            people = service.ask("GET", path)["items"]
            step.text = f"GET {path}: {', '.join(person['name'] for person in people)}"

    def show_jobs(self, service: Service, worker: Process) -> None:
        """Enqueue many jobs from inside the project and show what becomes of them."""
        self.tell(f"{'':10}{JOBS:,} calls of enqueue_task(), some slow, some for later:")
        board = Board(self.console, JOBS)
        driver = service.start("driver", service.program("python"), DRIVER, service.package, str(JOBS))
        enqueued = 0.0
        with board.shown(), driver.log.open(encoding="utf-8") as stream:
            for facts in self.listen(stream, driver, worker):
                if "ready" in facts:
                    board.start()
                enqueued = facts.get("enqueued", enqueued)
                if "job" in facts:
                    board.update(facts)
        board.finish()
        if board.ended != JOBS:
            raise ProcessError(f"only {board.ended} of {JOBS} jobs ended", driver.log)
        self.summary = board.summary(enqueued=enqueued)

    def listen(self, stream: Any, driver: Process, worker: Process) -> Iterator[dict[str, Any]]:
        """Give what the driver prints until it ends."""
        rest, deadline = "", time.monotonic() + PATIENCE
        while True:
            status = driver.status  # before reading, so that nothing is missed
            *lines, rest = (rest + stream.read()).split("\n")
            for line in lines:
                if line.startswith("{"):
                    yield json.loads(line)
            if status == 0:
                return
            if status is not None:
                raise ProcessError(f"enqueueing failed with exit status {status}", driver.log)
            if worker.status is not None:
                raise ProcessError(f"the worker ended with status {worker.status}", worker.log)
            if time.monotonic() > deadline:
                raise ProcessError(f"the jobs have not ended within {PATIENCE} s", worker.log)
            time.sleep(0.05)


def next_steps(variant: str) -> list[tuple[str, str]]:
    """Give the commands to go on with, as they can be typed in the template's folder on this machine."""
    just = "just" if shutil.which("just") else "uvx --from rust-just just"
    others = [name for name in VARIANTS if name != variant]
    return [
        ("uv run cookiecutter . --output-dir ..", "generate your own project, beside this folder"),
        (f"{just} demo {others[1]}", f"the same with another cache_backend: {', '.join(others)}"),
        (f"{just} test", "test every variant"),
    ]


def play(demo: Demo) -> int:
    """Play the demo and give the exit status; what it does wrong is a line, not a trace."""
    start = time.monotonic()
    try:
        demo.play()
    except ProcessError as error:
        demo.console.print(f"[red]failed:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        demo.tell("interrupted; everything is stopped")
        return INTERRUPTED
    demo.tell(f"{time.monotonic() - start:6.1f} s  in all")
    if demo.summary:
        demo.tell("\n" + "\n".join(demo.summary))
    demo.tell(f"\nNext, in {shlex.quote(str(TEMPLATE))}:\n")
    for command, why in next_steps(demo.variant):
        demo.tell(f"  {command:<40}  {why}")
    demo.tell("")
    return 0


def interrupt(*_: object) -> NoReturn:
    """Take other requests to end as Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Read the command line, play, and leave nothing behind unless told to."""
    parser = argparse.ArgumentParser(description="Generate a project, run it, and watch its jobs.")
    parser.add_argument("variant", nargs="?", default="redis", choices=VARIANTS, help="cache_backend of the project")
    parser.add_argument("--keep", action="store_true", help="keep the project's folder, and print where it is")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    demo = Demo(arguments.variant, folder, Console())
    try:
        return play(demo)
    finally:
        if arguments.keep:
            demo.tell(f"The project is in {shlex.quote(str(demo.project))}; `uv run {SLUG} dev` runs it there.")
        else:
            with uninterrupted():
                shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
