"""Exports on real servers: PostgreSQL's rows, a worker that is killed in the middle, one that is told to stop."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest
from sqlalchemy import select, text

from {{ cookiecutter.__package }}.infrastructure.database import get_engine, get_session_context
from {{ cookiecutter.__package }}.infrastructure.jobs import keys
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
from {{ cookiecutter.__package }}.infrastructure.tasks import get_job_manager, get_outbox, get_task_pool
from {{ cookiecutter.__package }}.reports.exports import service, tasks
from {{ cookiecutter.__package }}.reports.exports.models import DataExport, ExportStatus
from {{ cookiecutter.__package }}.reports.exports.storage import get_storage

from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from email.message import EmailMessage

    from httpx import AsyncClient

    from integration.conftest import RunJobs
    from processes import Process
    from signing_in import SignIn

SETTINGS = "integration.reports.export_hands.SETTINGS"
TESTS = str(Path(__file__).parents[2])
#: Seconds after which what does not happen is taken never to happen.
PATIENCE = 60


pytestmark = pytest.mark.usefixtures("redis_url", "on_postgresql")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


def contents(data: bytes) -> dict[str, Any]:
    with ZipFile(io.BytesIO(data)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def files() -> list[str]:
    return [file.name for file in Path(".data/exports").glob("*")]


async def the_export() -> DataExport:
    async with get_session_context() as session:
        return (await session.scalars(select(DataExport))).one()


async def the_end_of(job_id: str) -> Any:
    job = await (await get_task_pool()).job(job_id)
    assert job is not None
    return await job.wait(timeout=PATIENCE)


async def test_an_export_is_made_by_a_worker(
    client: AsyncClient, sign_in: SignIn, run_jobs: RunJobs, mailbox: list[EmailMessage]
) -> None:
    """Asked for over HTTP, made by the worker, mailed, downloaded; the many rows of PostgreSQL come in pages."""
    headers = await sign_in()
    asked = (await client.post("/api/v1/exports", headers=headers)).json()
    async with get_engine().begin() as connection:
        columns = "user_id, status, file, created_at"
        rows = "SELECT 1, 'failed', 'secret-file', now() FROM generate_series(1, 2500)"
        await connection.execute(text(f"INSERT INTO data_exports ({columns}) {rows}"))
    for _ in tasks.TASKS:  # the second comes through the outbox of the first
        await run_jobs(*tasks.TASKS)
    found = (await client.get(f"/api/v1/exports/{asked['export_id']}", headers=headers)).json()
    assert found["status"] == "ready"
    assert found["download_url"] in mailbox[0].as_string().replace("=\n", "").replace("=3D", "=")
    answer = await client.get(found["download_url"].removeprefix(get_settings().public_url))
    exported = contents(answer.content)
    assert [row["id"] for row in exported["data_exports.json"]] == list(range(1, 2502))
    assert "secret-file" not in str(exported)
    job = (await client.get(asked["url"], headers=headers)).json()
    assert job["progress"]["done"] == job["progress"]["total"] == found["rows"]


async def test_those_who_ask_at_the_same_time_share_an_export(client: AsyncClient, sign_in: SignIn) -> None:
    """The database decides who was first; the others get that one, and there is one job."""
    headers = await sign_in()
    answers = await asyncio.gather(*(client.post("/api/v1/exports", headers=headers) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    await get_outbox().relay.settle()
    assert await (await get_task_pool()).zcard(keys.queue()) == 1


@asynccontextmanager
async def worker(tmp_path: Path, name: str) -> AsyncIterator[Process]:
    """Run a worker as a process, which stops in the middle of an export until the file `go-on` is there."""
    gates = {"MIDDLE": str(tmp_path / name), "GO_ON": str(tmp_path / "go-on")}
    async with command("arq", SETTINGS, PYTHONPATH=TESTS, **gates) as process:
        yield process


async def test_a_worker_that_is_killed_leaves_nothing_half_done(
    client: AsyncClient, sign_in: SignIn, tmp_path: Path
) -> None:
    """What it has written cannot be downloaded; another worker makes the export anew, and its file is the only one."""
    headers = await sign_in()
    asked = (await client.post("/api/v1/exports", headers=headers)).json()
    path = f"/api/v1/exports/{asked['export_id']}"
    async with worker(tmp_path, "first") as process:
        await until((tmp_path / "first").exists)
        half = files()
        process.process.kill()
        await process.end()
    assert len(half) == 1
    found = (await client.get(path, headers=headers)).json()
    assert (found["status"], found["download_url"]) == ("waiting", None)

    async with worker(tmp_path, "second"):
        await until((tmp_path / "second").exists)
        assert not set(files()) & set(half)
        (tmp_path / "go-on").touch()
        record = await the_end_of(asked["job_id"])
    assert (record.status, record.result) == ("success", asked["export_id"])
    export = await the_export()
    assert files() == [export.file]
    found = (await client.get(path, headers=headers)).json()
    answer = await client.get(found["download_url"].removeprefix(get_settings().public_url))
    assert contents(answer.content)["users.json"][0]["email"] == "ada@example.com"


async def test_a_job_that_is_cancelled_leaves_no_file(client: AsyncClient, sign_in: SignIn, tmp_path: Path) -> None:
    """Who stops it in the middle finds nothing of it in the storage."""
    asked = (await client.post("/api/v1/exports", headers=await sign_in())).json()
    async with worker(tmp_path, "first"):
        await until((tmp_path / "first").exists)
        assert len(files()) == 1
        assert await (await get_job_manager()).cancel(asked["job_id"], terminate=True)
        await until(lambda: files() == [])
    assert (await the_export()).state is not ExportStatus.READY


async def test_a_run_that_has_been_overtaken_disturbs_nobody(
    sign_in: SignIn, run_jobs: RunJobs, mailbox: list[EmailMessage]
) -> None:
    """A worker that was taken for dead ends after the one that took its place: its file goes, the other's stays."""
    await sign_in()
    stale = await service.begin_export(1, job_id="a")
    await (await get_task_pool()).enqueue("export_user_data", (1,), job_id="a")
    await run_jobs(*tasks.TASKS)
    await run_jobs(*tasks.TASKS)
    export = await the_export()

    async def silent(_done: int, _total: int, _message: str) -> None: ...

    written = await service.store_export(str(stale.file), user_id=1, report=silent)
    async with get_session_context() as session:
        assert not await service.finish_export(session, stale, written)
    await service.discard_file(str(stale.file))
    assert (files(), len(mailbox)) == ([export.file], 1)
    assert get_storage().size(str(export.file)) == export.size
