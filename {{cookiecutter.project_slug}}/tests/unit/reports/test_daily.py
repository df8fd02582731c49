"""The daily report: counting, storing, mailing in place, and reading it over HTTP."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from {{ cookiecutter.__package }}.accounts.models import Role, User
from {{ cookiecutter.__package }}.infrastructure import mail
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.reports import sources
from {{ cookiecutter.__package }}.reports.daily import service
from {{ cookiecutter.__package }}.reports.daily.models import DailyReport

if TYPE_CHECKING:
    from email.message import EmailMessage

    from httpx import AsyncClient

    from signing_in import SignIn

DAY = date(2026, 2, 28)
NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)
JOBS = {"run": 2, "succeeded": 1, "failed": 1, "cancelled": 0, "slowest": [], "complete": True}


async def add_users(*moments: datetime, role: Role = Role.USER) -> None:
    async with get_session_context() as session:
        first = (await session.scalars(select(func.count()).select_from(User))).one()
        for number, moment in enumerate(moments, first):
            session.add(User(email=f"user{number}@example.com", name="Ada", role=role, created_at=moment))


async def write(day: date = DAY, jobs: dict[str, Any] | None = None) -> DailyReport:
    async with get_session_context() as session:
        return await service.write_report(session, day, jobs=jobs)


@pytest.mark.usefixtures("tables")
async def test_sign_ups_of_the_day_are_counted() -> None:
    """A day begins at midnight in UTC and ends before the next midnight, whatever zone a moment is written in."""
    start = datetime(2026, 2, 28, tzinfo=UTC)
    last = start + timedelta(days=1) - timedelta(microseconds=1)
    await add_users(start - timedelta(microseconds=1), start, last, start + timedelta(days=1))
    assert (await write()).figures["sign_ups"] == 2
    assert (await write(date(2026, 2, 27))).figures["sign_ups"] == 1


@pytest.mark.usefixtures("tables")
async def test_every_source_has_its_figures() -> None:
    """What is listed is counted, and a day on which nothing happened has a report, too."""
    report = await write()
    assert set(report.figures) == set(sources.SOURCES)
    assert service.compose(report).subject == "What happened on 2026-02-28"


@pytest.mark.usefixtures("tables")
async def test_another_run_replaces_the_figures() -> None:
    """There is one report for a day, which says what the last run has counted."""
    first = await write()
    await add_users(NOON)
    second = await write()
    assert (first.figures["sign_ups"], second.figures["sign_ups"]) == (0, 1)
    assert (second.id, second.created_at) == (first.id, first.created_at)
    async with get_session_context() as session:
        assert (await session.scalars(select(func.count()).select_from(DailyReport))).one() == 1


@pytest.mark.usefixtures("tables")
async def test_figures_of_jobs_are_not_replaced_by_worse_ones() -> None:
    """What is forgotten of jobs meanwhile stays in the report; whatever is complete replaces what is there."""
    assert "jobs" not in (await write()).figures
    partial = {**JOBS, "run": 1, "complete": False}
    assert (await write(jobs=partial)).figures["jobs"] == partial
    assert (await write()).figures["jobs"] == partial
    assert (await write(jobs={**partial, "run": 3})).figures["jobs"]["run"] == 3
    assert (await write(jobs=JOBS)).figures["jobs"] == JOBS
    assert (await write(jobs=partial)).figures["jobs"] == JOBS
    assert (await write(jobs={**JOBS, "run": 4})).figures["jobs"]["run"] == 4


@pytest.mark.usefixtures("tables")
async def test_a_day_that_is_not_over_has_no_report() -> None:
    """Neither today nor days to come, nor days before there was anything; the message says what to give."""
    today = datetime.now(UTC).date()
    for day in (today, date.max, date(1999, 12, 31), date.min):
        with pytest.raises(service.UnreportableDayError, match=f"{day}: give a day that is over in UTC"):
            await write(day)
    assert (await write(today - timedelta(days=1))).day == today - timedelta(days=1)


def test_the_day_before_is_that_in_utc() -> None:
    """The zone of a moment does not matter."""
    ahead = datetime.fromisoformat("2026-03-01T01:00:00+02:00")  # 23:00 of 28 February in UTC
    assert service.day_before(ahead) == date(2026, 2, 27)


@pytest.mark.usefixtures("tables")
async def test_the_message_tells_of_jobs() -> None:
    """How many ran and failed, the slowest, and whether some are missing."""
    slowest = [{"task": "send_email", "job_id": "abc", "seconds": 61.25}]
    text = service.compose(await write(jobs={**JOBS, "slowest": slowest})).text
    assert "Jobs: 2 run, 1 failed\n  61.2 s  send_email  abc\n" in text
    assert "not all jobs" not in text
    text = service.compose(await write(date(2026, 2, 27), jobs={**JOBS, "complete": False})).text
    assert "not all jobs of the day" in text


@pytest.mark.usefixtures("tables")
async def test_admins_get_it_in_place_once(mailbox: list[EmailMessage]) -> None:
    """Each admin gets one message for a report, however often it is made; others get none."""
    await add_users(NOON, NOON, role=Role.ADMIN)
    await add_users(NOON)
    _, problems = await service.report_in_place(DAY)
    assert problems == {"user0@example.com": None, "user1@example.com": None}
    assert sorted(message["To"] for message in mailbox) == ["user0@example.com", "user1@example.com"]
    assert "Sign-ups: 3\n" in str(mailbox[0].get_body().get_content())  # type: ignore[union-attr]
    report, problems = await service.report_in_place(DAY)
    assert (len(mailbox), problems) == (2, {})
    assert report.mailed_at is not None


@pytest.mark.usefixtures("tables")
async def test_a_report_for_nobody_waits_for_an_admin(mailbox: list[EmailMessage]) -> None:
    """Where there is no admin yet it was not mailed; the next run mails it to those who are there then."""
    report, problems = await service.report_in_place(DAY)
    assert (report.mailed_at, problems) == (None, {})
    await add_users(NOON, role=Role.ADMIN)
    report, _ = await service.report_in_place(DAY)
    assert (report.mailed_at is None, [message["To"] for message in mailbox]) == (False, ["user0@example.com"])


@pytest.mark.usefixtures("tables")
async def test_one_bad_address_keeps_nobody_from_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others get theirs; where nobody could be reached, the next run mails again."""
    await add_users(NOON, NOON, role=Role.ADMIN)
    refused = {"user0@example.com"}
    sent: list[str] = []

    async def send(to: str, content: mail.Content) -> None:  # noqa: ARG001
        if to in refused:
            raise mail.PermanentMailError("550 no such user")
        sent.append(to)

    monkeypatch.setattr(mail, "send_content", send)
    _, problems = await service.report_in_place(DAY)
    assert sent == ["user1@example.com"]
    assert [str(problem) for problem in problems.values()] == ["550 no such user", "None"]
    assert (await service.report_in_place(DAY))[1] == {}

    refused.add("user1@example.com")
    other = date(2026, 2, 27)
    assert len((await service.report_in_place(other))[1]) == 2
    refused.clear()
    await service.report_in_place(other)
    assert sent == ["user1@example.com", "user0@example.com", "user1@example.com"]


@pytest.mark.parametrize("role", ["admin", "viewer"])
async def test_admins_and_viewers_read_reports(client: AsyncClient, sign_in: SignIn, role: str) -> None:
    """The latest first, a page at a time; one by its day."""
    for day in range(1, 4):
        await write(date(2026, 2, day))
    headers = await sign_in("boss@example.com", role=role)
    page = (await client.get("/api/v1/reports?limit=2", headers=headers)).json()
    assert [report["day"] for report in page["items"]] == ["2026-02-03", "2026-02-02"]
    assert page["before"] == "2026-02-02"
    page = (await client.get(f"/api/v1/reports?limit=2&before={page['before']}", headers=headers)).json()
    assert ([report["day"] for report in page["items"]], page["before"]) == (["2026-02-01"], None)
    report = (await client.get("/api/v1/reports/2026-02-01", headers=headers)).json()
    assert (report["day"], report["figures"]["sign_ups"]) == ("2026-02-01", 0)
    assert report["created_at"].endswith("Z")
    assert (await client.get("/api/v1/reports/2026-02-05", headers=headers)).status_code == 404
    for wrong in ("1", "20260201", "2026-02-30", "2026-02-01T00:00:00Z"):
        assert (await client.get(f"/api/v1/reports/{wrong}", headers=headers)).status_code == 422
        assert (await client.get(f"/api/v1/reports?before={wrong}", headers=headers)).status_code == 422


@pytest.mark.parametrize("path", ["/api/v1/reports", "/api/v1/reports/2026-02-01"])
async def test_others_do_not(client: AsyncClient, sign_in: SignIn, path: str) -> None:
    """It takes an admin."""
    assert (await client.get(path)).status_code == 401
    assert (await client.get(path, headers=await sign_in())).status_code == 403


def test_sources_go_by_their_lines(tmp_path: Path) -> None:
    """Without the lines that name another slice the module still is one, and counts what is left."""
    source = Path(str(sources.__file__))
    slices = {path.parent.name for path in source.parents[1].glob("*/models.py")} - {"accounts", "reports"}
    package = tmp_path / source.parents[1].name
    for name in ("accounts", "infrastructure", *slices):
        (package / name).parent.mkdir(exist_ok=True)
        if name not in slices:
            (package / name).symlink_to(source.parents[1] / name)
    (package / "__init__.py").symlink_to(source.parents[1] / "__init__.py")
    (package / "reports").mkdir()
    (package / "reports" / "__init__.py").touch()
    lines = source.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not any(name in line for name in slices)]
    (package / "reports" / "sources.py").write_text("".join(kept))
    code = f"from {package.name}.reports.sources import SOURCES; print(*SOURCES)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "sign_ups\n"
