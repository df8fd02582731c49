"""The commands over a queue in memory: what they print, what they do, how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobManager, JobPriority
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, get_job_manager

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from unit.console.consoles import Console

LINK = "https://example.com/reset?token=x"
BAD: dict[str, Any] = {"message": "x", "seconds": "not a number"}


@pytest.fixture
async def dead(jobs: MemoryJobs) -> list[str]:
    """Give the ids of two dead letters."""
    job_ids = [str(await enqueue_task("example_task", **BAD)) for _ in range(2)]
    await jobs.run_jobs(scheduled=True)
    return job_ids


async def manager() -> JobManager:
    return await get_job_manager()


async def audited(console: Console) -> list[tuple[str, str, str]]:
    """Give action, target and outcome of what is in the audit log, the first one first."""
    found = (await console.json("audit"))["entries"]
    return [(entry["action"], entry["target"], entry["outcome"]) for entry in reversed(found)]


async def test_a_group_lists_where_nothing_else_is_said(console: Console, dead: list[str]) -> None:
    """`jobs` is `jobs list`, with options too."""
    assert await console("jobs") == await console("jobs", "list") != ""
    failed = await console.lines("jobs", "--status", "failed")
    assert {line[0] for line in failed} == set(dead)
    assert await console("jobs", "--status", "success") == ""
    for group in ("dead", "queues", "schedules", "workers"):
        first, second = await console.lines(group), await console.lines(group, "list")
        assert [line[0] for line in first] == [line[0] for line in second]  # the rate of a queue goes down by the ms
        assert console.status == 0


async def test_jobs_are_listed_a_page_at_a_time(console: Console) -> None:
    """As much as --limit says, and JSON has the cursor of the rest."""
    ids = {str(await enqueue_task("example_task", message=str(n))) for n in range(5)}
    first = await console.json("jobs", "-n", "3")
    second = await console.json("jobs", "--cursor", first["cursor"], "-n", "3")
    assert {job["job_id"] for page in (first, second) for job in page["jobs"]} == ids
    assert len(first["jobs"]) == 3
    assert len(await console.lines("jobs", "-n", "4")) == 4


async def test_enqueue_prints_the_id(console: Console, jobs: MemoryJobs) -> None:
    """Arguments are JSON where that can be read; queue, priority and delay are kept."""
    job_id = (await console("enqueue", "example_task", "message=hello", "seconds=0")).strip()
    jobs.assert_enqueued("example_task", message="hello", seconds=0)
    words = ["--arg", "5", "--queue", "emails", "--priority", "high", "--delay", "1h"]
    other = (await console.json("enqueue", "example_task", *words))["job_id"]
    record = await (await manager()).get_status(other)
    assert record is not None
    assert (record.args, record.queue, record.priority, record.status) == (
        (5,),
        "emails",
        JobPriority.HIGH,
        "scheduled",
    )
    assert await audited(console) == [("job.enqueue", "example_task", "done")] * 2
    assert (await console.json("audit"))["entries"][1]["details"]["job_id"] == job_id


async def test_a_unique_job_that_is_there_is_status_1(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is printed that could be taken for an id."""
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool  # noqa: PLC0415

    async def same(*_args: Any, **_options: Any) -> None: ...

    monkeypatch.setattr(TaskPool, "enqueue", same)
    assert await console("enqueue", "example_task", "message=x") == ""
    assert (console.status, console.stderr) == (1, "example_task is unique, and the same job is there\n")


async def test_show_tells_everything(console: Console, dead: list[str]) -> None:
    """A name and a value a line, or as the HTTP API has it."""
    shown = dict(await console.lines("jobs", "show", dead[0]))
    assert (shown["task"], shown["status"], shown["tries"]) == ("example_task", "failed", "3")
    assert shown["kwargs"] == '{"message": "x", "seconds": "not a number"}'
    assert "TypeError" in shown["traceback"]
    found = await console.json("jobs", "show", dead[0])
    assert found["dead"] is True
    assert len(found["job"]["attempts"]) == 3


async def test_secrets_are_hidden_and_survive_a_change(console: Console, jobs: MemoryJobs) -> None:
    """`--set` changes one argument; one that was shown as a mask stays what it is."""
    job_id = str(await enqueue_task("send_password_reset_email", user_email="no address", reset_link=LINK))
    await jobs.run_jobs(scheduled=True)
    assert LINK not in await console("jobs", "show", job_id)
    [[_, new]] = await console.lines("jobs", "retry", job_id, "--set", "user_email=ada@example.com")
    record = await (await manager()).get_status(new)
    assert record is not None
    assert record.kwargs == {"user_email": "ada@example.com", "reset_link": LINK}
    details = (await console.json("audit"))["entries"][0]["details"]
    assert details == {"kwargs": {"user_email": "ada@example.com"}, "new_job_id": new}


async def test_secrets_given_by_position_are_hidden(console: Console) -> None:
    """In the audit log, and in the list of schedules: who knows the task knows their names."""
    call = ["send_password_reset_email", "--arg", "ada@example.com", "--arg", LINK]
    await console("enqueue", *call, "--delay", "1h")
    await console("schedules", "add", *call, "--every", "30m", "--name", "often")
    assert console.status == 0
    found = {schedule["id"]: schedule for schedule in (await console.json("schedules"))["schedules"]}
    assert found["often"]["args"] == ["ada@example.com", "***"]
    assert [entry["details"]["args"] for entry in (await console.json("audit"))["entries"]] == [
        ["ada@example.com", "***"]
    ] * 2


async def test_retry_makes_new_jobs(console: Console, dead: list[str]) -> None:
    """Those that cannot be retried do not keep the others from it; then the status is 1."""
    [[old, new]] = await console.lines("jobs", "retry", "nosuch", dead[0])
    assert (console.status, old) == (1, dead[0])
    assert "nosuch" in console.stderr
    record = await (await manager()).get_status(new)
    assert record is not None
    assert record.replay_of == dead[0]
    again = await console.json("dead", "replay", *dead)
    assert console.status == 1
    assert [job["id"] for job in again["done"]] == [dead[1]]
    assert [job["id"] for job in again["failed"]] == [dead[0]]
    outcomes = [("nosuch", "failed"), (dead[0], "done"), (dead[0], "failed"), (dead[1], "done")]
    assert await audited(console) == [("job.retry", target, outcome) for target, outcome in outcomes]


async def test_retry_all_by_filters(console: Console, dead: list[str]) -> None:
    """A dry run counts and changes nothing; without a terminal --yes must be said."""
    assert await console("jobs", "retry", "--all", "--task", "other", "--yes") == "0\n"
    assert await console("jobs", "retry", "--all", "--task", "example_task", "--dry-run") == "2\n"
    assert await console("jobs", "retry", "--all") == ""
    assert (console.status, console.stderr.count("--yes")) == (2, 1)
    assert len(await console.lines("dead")) == 2
    assert await audited(console) == []
    result = await console.json("dead", "replay", "--all", "--cause", "exception", "--yes")
    assert (result["done"], result["matched"], console.status) == (2, 2, 0)
    assert await console("dead") == ""
    assert await audited(console) == [("jobs.retry", "", "done")]
    assert {job["status"] for job in (await console.json("jobs"))["jobs"]} == {"pending", "failed"}
    assert len(dead) == 2


async def test_discard(console: Console, dead: list[str]) -> None:
    """One, then all; it is confirmed before."""
    await console("dead", "discard", dead[0])
    assert (console.status, len(await console.lines("dead"))) == (2, 2)
    assert await console("dead", "discard", dead[0], "-y") == f"{dead[0]}\n"
    assert console.status == 0
    await console("dead", "discard", dead[0], "-y")
    assert console.status == 1
    assert await console("dead", "discard", "--all", "-y") == "1\n"
    assert await console("dead") == ""


async def test_cancel(console: Console, dead: list[str]) -> None:
    """What waits is cancelled; what has ended cannot be, and the message says so."""
    ids = [str(await enqueue_task("example_task", message=str(n))) for n in range(3)]
    assert await console.lines("jobs", "cancel", ids[0]) == [[ids[0], "cancelled"]]
    await console("jobs", "cancel", dead[0])
    assert (console.status, "failed" in console.stderr) == (1, True)
    assert await console("jobs", "cancel", "--all", "--status", "pending", "--yes") == "2\n"
    assert await console("jobs", "--status", "pending") == ""
    await console("jobs", "cancel", ids[0], "--terminate")
    assert (console.status, "--yes" in console.stderr) == (2, True)


async def test_queues(console: Console) -> None:
    """Paused ones stay so; purging cancels what waits, and needs a queue that is there."""
    await enqueue_task("example_task", message="x")
    assert await console.lines("queues", "pause", "default", "emails") == [["default", "yes"], ["emails", "yes"]]
    found = {queue["name"]: queue for queue in (await console.json("queues"))["queues"]}
    assert (found["default"]["depth"], found["default"]["paused"], found["emails"]["paused"]) == (1, True, True)
    assert found["default"]["priorities"]["5"] == 1
    await console("queues", "purge", "default")
    assert console.status == 2
    assert await console.lines("queues", "purge", "default", "--yes") == [["default", "1"]]
    assert await console.lines("queues", "resume", "default") == [["default", "no"]]
    await console("queues", "purge", "nosuch", "--yes")
    assert (console.status, "nosuch" in console.stderr) == (1, True)
    await console("queues", "pause", "not a name")
    assert console.status == 2


async def test_schedules(console: Console) -> None:
    """Added, changed, paused, run and removed."""
    words = ["example_task", "message=morning", "--cron", "0 9 * * *", "--name", "every morning", "--priority", "low"]
    await console("schedules", "add", *words, "--timezone", "Europe/Berlin", "--no-overlap")
    assert console.status == 0
    await console("schedules", "add", "example_task", "--every", "30m", "--arg", "x", "--name", "often")
    found = {schedule["id"]: schedule for schedule in (await console.json("schedules"))["schedules"]}
    assert (found["every morning"]["timezone"], found["every morning"]["overlap"]) == ("Europe/Berlin", False)
    assert found["often"]["schedule"] == "every 30 minutes"
    await console("schedules", "pause", "often")
    assert (await console.lines("schedules"))[-1][0] == "often"
    [[_, job_id]] = await console.lines("schedules", "run", "every morning")
    record = await (await manager()).get_status(job_id)
    assert record is not None
    assert (record.kwargs, record.priority) == ({"message": "morning"}, JobPriority.LOW)
    assert await console.lines("schedules", "resume", "often") == [["often", "no"]]
    await console("schedules", "remove", "often")
    assert console.status == 2
    await console("schedules", "remove", "often", "--yes")
    await console("schedules", "remove", "often", "--yes")
    assert console.status == 1
    actions = ["add", "add", "pause", "run", "resume", "remove", "remove"]
    assert [action for action, _, _ in await audited(console)] == [f"schedule.{action}" for action in actions]


@pytest.mark.parametrize(
    "words",
    [
        ["enqueue", "exampl_task"],
        ["enqueue", "example_task"],
        ["enqueue", "example_task", "message"],
        ["enqueue", "example_task", "message=x", "--priority", "urgent"],
        ["enqueue", "example_task", "message=x", "--delay", "soon"],
        ["enqueue", "example_task", "message=x", "--queue", "no name"],
        ["enqueue", "example_task", "message=\udc80"],
        ["jobs", "show", "\udc80"],
        ["jobs", "retry"],
        ["jobs", "retry", "x", "--all"],
        ["jobs", "retry", "x", "--task", "y"],
        ["jobs", "retry", "x", "y", "--set", "a=1"],
        ["jobs", "retry", "--all", "--set", "a=1"],
        ["jobs", "list", "--status", "bogus"],
        ["jobs", "list", "--limit", "0"],
        ["jobs", "list", "--cursor", "bogus"],
        ["jobs", "list", "--since", "1h", "--until", "2h"],
        ["jobs", "nosuch"],
        ["dead", "list", "--cause", "bogus"],
        ["schedules", "add", "example_task", "message=x"],
        ["schedules", "add", "example_task", "message=x", "--cron", "99 * * * *"],
        ["schedules", "add", "example_task", "message=x", "--every", "5m", "--misfire", "bogus"],
        ["workers", "quiet"],
        ["workers", "stop", "x", "--all"],
        ["audit", "--cursor", "x"],
    ],
)
async def test_bad_input_is_status_2(console: Console, words: list[str]) -> None:
    """What is wrong is said on standard error, and nothing is printed or done."""
    assert await console(*words) == ""
    assert (console.status, "Traceback" in console.stderr) == (2, False)
    assert console.stderr
    assert await console("jobs") == ""


@pytest.mark.parametrize(
    "words",
    [
        ["jobs", "show", "nosuch"],
        ["jobs", "watch", "nosuch"],
        ["jobs", "cancel", "nosuch"],
        ["jobs", "retry", "nosuch"],
        ["dead", "discard", "nosuch", "--yes"],
        ["schedules", "pause", "nosuch"],
        ["schedules", "run", "nosuch"],
        ["workers", "quiet", "nosuch"],
        ["workers", "stop", "--all"],
    ],
)
async def test_what_is_not_there_is_status_1(console: Console, words: list[str]) -> None:
    """The message names it."""
    assert await console(*words) == ""
    assert (console.status, len(console.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        ["jobs"],
        ["jobs", "show", "x"],
        ["jobs", "watch", "x"],
        ["jobs", "retry", "x"],
        ["jobs", "retry", "--all", "--yes"],
        ["enqueue", "example_task", "message=x"],
        ["queues", "pause", "default"],
        ["queues", "purge", "default", "--yes"],
        ["schedules"],
        ["workers"],
        ["overview"],
    ],
)
async def test_a_redis_that_is_away_is_status_3(console: Console, jobs: MemoryJobs, words: list[str]) -> None:
    """It says so in a line; nothing is run in its place, whatever JOBS_FALLBACK says."""
    with jobs.redis_away():
        assert await console(*words) == ""
    assert (console.status, len(console.stderr.splitlines())) == (3, 1)
    assert "does not answer" in console.stderr
    assert await console("jobs") == ""


@pytest.mark.parametrize("words", [["jobs"], ["jobs", "show", "x"], ["queues", "pause", "x"]])
async def test_a_bad_setting_is_status_2(console: Console, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not 1: no script is to take it for a job that has failed."""
    from {{ cookiecutter.__package }}.infrastructure.settings import get_settings  # noqa: PLC0415

    monkeypatch.setenv("REDIS_URL", "bogus")
    get_settings.cache_clear()
    assert await console(*words) == ""
    assert (console.status, console.stderr.startswith("REDIS_URL: 'bogus'")) == (2, True)


async def test_nothing_is_done_without_an_entry_in_the_audit_log(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that cannot be used is status 3."""
    from {{ cookiecutter.__package }}.infrastructure.settings import get_settings  # noqa: PLC0415

    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    get_settings.cache_clear()
    assert await console("queues", "pause", "default") == ""
    assert (console.status, "the database cannot be used" in console.stderr) == (3, True)
    assert [line[-1] for line in await console.lines("queues")] in ([], ["no"])


async def test_the_overview_has_hour_and_day(console: Console) -> None:
    """Without any job there is nothing to print, and JSON says 0."""
    found = await console.json("overview")
    assert found["hour"]["throughput"] == found["day"]["succeeded"] == 0
    assert await console("overview") == ""


async def test_the_audit_log_has_filters(console: Console) -> None:
    """And a cursor: the id after which to go on."""
    for name in ("a", "b", "c"):
        await console("queues", "pause", name)
    assert [line[4] for line in await console.lines("audit")] == ["c", "b", "a"]
    assert [line[4] for line in await console.lines("audit", "--target", "b")] == ["b"]
    assert await console("audit", "--action", "job.retry") == ""
    first = await console.json("audit", "-n", "2")
    rest = await console.json("audit", "-n", "2", "--cursor", first["cursor"])
    assert [entry["target"] for entry in (*first["entries"], *rest["entries"])] == ["c", "b", "a"]
    assert rest["cursor"] is None
