"""A generated project, run as its owner runs it: real processes, on free ports of this machine, spoken to over HTTP."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import httpx

from processes import HOST, Process, ProcessError, answers_ping, free_port, run, uninterrupted, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Variables that a generated project reads: those of the caller's shell are not for this service.
SETTINGS = ("AUTH_", "DATABASE_", "ENVIRONMENT", "LOG_LEVEL", "PUBLIC_URL", "REDIS_", "SECRET_KEY", "SESSION_", "SMTP_")
#: Variables that would lead programs to another environment than that of the project.
FOREIGN = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT"}
#: What ends a job; see `infrastructure/jobs/records.py` of the project.
TERMINAL_STATUSES = {"success", "failed", "cancelled"}
#: Who sees all jobs.
ADMIN = "admin@example.com"
#: Of every user who is signed up here.
PASSWORD = "correct horse"  # noqa: S105 - theirs only

Job = dict[str, Any]


def clean_environment() -> dict[str, str]:
    """Give this process's environment, without what is about other projects."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        # REDIS_SERVER is the program that the machine's owner wants to be run.
        if name not in FOREIGN and (name == "REDIS_SERVER" or not name.startswith(SETTINGS))
    }
    # Programs are started again and again, and nothing is kept of the project in the end: let them be compiled once.
    return inherited | {"PYTHONDONTWRITEBYTECODE": ""}


class Service:
    """An installed project and its processes; as a context manager it stops them all, whatever happens.

    `project` is where it was generated and installed, `folder` where it runs: its database, Redis data and logs.
    """

    def __init__(self, project: Path, folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        """Choose ports; nothing runs yet."""
        self.project = project
        self.folder = folder
        [main] = project.glob("src/*/main.py")
        self.package = main.parent.name
        self.redis_port = free_port()
        self.redis_url = f"redis://{HOST}:{self.redis_port}/0"
        self.env = {
            **clean_environment(),
            "DATABASE_URL": f"sqlite:///{folder.resolve()}/app.db",
            "REDIS_URL": self.redis_url,
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self.worker_settings = f"{self.package}.infrastructure.tasks.WorkerSettings"
        self.processes: list[Process] = []
        self.http = httpx.Client(timeout=5, trust_env=False)

    def __enter__(self) -> Self:
        """Nothing runs until it is started."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.stop()

    def stop(self) -> None:
        """Stop everything, the youngest process first, and Redis after all that need it to end well.

        A second Ctrl-C does not interrupt that.
        """
        with uninterrupted():
            self.http.close()
            self.processes.sort(key=lambda process: process.name != "redis")
            while self.processes:
                self.processes.pop().stop(seconds=10)

    def program(self, name: str) -> Path:
        """Give the path of a program that is installed with the project."""
        return self.project / ".venv" / "bin" / name

    def start(self, name: str, *command: str | Path, env: Mapping[str, str] | None = None) -> Process:
        """Start a program; its output goes to `<name>.log`."""
        process = Process(
            name, command, cwd=self.folder, env={**self.env, **(env or {})}, log=self.folder / f"{name}.log"
        )
        self.processes.append(process)
        return process

    def migrate(self) -> None:
        """Bring the database up to date."""
        command: list[str | Path] = [self.program("alembic"), "upgrade", "head"]
        run(command, cwd=self.project, env=self.env, log=self.folder / "migrate.log", what="the migration")

    def start_redis(self) -> Process:
        """Start the embedded Redis with the data that it left, and wait until it answers."""
        process = self.start("redis", self.program("python"), "-m", self.package, "redis")
        wait_for(lambda: answers_ping(self.redis_port), what="answer of Redis", beside=[process])
        return process

    def start_api(self) -> Process:
        """Start the HTTP server and wait until it answers."""
        port = free_port()
        self.http.base_url = httpx.URL(f"http://{HOST}:{port}")
        process = self.start("api", self.program("uvicorn"), f"{self.package}.main:app", "--port", str(port))
        wait_for(self._answers, what="answer of the API", beside=[process])
        return process

    def start_worker(self, *options: str, settings: str | None = None) -> Process:
        """Start one more worker, with a log of its own; it may not be looking for jobs yet."""
        name = f"worker-{sum(process.name.startswith('worker') for process in self.processes) + 1}"
        return self.start(name, self.program("arq"), settings or self.worker_settings, *options)

    def wait_for_worker(self, worker: Process) -> None:
        """Wait until a worker is looking for jobs."""
        wait_for(lambda: "Starting worker" in worker.output, what="start of the worker", beside=[worker])

    def sign_up(self, email: str, name: str) -> dict[str, Any]:
        """Sign a user up; what comes back has the id of the job that greets them, where there are jobs."""
        return self.ask("POST", "/api/v1/users", status=201, json={"email": email, "name": name, "password": PASSWORD})

    def sign_in(self, email: str) -> dict[str, str]:
        """Sign in somebody whom `sign_up` has signed up, and give the header that their requests need."""
        token = self.ask("POST", "/api/v1/auth/token", data={"username": email, "password": PASSWORD})
        return {"Authorization": f"Bearer {token['access_token']}"}

    def act_as(self, email: str) -> None:
        """Send all requests from here on as somebody whom `sign_up` has signed up."""
        self.http.headers.update(self.sign_in(email))

    def act_as_admin(self) -> None:
        """Send all requests from here on as an administrator, who sees all jobs."""
        words = ["-m", self.package, "create-admin", ADMIN, "--password-stdin"]
        command: list[str | Path] = [self.program("python"), *words]
        subprocess.run(command, cwd=self.folder, env=self.env, input=PASSWORD, text=True, check=True)
        self.act_as(ADMIN)

    def job(self, job_id: str) -> Job:
        """Look a job up, as who is signed in: users see their own jobs."""
        return self.ask("GET", f"/api/v1/jobs/{job_id}")

    def follow(self, job_id: str, *, until: str | None = None, within: float = 30) -> Job:
        """Look a job up until it has ended, or until its status is `until`, and give what was seen last."""
        wanted = {until} if until else TERMINAL_STATUSES

        def look() -> Job | None:
            job = self.job(job_id)
            if job["status"] in wanted:
                return job
            if job["status"] in TERMINAL_STATUSES:
                raise ProcessError(f"job {job_id} was never seen {until}; it ended as {job}")
            return None

        return wait_for(look, what=f"end of job {job_id}" if until is None else f"{until} job {job_id}", within=within)

    def ask(self, method: str, path: str, *, status: int = 200, **options: Any) -> dict[str, Any]:
        """Send a request and read the JSON of its answer, which must have this status."""
        response = self.http.request(method, path, **options)
        if response.status_code != status:
            raise ProcessError(f"{method} {path}: {response.status_code}, not {status}: {response.text}")
        document: dict[str, Any] = response.json()
        return document

    def _answers(self) -> bool:
        with suppress(httpx.TransportError):
            return self.http.get("/health/live").status_code == 200  # noqa: PLR2004
        return False
