"""Looking up one job and lists of jobs through the manager, with real workers: all that is known, and no secrets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.embedded import free_port
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    ArqQueueBackend,
    InvalidQueryError,
    JobDetails,
    JobHistory,
    JobManager,
    JobStatus,
    QueueUnavailable,
    TaskPool,
    TaskRegistry,
    WorkflowJob,
    history,
    keys,
    parse_redis_url,
)

from .limit_hands import Hand

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext

    from ..conftest import RunJobs

SUCCESS, FAILED, PENDING = JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.PENDING


async def login(ctx: TaskContext, user: str, password: str, fails: bool = False) -> dict[str, Any]:  # noqa: ARG001, FBT001, FBT002
    if fails:
        raise ValueError("wrong")
    return {"user": user, "session_token": "abc"}


async def step(ctx: TaskContext, number: int) -> int:  # noqa: ARG001
    return number


async def collect(ctx: TaskContext, results: list[Any]) -> None: ...


@pytest.fixture
def manager(pool: TaskPool) -> JobManager:
    """Give a manager that knows the tasks."""
    pool.registry = TaskRegistry([login, step, collect])
    return JobManager(ArqQueueBackend(pool))


async def inspected(manager: JobManager, job_id: str | None) -> JobDetails:
    details = await manager.inspect(str(job_id))
    assert details is not None
    return details


# One job


async def test_a_jobs_secrets_are_hidden(manager: JobManager, run_jobs: RunJobs) -> None:
    """In its arguments, by position and by name, and in its result; all else is as `get_status` gives it."""
    job_id = await manager.enqueue("login", "ada", "k4", fails=False)
    await run_jobs(login)
    details, record = await inspected(manager, job_id), await manager.get_status(job_id)
    assert record is not None
    assert record.args == ("ada", "k4")
    assert details.job.args == ("ada", "***")
    assert details.job.result == {"user": "ada", "session_token": "***"}
    assert (details.job.attempts, details.job.status) == (record.attempts, SUCCESS)
    assert (details.parent, details.children, details.dead, details.forgotten) == (None, (), False, False)


async def test_a_workflows_secrets_are_hidden(manager: JobManager, run_jobs: RunJobs) -> None:
    """In its result, whether it is asked for itself or seen as the parent of a job."""
    chain = await manager.chain([("login", ("ada", "k4"))])
    await run_jobs(login)
    details = await inspected(manager, keys.workflow_job(chain, 0))
    assert details.parent is not None
    for result in (details.parent.result, details.job.result, (await inspected(manager, chain)).job.result):
        assert result == {"user": "ada", "session_token": "***"}


async def test_a_failed_job_tells_why(manager: JobManager, run_jobs: RunJobs) -> None:
    """Its tries and its traceback; and that it can be run again, until it has been."""
    job_id = str(await manager.enqueue("login", "ada", password="k4", fails=True))
    await run_jobs(login)
    details = await inspected(manager, job_id)
    assert (details.job.kwargs["password"], details.dead) == ("***", True)
    assert [attempt.outcome for attempt in details.job.attempts] == ["failed"] * 3
    assert "in login" in str(details.job.traceback)
    new_id = await manager.retry(job_id)
    assert (await inspected(manager, job_id)).dead is False
    assert (await inspected(manager, new_id)).job.replay_of == job_id


async def test_a_dead_letter_is_known_when_the_result_is_gone(manager: JobManager, run_jobs: RunJobs) -> None:
    """With everything that was known of the job."""
    job_id = await manager.enqueue("login", "ada", "k4", fails=True)
    await run_jobs(login, keep_result=0)
    details = await inspected(manager, job_id)
    assert (details.job.status, details.job.args, details.dead) == (FAILED, ("ada", "***"), True)
    assert details.forgotten is False


@pytest.mark.parametrize("job_id", ["plain", 'odd"[a]*?\\', "ä b", "*"])
async def test_the_last_line_is_found_when_all_else_is_gone(
    job_id: str, pool: TaskPool, manager: JobManager, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its id is made of, among others, and over several steps of the search; the latest, if there are two."""
    monkeypatch.setattr(history, "SEARCHED", 10)
    await pool.enqueue_many("step", [{"number": number} for number in range(300)])
    for number in range(2):
        await pool.enqueue("step", (number,), job_id=job_id)
        await run_jobs(step, keep_result=0)
    last = (await JobHistory(pool).list(limit=1)).jobs[0]
    assert last.job_id == job_id
    details = await inspected(manager, job_id)
    assert details.forgotten is True
    assert (details.job.task, details.job.status, details.job.args) == ("step", SUCCESS, ())
    assert (details.job.worker, details.job.finish_time) == (last.worker, last.finish_time)
    assert (await manager.list_jobs(job_id=job_id)).jobs == (last,)
    assert await manager.inspect(job_id + "x") is None


async def test_what_is_not_known_is_none(manager: JobManager) -> None:
    """Nor is it in any list."""
    assert await manager.inspect("nobody") is None
    assert (await manager.list_jobs(job_id="nobody")).jobs == ()


# Workflows


async def test_a_chain_and_its_steps_know_each_other(manager: JobManager, run_jobs: RunJobs) -> None:
    """The whole knows its jobs, each step the whole, and the steps beside it."""
    chain = await manager.chain([("step", (number,)) for number in range(3)])
    first, second, third = (keys.workflow_job(chain, number) for number in range(3))
    whole = await inspected(manager, chain)
    assert whole.children == tuple(WorkflowJob(job_id, "step", PENDING) for job_id in (first, second, third))
    assert (whole.job.task, whole.parent, whole.previous, whole.next) == ("chain", None, None, None)
    await run_jobs(step, queues="*")
    found = [await inspected(manager, job_id) for job_id in (first, second, third)]
    assert [(each.previous, each.next) for each in found] == [(None, second), (first, third), (second, None)]
    assert {each.parent.workflow_id for each in found if each.parent} == {chain}
    assert (found[2].job.result, found[2].children) == (2, ())


async def test_a_group_and_its_members_know_each_other(manager: JobManager) -> None:
    """Its callback is the last of its children; members have no order."""
    group = await manager.group([("step", (1,)), ("step", (2,))], "collect")
    whole = await inspected(manager, group)
    assert [child.task for child in whole.children] == ["step", "step", "collect"]
    for child in whole.children:
        details = await inspected(manager, child.job_id)
        assert details.parent is not None
        assert details.parent.workflow_id == group
        assert (details.previous, details.next) == (None, None)


async def test_a_workflow_still_tells_of_a_job_that_is_forgotten(manager: JobManager, run_jobs: RunJobs) -> None:
    """Its task, and how it ended, where there is not even a history."""
    chain = await manager.chain([("step", (1,)), ("step", (2,))])
    await run_jobs(step, queues="*", keep_result=0)
    pool = await manager.connect()
    await pool.delete(keys.history("success"))
    details = await inspected(manager, keys.workflow_job(chain, 0))
    assert details.forgotten is True
    assert (details.job.task, details.job.status) == ("step", SUCCESS)
    assert details.next == keys.workflow_job(chain, 1)


# Lists


async def test_jobs_are_listed_page_by_page(manager: JobManager, run_jobs: RunJobs) -> None:
    """As the history lists them, with the same filters, thousands of them."""
    await manager.enqueue_batch("step", [{"number": number} for number in range(2_000)], batch_size=500)
    await run_jobs(step)
    await manager.enqueue_batch("step", [{"number": number} for number in range(500)], queue="mail")
    filters: list[tuple[dict[str, Any], int]] = [
        ({}, 2_500),
        ({"status": "success"}, 2_000),
        ({"status": ["pending", "running"], "task": "step"}, 500),
        ({"queue": "mail"}, 500),
        ({"task": "login"}, 0),
        ({"since": datetime.now(UTC) + timedelta(hours=1)}, 0),
    ]
    for wanted, count in filters:
        page = await manager.list_jobs(limit=1000, **wanted)
        found = [*page.jobs]
        while page.cursor:
            page = await manager.list_jobs(limit=1000, cursor=page.cursor, **wanted)
            found += page.jobs
        assert len({job.job_id for job in found}) == len(found) == count


async def test_a_list_of_one_job_keeps_to_the_filters(pool: TaskPool, manager: JobManager, run_jobs: RunJobs) -> None:
    """A job that is there but does not fit is not given; one that waits, runs or has ended is, where it does."""
    now = datetime.now(UTC)
    ended = str(await manager.enqueue("step", 1))
    await run_jobs(step)
    running = str(await manager.enqueue("step", 2))
    await Hand(pool, None).start()
    waiting = str(await manager.enqueue("login", "ada", "k4", queue="mail"))
    chain = await manager.chain([("step", (1,))])
    hour = timedelta(hours=1)
    for job_id, fits, misfits in (
        (ended, {"status": "success", "since": now, "until": now + hour}, [{"status": "failed"}, {"until": now}]),
        (running, {"status": ["running"], "task": "step"}, [{"queue": "mail"}, {"since": now + hour}]),
        (waiting, {"queue": "mail", "task": "login"}, [{"task": "step"}, {"status": "success"}]),
        (chain, {"status": "pending", "task": "chain"}, [{"status": "running"}]),
    ):
        filters: Any = fits
        page = await manager.list_jobs(job_id=job_id, **filters)
        assert ([job.job_id for job in page.jobs], page.cursor) == ([job_id], None)
        for misfit in misfits:
            none: Any = misfit
            assert (await manager.list_jobs(job_id=job_id, **none)).jobs == ()


async def test_a_list_of_one_dead_letter(manager: JobManager, run_jobs: RunJobs) -> None:
    """It is found when its result is gone."""
    job_id = str(await manager.enqueue("login", "ada", "k4", fails=True))
    await run_jobs(login, keep_result=0)
    [line] = (await manager.list_jobs(job_id=job_id, status="failed")).jobs
    assert (line.job_id, line.error) == (job_id, "ValueError: wrong")


async def test_dead_letters_are_listed_without_secrets(manager: JobManager, run_jobs: RunJobs) -> None:
    """Page by page, by the filters of dead letters."""
    for name in ("ada", "bob", "eve"):
        await manager.enqueue("login", name, "k4", fails=True)
    await run_jobs(login)
    first = await manager.list_dead_letters(limit=2, cause="exception")
    second = await manager.list_dead_letters(limit=2, cause="exception", cursor=first.cursor)
    assert {job.args for job in first.jobs + second.jobs} == {("ada", "***"), ("bob", "***"), ("eve", "***")}
    assert (await manager.list_dead_letters(task="step")).jobs == ()


@pytest.mark.parametrize("job_id", [None, "a"])
@pytest.mark.parametrize("wrong", [{"status": "odd"}, {"limit": 0}, {"cursor": "odd"}, {"since": 1}])
async def test_a_list_that_makes_no_sense_is_refused(
    job_id: str | None, wrong: dict[str, Any], manager: JobManager
) -> None:
    """Also where one job alone is asked for."""
    with pytest.raises(InvalidQueryError, match=next(iter(wrong))):
        await manager.list_jobs(job_id=job_id, **wrong)


async def test_it_is_an_error_while_redis_is_away() -> None:
    """One that the caller knows, whatever is asked."""
    pool = TaskPool.from_settings(parse_redis_url(f"redis://127.0.0.1:{free_port()}"))
    async with JobManager(ArqQueueBackend(pool)) as manager:
        for asked in (manager.inspect("a"), manager.list_jobs(), manager.list_jobs(job_id="a")):
            with pytest.raises(QueueUnavailable):
                await asked
