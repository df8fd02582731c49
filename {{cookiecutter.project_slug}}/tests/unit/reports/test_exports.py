"""Exports of users' data: storing, looking up, downloading, deleting, and the command."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZipFile

import fsspec
import pytest
from sqlalchemy import func, select, update
from typer.testing import CliRunner

from {{ cookiecutter.__package }}.accounts.models import User
from {{ cookiecutter.__package }}.accounts.service import register
from {{ cookiecutter.__package }}.infrastructure import signing
from {{ cookiecutter.__package }}.infrastructure.database import (
    SECRET,
    Base,
    get_engine,
    get_session_context,
    run_command,
)
from {{ cookiecutter.__package }}.infrastructure.settings import (
    ConfigurationError,
    get_settings,
    read_settings,
)
from {{ cookiecutter.__package }}.reports.commands import commands
from {{ cookiecutter.__package }}.reports.exports import routes, service
from {{ cookiecutter.__package }}.reports.exports.models import DataExport, ExportStatus
from {{ cookiecutter.__package }}.reports.exports.settings import ExportSettings
from {{ cookiecutter.__package }}.reports.exports.storage import get_storage, new_file_name
from {{ cookiecutter.__package }}.reports.exports.tables import Rows, find_tables

from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fsspec.implementations.memory import MemoryFileSystem
    from httpx import AsyncClient, Response

    from signing_in import SignIn

FOLDER = Path(".data/exports")


async def silent(_done: int, _total: int, _message: str) -> None: ...


async def add_user(email: str = "ada@example.com", **fields: Any) -> int:
    async with get_session_context() as session:
        user = await register(session, email=email, name=fields.get("name", "Ada"), password="correct horse battery")
        return user.id


async def add_export(user_id: int) -> DataExport:
    """Store an export as the command does."""
    file = new_file_name()
    written = await service.store_export(file, user_id=user_id, report=silent)
    async with get_session_context() as session:
        return await service.add_export(session, user_id=user_id, file=file, written=written)


async def change(export: DataExport, **values: Any) -> None:
    async with get_session_context() as session:
        await session.execute(update(DataExport).where(DataExport.id == export.id).values(values))


async def count() -> int:
    async with get_session_context() as session:
        return await session.scalar(select(func.count()).select_from(DataExport)) or 0


def path_of(url: str) -> str:
    return url.removeprefix(get_settings().public_url)


def contents(data: bytes) -> dict[str, Any]:
    with ZipFile(io.BytesIO(data)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def files() -> list[Path]:
    return sorted(FOLDER.glob("*"))


# What is in it


@pytest.mark.usefixtures("tables")
async def test_the_command_exports_the_tables_of_all_slices(tmp_path: Path) -> None:
    """Also of those that its process has not imported for anything else."""
    user_id, file = await add_user(), tmp_path / "export.zip"
    words = ["reports", "export", str(user_id), "--output", str(file)]
    async with command("{{ cookiecutter.project_slug }}", *words) as process:
        assert await process.end() == 0, process.output
    assert {"users.json", "password_resets.json", "subscriptions.json"} <= set(ZipFile(file).namelist())


@pytest.mark.usefixtures("tables")
async def test_an_export_has_every_table_of_the_user_and_no_secret() -> None:
    """All tables that refer to users are there, with the user's own rows; hashes of passwords and files are not."""
    user_id, other = await add_user(name="Zoë"), await add_user("bob@example.com")
    await add_export(other)
    export = await add_export(user_id)
    found = contents((FOLDER / str(export.file)).read_bytes())
    manifest = found.pop("manifest.json")
    referring = {table.name for table in Base.metadata.tables.values() if "users" in fk_targets(table)}
    assert {f"{name}.json" for name in referring | {"users"}} <= set(found)
    [user] = found["users.json"]
    assert (user["id"], user["email"], user["name"]) == (user_id, "ada@example.com", "Zoë")
    assert "bob@example.com" not in str(found)
    assert manifest["user_id"] == user_id
    assert {table["file"]: table["rows"] for table in manifest["tables"]} == {name: len(found[name]) for name in found}
    assert "password_hash" in manifest["tables"][0]["left_out"]
    secret = {(table.name, column.name) for table in Base.metadata.tables.values() for column in table.columns}
    secret = {(t, c) for t, c in secret if Base.metadata.tables[t].columns[c].info.items() >= SECRET.items()}
    assert {("users", "password_hash"), ("data_exports", "file")} <= secret
    assert not [(t, c) for t, c in secret for row in found.get(f"{t}.json", []) if c in row]


def fk_targets(table: Any) -> set[str]:
    return {key.column.table.name for key in table.foreign_keys}


def test_every_table_of_users_can_be_exported() -> None:
    """Each has a primary key to read its pages by; one that has none fails here, not in a user's export."""
    assert find_tables(Base.metadata.tables["users"], 1)


@pytest.mark.usefixtures("tables")
async def test_what_is_kept_elsewhere_is_handed_in() -> None:
    """A further source is a further file."""
    user_id, file = await add_user(), new_file_name()
    sessions = Rows("sessions", [{"data": {"csrf": "x"}}])
    written = await service.store_export(file, user_id=user_id, extra=[sessions], report=silent)
    assert contents((FOLDER / file).read_bytes())["sessions.json"] == [{"data": {"csrf": "x"}}]
    assert written == (2, (FOLDER / file).stat().st_size)


# The life of an export


@pytest.mark.usefixtures("tables")
async def test_a_user_has_one_export_that_waits() -> None:
    """Who asks again gets the same, until it is ready or has failed."""
    user_id = await add_user()
    async with get_session_context() as session:
        first = await service.request_export(session, user_id)
        assert (await service.request_export(session, user_id)).id == first.id
    first = await service.begin_export(user_id, job_id="a")
    async with get_session_context() as session:
        await service.fail_export(session, "a")
        second = await service.request_export(session, user_id)
    assert second.id != first.id
    async with get_session_context() as session:
        assert await session.get(DataExport, first.id, populate_existing=True)
        failed = await service.find_export(session, user_id=user_id, export_id=first.id)
    assert failed is not None
    assert failed.state is ExportStatus.FAILED


@pytest.mark.usefixtures("tables")
async def test_nobody_has_no_export() -> None:
    """There is no row for a user that does not exist."""
    async with get_session_context() as session:
        with pytest.raises(service.UnknownUserError, match="no user has the id 7"):
            await service.request_export(session, 7)


@pytest.mark.usefixtures("tables")
async def test_a_later_try_starts_over() -> None:
    """It makes the same export under another name, and what the one before has left is gone."""
    user_id = await add_user()
    first = await service.begin_export(user_id, job_id="a")
    with get_storage().create(str(first.file)) as half:
        half.write(b"half")
    second = await service.begin_export(user_id, job_id="a")
    assert second.id == first.id
    assert second.file != first.file
    assert files() == []


@pytest.mark.usefixtures("tables")
async def test_of_two_that_make_an_export_the_later_to_begin_wins() -> None:
    """The other has nothing to say any more, whichever of them ends first."""
    user_id = await add_user()
    first = await service.begin_export(user_id, job_id="a")
    second = await service.begin_export(user_id, job_id="b")
    written = service.Written(rows=1, size=2)
    async with get_session_context() as session:
        assert not await service.finish_export(session, first, written)
        assert await service.finish_export(session, second, written)
        assert not await service.finish_export(session, first, written)
    again = await service.begin_export(user_id, job_id="b")
    assert (again.id, again.file, again.state) == (second.id, second.file, ExportStatus.READY)


@pytest.mark.usefixtures("tables")
async def test_nothing_is_left_of_an_export_that_fails() -> None:
    """An error in the middle is raised, and the file is gone."""

    async def report(_done: int, _total: int, _message: str) -> None:
        assert len(files()) == 1
        raise ConnectionError("the database is gone")

    user_id = await add_user()
    with pytest.raises(ConnectionError):
        await service.store_export(new_file_name(), user_id=user_id, report=report)
    assert files() == []


# Looking up and downloading


async def test_an_export_is_downloaded_by_its_link(client: AsyncClient, sign_in: SignIn) -> None:
    """Who is signed in gets the link, and whoever has the link gets the file."""
    headers, export = await sign_in(), await add_export(1)
    found = (await client.get(f"/api/v1/exports/{export.id}", headers=headers)).json()
    assert (found["status"], found["rows"]) == ("ready", export.rows)
    assert datetime.fromisoformat(found["expires_at"]) - datetime.fromisoformat(found["finished_at"]) == timedelta(7)
    answer = await client.get(path_of(found["download_url"]))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="export-{export.id}.zip"'
    assert answer.headers["cache-control"] == "private, no-store"
    assert int(answer.headers["content-length"]) == len(answer.content) == found["size"]
    assert contents(answer.content)["users.json"][0]["email"] == "ada@example.com"


async def test_a_download_holds_no_connection(
    client: AsyncClient, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes, others get the connections of the database."""
    await sign_in()
    url = service.download_url(await add_export(1))
    held: list[str] = []
    chunks = routes._chunks

    async def watched(file: IO[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks(file):
            held.append(get_engine().pool.status())
            yield chunk

    monkeypatch.setattr(routes, "_chunks", watched)
    answer = await client.get(path_of(str(url)), headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none")
    assert [status.rpartition(" ")[2] for status in held] == ["0"]


async def test_a_link_to_what_is_gone_leads_to_no_other(client: AsyncClient) -> None:
    """The next export of somebody else has another id, on SQLite too; so a link that still holds gives nothing."""
    ada, bob = await add_user(), await add_user("bob@example.com")
    export = await add_export(ada)
    async with get_session_context() as session:
        await session.delete(await session.get_one(User, ada))
    other = await add_export(bob)
    answer = await client.get(path_of(str(service.download_url(export))))
    assert (answer.status_code, other.id == export.id) == (404, False)


async def test_a_long_file_comes_in_chunks(
    client: AsyncClient, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the parts are that it is read in, the file arrives whole."""
    monkeypatch.setattr("{{ cookiecutter.__package }}.reports.exports.routes.CHUNK", 100)
    headers, export = await sign_in(), await add_export(1)
    found = (await client.get(f"/api/v1/exports/{export.id}", headers=headers)).json()
    answer = await client.get(path_of(found["download_url"]))
    assert answer.content == (FOLDER / str(export.file)).read_bytes()


async def test_exports_of_others_are_not_there(client: AsyncClient, sign_in: SignIn) -> None:
    """Neither to other users, nor to those who are not signed in."""
    await sign_in()
    export, other = await add_export(1), await sign_in("bob@example.com")
    assert (await client.get(f"/api/v1/exports/{export.id}", headers=other)).status_code == 404
    assert (await client.get(f"/api/v1/exports/{export.id + 1}", headers=other)).status_code == 404
    assert (await client.get(f"/api/v1/exports/{export.id}")).status_code == 401


async def download(client: AsyncClient, export_id: int, token: str) -> Response:
    return await client.get(f"/api/v1/exports/{export_id}/download", params={"token": token})


async def test_a_wrong_link_leads_nowhere(client: AsyncClient, sign_in: SignIn) -> None:
    """A link that is forged, for another export, or for another purpose, finds nothing; and the answer is the same."""
    await sign_in()
    export, second = await add_export(1), await add_export(1)
    hour = timedelta(hours=1)
    token = signing.sign(service.PURPOSE, {"export": export.id}, ttl=hour)
    tokens = {
        (export.id, "nonsense"),
        (export.id, token + "x"),
        (export.id, signing.sign("access", {"export": export.id}, ttl=hour)),
        (export.id, signing.sign(service.PURPOSE, {"export": export.id}, ttl=-hour)),
        (export.id, signing.sign(service.PURPOSE, {}, ttl=hour)),
        (second.id, token),
        (99, signing.sign(service.PURPOSE, {"export": 99}, ttl=hour)),
    }
    answers = [await download(client, export_id, token) for export_id, token in tokens]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert (await client.get(f"/api/v1/exports/{export.id}/download")).status_code == 422
    assert (await download(client, export.id, token)).status_code == 200


@pytest.mark.parametrize("status", [ExportStatus.WAITING, ExportStatus.FAILED, ExportStatus.EXPIRED])
async def test_only_what_is_ready_can_be_downloaded(status: ExportStatus, client: AsyncClient, sign_in: SignIn) -> None:
    """A link that is signed for longer than the export lives does not help, nor does half a file."""
    headers, export = await sign_in(), await add_export(1)
    now = datetime.now(UTC)
    await change(export, **({"expires_at": now} if status is ExportStatus.EXPIRED else {"status": status}))
    found = (await client.get(f"/api/v1/exports/{export.id}", headers=headers)).json()
    assert (found["status"], found["download_url"]) == (status, None)
    token = signing.sign(service.PURPOSE, {"export": export.id}, ttl=timedelta(hours=1))
    assert (await download(client, export.id, token)).status_code == 404


async def test_a_file_that_is_gone_is_not_found(client: AsyncClient, sign_in: SignIn) -> None:
    """The storage has lost it: that is no error of the server's."""
    await sign_in()
    export = await add_export(1)
    get_storage().delete(str(export.file))
    token = signing.sign(service.PURPOSE, {"export": export.id}, ttl=timedelta(hours=1))
    assert (await download(client, export.id, token)).status_code == 404


# Where files are


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """Keep the files in memory, by a URL."""
    monkeypatch.setenv("REPORTS_STORAGE", "memory://bucket/exports")
    get_settings.cache_clear()
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()


async def test_the_storage_is_any_that_fsspec_knows(
    client: AsyncClient, sign_in: SignIn, bucket: MemoryFileSystem
) -> None:
    """What holds for a folder holds for a URL: written, downloaded, deleted."""
    headers, export = await sign_in(), await add_export(1)
    assert list(bucket.store) == [f"/bucket/exports/{export.file}"]
    found = (await client.get(f"/api/v1/exports/{export.id}", headers=headers)).json()
    answer = await client.get(path_of(found["download_url"]))
    assert contents(answer.content)["users.json"][0]["email"] == "ada@example.com"
    await change(export, expires_at=datetime.now(UTC))
    assert await service.delete_expired() == 1
    assert not bucket.store


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("REPORTS_STORAGE", "nonsense://a", "REPORTS_STORAGE: 'nonsense://a' cannot be used: Protocol not known"),
        ("REPORTS_EXPORT_DAYS", "0", "REPORTS_EXPORT_DAYS: '0' input should be greater than 0"),
    ],
)
def test_a_setting_that_cannot_work_shows_at_start(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        read_settings(ExportSettings)
    assert str(caught.value).startswith(problem)


# Deleting


@pytest.mark.usefixtures("tables")
async def test_what_is_over_is_deleted_with_its_file() -> None:
    """Exports that have expired, failed, or never ended go after their time; others stay, however large a batch is."""
    assert await service.delete_expired() == 0
    user_id, other = await add_user(), await add_user("bob@example.com")
    exports = [await add_export(user_id) for _ in range(8)]
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=7, seconds=1)
    for export in exports[:5]:
        await change(export, expires_at=now)
    await change(exports[5], status=ExportStatus.FAILED, expires_at=None, created_at=long_ago)
    await change(exports[6], status=ExportStatus.FAILED, expires_at=None)
    waiting = await service.begin_export(user_id, job_id="a")
    await change(waiting, created_at=long_ago)
    await service.begin_export(other, job_id="b")
    assert await service.delete_expired(batch=2) == 7
    assert await count() == 3
    assert [file.name for file in files()] == sorted(str(export.file) for export in exports[6:])
    assert await service.delete_expired() == 0


@pytest.mark.usefixtures("tables")
async def test_files_that_nobody_has_are_deleted_when_they_are_old() -> None:
    """Not before any export of their age has expired, and no files of other names."""
    user_id = await add_user()
    export = await add_export(user_id)
    names = {name: new_file_name() for name in ("old", "young")}
    old = (datetime.now(UTC) - timedelta(days=8)).timestamp()
    for name in (*names.values(), "export-of-somebody.zip", "notes.txt"):
        (FOLDER / name).touch()
    for file in files():
        os.utime(file, None if file.name == names["young"] else (old, old))
    assert await service.delete_expired() == 0
    assert {file.name for file in files()} == {export.file, names["young"], "export-of-somebody.zip", "notes.txt"}


@pytest.mark.usefixtures("tables")
async def test_an_export_goes_with_its_user() -> None:
    """The row goes at once; nothing leads to the file then."""
    user_id = await add_user()
    export = await service.begin_export(user_id, job_id="a")
    async with get_session_context() as session:
        await session.delete(await session.get_one(User, user_id))
    assert await count() == 0
    async with get_session_context() as session:
        assert not await service.finish_export(session, export, service.Written(1, 1))


# The command


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(commands, ["export", *words])
    return done.exit_code, done.output


@pytest.fixture
def ada() -> int:
    """Make the tables, and a user in them, outside an event loop: a command makes its own."""

    async def make() -> int:
        async with get_engine().begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        return await add_user()

    return run_command(make())


def test_the_command_stores_an_export_and_prints_where(ada: int) -> None:
    """It prints the path of the file, and a link that the user can download it by."""
    status, output = run(str(ada))
    path, url = output.splitlines()
    assert status == 0
    assert contents(Path(path).read_bytes())["users.json"][0]["id"] == ada
    assert Path(path) == files()[0].resolve()
    assert url.startswith("http://127.0.0.1:8000/api/v1/exports/1/download?token=")


def test_the_command_writes_a_file(ada: int) -> None:
    """It takes the place of what was there; the storage is left alone, and nothing else is left behind."""
    output = Path("my data.zip")
    output.write_text("old")
    assert run(str(ada), "--output", str(output)) == (0, "my data.zip\n")
    assert contents(output.read_bytes())["users.json"][0]["email"] == "ada@example.com"
    assert not FOLDER.exists()
    assert not list(Path().glob("*.part"))
    assert run_command(count()) == 0


@pytest.mark.parametrize("words", [[], ["--output", "new.zip"]])
def test_the_command_knows_no_such_user(words: list[str], ada: int) -> None:
    """One line says so, with exit status 1, and there is no file."""
    assert run(str(ada + 1), *words) == (1, f"no user has the id {ada + 1}\n")
    assert files() == list(Path().glob("new*")) == []


def test_the_command_says_where_it_cannot_write(ada: int) -> None:
    """A folder that is not there is one line, with exit status 1."""
    status, problem = run(str(ada), "--output", "nowhere/a.zip")
    assert status == 1
    assert problem.startswith("[Errno 2] No such file or directory")
    assert problem.count("\n") == 1
