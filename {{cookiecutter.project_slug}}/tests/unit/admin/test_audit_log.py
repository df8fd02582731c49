"""Writing the audit log, and reading it."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, event, select, update
from sqlalchemy.exc import OperationalError
from structlog.testing import CapturingLogger

from {{ cookiecutter.__package }}.accounts import service
from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.infrastructure import audit
from {{ cookiecutter.__package }}.infrastructure.audit import (
    Actor,
    AuditEntry,
    Outcome,
    audited,
    cli_actor,
    list_entries,
)
from {{ cookiecutter.__package }}.infrastructure.database import (
    Base,
    get_engine,
    get_session_context,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ADA = Actor("ada@example.com")

pytestmark = pytest.mark.usefixtures("tables")


async def entries(**filters: Any) -> Sequence[AuditEntry]:
    async with get_session_context() as session:
        return await list_entries(session, **filters)


async def test_an_entry_is_there_before_the_action_and_tells_its_end() -> None:
    """Whoever looks meanwhile finds it, with what is known so far."""
    async with audited(ADA, "job.retry", "j1", edited=["args"]) as entry:
        [before] = await entries()
        entry.details["new_job_id"] = "j2"
    [after] = await entries()
    assert (before.outcome, before.details) == (Outcome.STARTED, {"edited": ["args"]})
    assert (after.id, after.time) == (before.id, before.time)
    assert (after.actor, after.user_id, after.action, after.target) == ("ada@example.com", None, "job.retry", "j1")
    assert (after.outcome, after.error) == (Outcome.DONE, None)
    assert after.details == {"edited": ["args"], "new_job_id": "j2"}


async def test_an_action_that_fails_is_told_and_its_error_raised() -> None:
    """With what it had done by then."""

    async def act() -> None:
        async with audited(ADA, "jobs.retry") as entry:
            entry.details["done"] = 3
            raise LookupError("gone")

    with pytest.raises(LookupError):
        await act()
    [written] = await entries()
    assert (written.outcome, written.error, written.details) == (Outcome.FAILED, "gone", {"done": 3})


async def test_an_action_that_is_broken_off_is_told() -> None:
    """Such as that of a command at Ctrl-C."""
    begun = asyncio.Event()

    async def act() -> None:
        async with audited(ADA, "jobs.cancel"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(act())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [written] = await entries()
    assert (written.outcome, written.error) == (Outcome.FAILED, "CancelledError")


async def test_without_an_entry_there_is_no_action() -> None:
    """Nothing is done that nobody could find out."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    acted = False
    with pytest.raises(OperationalError):
        async with audited(ADA, "job.retry", "j1"):
            acted = True
    assert not acted


async def test_an_action_that_is_done_does_not_fail_because_nobody_can_write_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The entry stays as it was, and the log says what it should say."""

    def refuse(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement.startswith("UPDATE"):
            raise OperationalError(statement, {}, RuntimeError("disk full"))

    monkeypatch.setattr(audit.log, "logger", logger := CapturingLogger())
    engine = get_engine().sync_engine
    event.listen(engine, "before_cursor_execute", refuse)
    async with audited(ADA, "job.retry", "j1"):
        pass
    event.remove(engine, "before_cursor_execute", refuse)
    [written] = await entries()
    assert written.outcome == Outcome.STARTED
    [call] = logger.calls
    assert (call.method_name, call.args) == ("error", ("no outcome in the audit log",))
    assert (call.kwargs["entry"], call.kwargs["outcome"]) == (written.id, "done")


async def test_secrets_are_masked() -> None:
    """However deep, before the action and after it."""
    async with audited(ADA, "job.retry", "j1", kwargs={"password": "hunter2", "to": ["ada"]}) as entry:
        [before] = await entries()
        entry.details["token"] = "hunter2"
    [after] = await entries()
    assert before.details == {"kwargs": {"password": "***", "to": ["ada"]}}
    assert after.details == {"kwargs": {"password": "***", "to": ["ada"]}, "token": "***"}


async def test_anything_can_be_written() -> None:
    """What has no form in a database, or in JSON, is written as something that has."""
    odd = [float("nan"), float("-inf"), b"\xff", {1}, "\x00\ud800", {"\ud800\x00": 1, 2: 3}, object()]

    async def act() -> None:
        async with audited(Actor("\x00\ud800"), "job.retry", "\x00\ud800", odd=odd):
            raise ValueError("broken \x00 \udcff" + "x" * 5000)

    with pytest.raises(ValueError, match="broken"):
        await act()
    [written] = await entries()
    assert written.actor == written.target == "\\x00\\ud800"
    assert written.details["odd"][:-1] == ["nan", "-inf", "_w==", [1], "\\x00\\ud800", {"\\ud800\\x00": 1, "2": 3}]
    assert str(written.error).startswith("broken \\x00 \\udcff")
    assert len(str(written.error)) == 2000


async def test_an_entry_outlives_its_user() -> None:
    """It still says who it was."""
    async with get_session_context() as session:
        user = await service.register(session, email="ada@example.com", name="Ada")
    async with audited(Actor(user.email, user.id), "job.retry", "j1"):
        pass
    [before] = await entries()
    async with get_session_context() as session:
        await session.execute(delete(User).where(User.id == user.id))
    [after] = await entries()
    assert before.user_id == user.id
    assert (after.user_id, after.actor) == (None, "ada@example.com")


async def test_listing() -> None:
    """The latest comes first; each filter leaves out what does not fit, and all hold together."""
    bob = Actor("bob@example.com")
    for actor, action, target in [(ADA, "job.retry", "j1"), (bob, "job.cancel", "j1"), (ADA, "job.cancel", "j2")]:
        async with audited(actor, action, target):
            pass
    third, second, first = await entries()
    assert [each.target for each in (first, second, third)] == ["j1", "j1", "j2"]

    async def ids(**filters: Any) -> list[int]:
        return [entry.id for entry in await entries(**filters)]

    assert await ids(action="job.cancel") == [third.id, second.id]
    assert await ids(actor="ada@example.com") == [third.id, first.id]
    assert await ids(target="j1") == [second.id, first.id]
    assert await ids(actor="ada@example.com", target="j1") == [first.id]
    assert await ids(before=third.id, limit=1) == [second.id]
    moment = first.time - timedelta(hours=1)
    async with get_session_context() as session:
        await session.execute(update(AuditEntry).where(AuditEntry.id == second.id).values(time=moment))
    assert await ids(until=moment + timedelta(seconds=1)) == [second.id]
    assert await ids(since=moment + timedelta(seconds=1)) == [third.id, first.id]
    assert await ids(since=moment, until=moment) == []


def test_somebody_on_the_command_line_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever they are to the system, even if that has no name for them."""
    monkeypatch.setattr("socket.gethostname", lambda: "web-1")
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    assert cli_actor() == Actor("cli:ada@web-1")

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert cli_actor() == Actor("cli:?@web-1")


async def test_it_needs_no_slice() -> None:
    """A command writes to it without having loaded the accounts, whose table an entry refers to."""
    code = f"""
import asyncio
from {audit.__name__} import *

async def act():
    async with audited(Actor("cli:ada"), "job.retry", "j1"):
        pass

asyncio.run(act())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
    async with get_session_context() as session:
        assert await session.scalar(select(AuditEntry.outcome)) == Outcome.DONE
