"""What the log says of jobs: through a real worker, as production writes it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext, task
from {{ cookiecutter.__package }}.infrastructure.jobs.logs import PROCESSORS, arguments_text
from {{ cookiecutter.__package }}.infrastructure.jobs.secrets import masked
from {{ cookiecutter.__package }}.infrastructure.logging import configure_logging
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from ..conftest import RunJobs


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Log as in production; give a function that reads all lines so far."""
    assert redis_url
    root = logging.getLogger()
    before = (root.handlers, root.level)
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", "long and random")
    get_settings.cache_clear()
    configure_logging(get_settings(), PROCESSORS)
    log = io.StringIO()
    [handler] = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(log)
    yield lambda: [json.loads(line) for line in log.getvalue().splitlines()]
    root.handlers, root.level = before
    structlog.reset_defaults()


@task(retry=2)
async def charge(ctx: TaskContext, amount: int, card_token: str) -> str:  # noqa: ARG001
    structlog.get_logger("billing").info("charging", amount=amount)
    if ctx["job_try"] == 1:
        raise ConnectionError("the bank is away")
    return "receipt"


@task(retry=1)
async def refuse(ctx: TaskContext) -> None:
    await ctx["redis"].enqueue("charge", (1, "t"), job_id="child")
    raise ValueError("sold out")


def events_of(entries: list[dict[str, Any]], job_id: str) -> list[str]:
    return [entry["job_event"] for entry in entries if entry.get("job_id") == job_id and "job_event" in entry]


async def test_each_step_is_a_line_that_names_the_job(lines: Lines, pool: TaskPool, run_jobs: RunJobs) -> None:
    """Start, retry with its delay and trace, and success with its duration; the task's own lines name the job too."""
    await pool.enqueue("charge", (7, "tok_42"), job_id="a")
    await run_jobs(charge)
    entries = [entry for entry in lines() if entry.get("job_id") == "a"]
    assert events_of(entries, "a") == ["started", "retrying", "started", "succeeded"]
    assert {(entry["task"], entry["queue"]) for entry in entries} == {("charge", "default")}
    retrying = next(entry for entry in entries if entry.get("job_event") == "retrying")
    assert (retrying["job_try"], retrying["delay"], retrying["level"]) == (1, 0, "warning")
    assert retrying["exception"][0]["exc_value"] == "the bank is away"
    assert entries[-1]["duration"] >= 0
    own = [entry for entry in entries if entry["logger"] == "billing"]
    assert [(entry["amount"], entry["job_try"]) for entry in own] == [(7, 1), (7, 2)]


async def test_a_failure_says_why_and_that_it_is_a_dead_letter(lines: Lines, pool: TaskPool, run_jobs: RunJobs) -> None:
    """The last line but one has the trace, the last one the cause."""
    await pool.enqueue("refuse", job_id="a")
    await run_jobs(refuse, charge)
    entries = lines()
    assert events_of(entries, "a") == ["started", "failed", "dead_letter"]
    failed, dead = (entry for entry in entries if entry.get("job_event") in {"failed", "dead_letter"})
    assert failed["exception"][0]["exc_value"] == "sold out"
    assert (dead["cause"], dead["level"]) == ("exception", "error")


async def test_nothing_of_a_job_stays_on_later_lines(lines: Lines, pool: TaskPool, run_jobs: RunJobs) -> None:
    """The fields are the job's, not the worker's."""
    await pool.enqueue("charge", (7, "tok_42"), job_id="a")
    await run_jobs(charge)
    logging.getLogger("arq.worker").info("afterwards")
    [entry] = [entry for entry in lines() if entry["event"] == "afterwards"]
    assert "job_id" not in entry


@pytest.mark.parametrize("shown", [False, True])
async def test_arguments_are_shown_only_if_wanted(shown: bool, lines: Lines, pool: TaskPool, run_jobs: RunJobs) -> None:  # noqa: FBT001
    """By default no argument and no result is in the log; a secret never is."""
    await pool.enqueue("charge", (7,), {"card_token": "tok_42"}, job_id="a")
    await run_jobs(charge, log_arguments=shown, log_results=shown)
    text = json.dumps([entry for entry in lines() if entry["logger"] == "arq.worker"])
    assert ("charge(7, card_token='***')" in text) is shown
    assert ("receipt" in text) is shown
    assert "tok_42" not in text


def test_secrets_are_masked_however_deep() -> None:
    """By the name of the parameter, or of the key in which the value stands."""

    def login(ctx: TaskContext, user: str, password: str, *, options: dict[str, Any]) -> None: ...

    options = {"API-Key": "k1", "list": [{"secret": "k2"}], "Authorization": {"x": "k3"}}
    assert masked(options) == {"API-Key": "***", "list": [{"secret": "***"}], "Authorization": "***"}
    assert arguments_text(login, ("ada", "k4"), {"options": {"token": 1}}) == "'ada', '***', options={'token': '***'}"
    assert arguments_text(None, ("ada",), {}) == "'ada'"
    assert arguments_text(dict.fromkeys, (1,), {}) == "1"
    assert masked(({"token": 1}, 2)) == ({"token": "***"}, 2)


async def test_the_correlation_id_goes_from_the_request_to_its_jobs(
    client: AsyncClient, lines: Lines, pool: TaskPool, run_jobs: RunJobs
) -> None:
    """It is in the answer, and on every line of the job that the request enqueued, and of those that this enqueues."""
    with structlog.contextvars.bound_contextvars(correlation_id="abc-1"):
        await pool.enqueue("refuse", job_id="a")
    await run_jobs(refuse, charge)
    entries = [entry for entry in lines() if entry.get("job_id") in {"a", "child"}]
    assert {entry["correlation_id"] for entry in entries} == {"abc-1"}
    assert {entry["job_id"] for entry in entries} == {"a", "child"}
    info = await pool.record("child")
    assert info is not None
    assert info.correlation_id == "abc-1"

    answer = await client.post(
        "/api/v1/users", json={"email": "ada@example.com", "name": "Ada"}, headers={"X-Request-ID": "req-7"}
    )
    assert answer.headers["X-Request-ID"] == "req-7"
