"""Every variant as its owner runs it, seen from outside: a real server, the API and `arq` workers as processes."""

from __future__ import annotations

import signal
import subprocess
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from conftest import BACKENDS
from processes import wait_for
from service import Service
from trial_service import TrialService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Render

QUEUES = [backend for backend in BACKENDS if backend != "none"]
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module", params=QUEUES)
def running(
    request: pytest.FixtureRequest, synced: Render, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrialService]:
    """Run Redis and the API of a variant for all tests of this module; each test has the workers that it asks for."""
    folder = tmp_path_factory.mktemp(f"running-{request.param}")
    with TrialService(synced(request.param), folder) as service:
        service.have_redis()
        service.migrate()
        service.start_api()
        service.act_as_admin()
        yield service


@pytest.fixture
def service(running: TrialService) -> TrialService:
    """Give the service with its Redis running, also when the last test has ended that."""
    running.have_redis()
    return running


@pytest.fixture
def name() -> str:
    """Give a name that no other test uses."""
    return uuid4().hex


def test_signing_up_enqueues_a_message_whose_job_can_be_followed(service: TrialService, name: str) -> None:
    """The front door's own worker runs the job that signing up enqueues, and HTTP tells its result."""
    service.have_workers(0)
    worker = service.start_worker(settings=service.front_door)
    try:
        service.wait_for_worker(worker)
        user = service.sign_up(f"{name}@example.com", "Ada")
        job = service.follow(user["job_id"])
    finally:
        status = worker.stop()
    assert (job["task"], job["status"], job["tries"], job["error"]) == ("send_welcome_email", "success", 1, None)
    expected = {key: user[key] for key in ("id", "email", "name")} | {"role": "user"}
    assert service.ask("GET", f"/api/v1/users/{user['id']}", headers=service.sign_in(user["email"])) == expected
    assert f"{name}@example.com" in worker.output
    assert (status, "Traceback" in worker.output) == (0, False)


def test_a_burst_runs_what_is_queued_and_ends(service: TrialService) -> None:
    """`arq ... --burst` runs the jobs that are there, and ends with status 0."""
    service.have_workers(0)
    jobs = [service.enqueue("example_task", message="now"), service.enqueue("example_task", message="soon")]
    assert service.start_worker("--burst", settings=service.front_door).wait(30) == 0
    assert [service.job(job_id)["result"] for job_id in jobs] == ["now (try 1)", "soon (try 1)"]


def test_an_unknown_job_is_not_found(service: TrialService, name: str) -> None:
    """A job id that nobody was given is answered with 404 and a problem document."""
    response = service.http.get(f"/api/v1/jobs/{name}")
    assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)


def test_an_unregistered_name_is_an_error_at_the_call(service: TrialService) -> None:
    """A misspelt task is refused where it is enqueued, with the name that was meant."""
    assert "did you mean 'example_task'" in service.request("exampel_task", message="hello")["error"]


@pytest.mark.parametrize("task", ["fail_first", "ask_for_retry"])
def test_a_failed_try_is_retried(service: TrialService, task: str) -> None:
    """A task that raises in its first try, any exception or arq's Retry, succeeds in its second."""
    service.have_workers(1)
    job = service.follow(service.enqueue(task))
    assert (job["status"], job["result"], job["tries"]) == ("success", "done", 2)


def test_the_last_failure_is_final(service: TrialService) -> None:
    """A task that always raises is run max_tries times; then its job has failed, with the exception as its error."""
    service.have_workers(1)
    service.client.delete("trial:fail_always")
    job = service.follow(service.enqueue("fail_always"))
    assert (job["status"], job["error"], job["tries"]) == ("failed", "ValueError: no try can succeed", 3)
    assert service.counted("fail_always") == 3


def test_a_plain_function_is_a_task(service: TrialService) -> None:
    """A `def` that is listed in WorkerSettings.functions is run like an `async def`."""
    service.have_workers(1)
    assert service.follow(service.enqueue("block", word="hello"))["result"] == "hello"


def test_one_id_is_one_job(service: TrialService, name: str) -> None:
    """Enqueueing with an id that waits, or whose result is kept, enqueues nothing, and the task runs once."""
    service.have_workers(1)
    job_id = service.enqueue("count", name=name, _job_id=name, _defer_by=0.5)
    assert job_id == name
    assert service.request("count", name=name, _job_id=name) == {"job_id": None}
    assert service.follow(job_id)["result"] == 1
    assert service.request("count", name=name, _job_id=name) == {"job_id": None}
    assert service.counted(name) == 1


def test_a_delayed_job_waits(service: TrialService) -> None:
    """A job with a delay is `scheduled`, and starts when the delay is over, not before."""
    service.have_workers(1)
    job_id = service.enqueue("example_task", message="later", _defer_by=2)
    assert service.job(job_id)["status"] == "scheduled"
    job = service.follow(job_id)
    waited = datetime.fromisoformat(job["start_time"]) - datetime.fromisoformat(job["enqueue_time"])
    assert (job["status"], waited >= timedelta(seconds=2)) == ("success", True)


def test_a_cron_job_runs_at_its_times(service: TrialService) -> None:
    """A job in WorkerSettings.cron_jobs runs again and again without being enqueued."""
    service.have_workers(1)
    before = service.counted("ticks")
    wait_for(lambda: service.counted("ticks") >= before + 2, what="two ticks")


def test_two_workers_share_the_queue(service: TrialService) -> None:
    """Jobs that one worker has no room for are run by the other, each job once."""
    service.have_workers(2)
    service.client.delete("trial:met")
    jobs = [service.follow(job_id) for job_id in [service.enqueue("meet", processes=2) for _ in range(15)]]
    assert len({job["result"] for job in jobs}) == 2
    assert {(job["status"], job["tries"]) for job in jobs} == {("success", 1)}


def test_a_stopping_worker_finishes_its_job(service: TrialService, name: str) -> None:
    """After SIGTERM a worker finishes the job that it runs, takes no other, and ends with status 0."""
    [worker] = service.have_workers(1)
    running = service.enqueue("hold", name=name, long=True)
    service.follow(running, until="running")
    worker.send(signal.SIGTERM)
    service.wait_for_line(worker, "shutdown on SIGTERM")
    waiting = service.enqueue("block", word="for the next worker")
    service.release(name)
    assert worker.wait(30) == 0
    job = service.job(running)
    assert (job["status"], job["result"], job["tries"]) == ("success", worker.pid, 1)
    assert service.job(waiting)["status"] == "pending"


def test_a_killed_workers_job_is_run_by_the_next(service: TrialService, name: str) -> None:
    """`kill -9` of the only worker: `worker-check` and readiness tell within 10 s, and the next worker runs its job."""
    [worker] = service.have_workers(1)
    wait_for(lambda: service.worker_check() == 0, what="sign of life of the worker")
    job_id = service.enqueue("hold", name=name)
    service.follow(job_id, until="running")
    worker.kill()
    wait_for(lambda: service.worker_check() == 1, what="end of the sign of life", within=10, pause=0.2)
    ready = service.ask("GET", "/health/ready")
    assert (ready["status"], ready["checks"]["worker"]["status"]) == ("degraded", "down")
    service.release(name)
    [next_worker] = service.have_workers(1)
    job = service.follow(job_id, within=60)
    assert (job["status"], job["result"], job["tries"]) == ("success", next_worker.pid, 1)


def test_a_killed_redis_comes_back_with_its_jobs(service: TrialService) -> None:
    """`kill -9` of Redis: the worker goes on, and runs the waiting job once the server is back with its data."""
    [worker] = service.have_workers(1)
    before = len(worker.output)
    job_id = service.enqueue("example_task", message="still here", _defer_by=2)
    service.wait_until_stored()
    service.have_redis().kill()
    service.wait_for_line(worker, "Redis does not answer", after=before)
    service.have_redis()
    assert service.follow(job_id)["result"] == "still here (try 1)"
    assert (worker.status, "Traceback" in worker.output[before:]) == (None, False)


def test_without_redis_the_api_says_so_and_the_worker_waits(service: TrialService, name: str) -> None:
    """Without Redis jobs cannot be looked up, accounts are made all the same, and their jobs run when it is back."""
    service.have_workers(0)
    service.have_redis().stop()
    worker = service.start_worker()
    service.workers.append(worker)
    service.wait_for_line(worker, "Redis does not answer")
    user = {"email": f"{name}@example.com", "name": "Ada"}
    job_id = service.sign_up(**user)["job_id"]
    response = service.http.get(f"/api/v1/jobs/{name}", timeout=2)
    assert (response.status_code, response.headers["content-type"]) == (503, PROBLEM)
    assert {"type", "title", "status", "detail", "instance"} <= response.json().keys()
    ready = service.ask("GET", "/health/ready", status=503)
    assert (ready["checks"]["redis"]["status"], ready["checks"]["database"]["status"]) == ("down", "up")
    service.have_redis()
    assert service.follow(job_id)["status"] == "success"
    assert "Traceback" not in worker.output


def test_an_address_that_cannot_be_read_is_one_line(service: TrialService) -> None:
    """With a malformed REDIS_URL both the worker and the API end at once, with one line that names the setting."""
    env = {"REDIS_URL": "redis://127.0.0.1:port/0"}
    processes = [
        service.start("refused-worker", service.program("arq"), service.front_door, env=env),
        service.start("refused-api", service.program("uvicorn"), f"{service.package}.main:app", env=env),
    ]
    for process in processes:
        assert process.wait(30) == 1
        [line] = process.output.splitlines()
        assert line.startswith("REDIS_URL: 'redis://127.0.0.1:port/0'")


def test_a_redis_that_evicts_is_refused(service: TrialService) -> None:
    """A worker does not start on a Redis that may drop queued jobs; it names the policy and what to do."""
    service.client.config_set("maxmemory-policy", "allkeys-lru")
    worker = service.start_worker(settings=service.front_door)
    try:
        assert worker.wait(30) == 1
    finally:
        worker.kill()
        service.client.config_set("maxmemory-policy", "noeviction")
    assert "maxmemory-policy is 'allkeys-lru'" in worker.output
    assert "REDIS_ALLOW_EVICTION=true" in worker.output
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("running", ["falkordb"], indirect=True)
def test_following_reaches_the_graph(service: TrialService, name: str) -> None:
    """Who follows a user is in the answer of the graph once the job that following enqueues has ended."""
    service.have_workers(1)
    ada, grace = (service.sign_up(f"{word}-{name}@example.com", word) for word in ("ada", "grace"))
    path = f"/api/v1/users/{grace['id']}/following/{ada['id']}"
    headers = service.sign_in(grace["email"])
    assert service.follow(service.ask("PUT", path, status=202, headers=headers)["job_id"])["status"] == "success"
    followers = service.ask("GET", f"/api/v1/users/{ada['id']}/followers", headers=headers)
    assert [person["id"] for person in followers["items"]] == [grace["id"]]


@pytest.fixture(scope="module")
def bare(synced: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run the API of the variant `none`."""
    with Service(synced("none"), tmp_path_factory.mktemp("running-none")) as service:
        service.migrate()
        service.start_api()
        yield service


def test_without_a_queue_the_message_is_sent_in_the_request(bare: Service, name: str) -> None:
    """The variant `none` has sent the message when it answers, and the answer names no job."""
    user = bare.sign_up(f"{name}@example.com", "Ada")
    [api] = bare.processes
    assert f"to={name}@example.com" in api.output
    assert user.keys() == {"id", "email", "name"}
    headers = bare.sign_in(user["email"])
    assert bare.ask("GET", f"/api/v1/users/{user['id']}", headers=headers) == user | {"role": "user"}
    assert bare.ask("GET", "/health/ready")["status"] == "ready"


def test_without_a_queue_there_is_no_trace_of_one(bare: Service) -> None:
    """In the variant `none` neither arq nor a Redis client can be imported, and there are no routes for jobs."""
    for module in ("arq", "redis", "falkordb", "msgspec", f"{bare.package}.infrastructure.jobs"):
        done = subprocess.run([bare.program("python"), "-c", f"import {module}"], capture_output=True, check=False)
        assert b"ModuleNotFoundError" in done.stderr, module
    assert not bare.program("arq").exists()
    assert not [path for path in bare.ask("GET", "/openapi.json")["paths"] if "job" in path]


def test_a_bad_setting_is_one_line_without_a_queue_too(bare: Service) -> None:
    """A malformed DATABASE_URL ends the API at once, with one line that names the setting."""
    process = bare.start(
        "refused-api", bare.program("uvicorn"), f"{bare.package}.main:app", env={"DATABASE_URL": "mongodb://here"}
    )
    assert process.wait(30) == 1
    [line] = process.output.splitlines()
    assert line.startswith("DATABASE_URL: 'mongodb://here'")
