"""What can be done with exports, whoever asks; knows neither HTTP nor jobs.

An export is a row that waits, then is ready and has a file. Whoever makes the file writes it under a name of its own,
which stands in the row from the beginning; when the file is complete the row becomes ready, if that name still stands
there. So half a file is never given to anybody, and of several that make the same export the last to begin wins.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import and_, delete, or_, select, update

from ...accounts.models import User
from ...infrastructure import mail, signing
from ...infrastructure.database import get_session_context, import_models, insert
from ...infrastructure.settings import get_settings
from .archive import write_archive
from .models import DataExport, ExportStatus
from .settings import ExportSettings
from .storage import get_storage, new_file_name
from .tables import find_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from sqlalchemy.ext.asyncio import AsyncSession

    from .archive import Report
    from .tables import Source

#: What download links are signed for.
PURPOSE = "export"
#: Exports that the clean-up deletes in one transaction.
BATCH = 100


class UnknownUserError(Exception):
    """No such user."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"no user has the id {user_id}")


class ExportUnavailableError(Exception):
    """A link leads nowhere; it is not said why."""

    def __init__(self) -> None:
        super().__init__("there is no such export, or it can no longer be downloaded; ask for a new one")


class Written(NamedTuple):
    """What has been written."""

    rows: int
    size: int


async def check_user(session: AsyncSession, user_id: int) -> None:
    """Look whether there is such a user, who cannot be deleted then before the caller's transaction ends.

    Raises:
        UnknownUserError: there is not.
    """
    user = select(User.id).where(User.id == user_id).with_for_update(read=True, key_share=True)
    if await session.scalar(user) is None:
        raise UnknownUserError(user_id)


async def find_export(session: AsyncSession, *, user_id: int, export_id: int) -> DataExport | None:
    """Find an export of a user."""
    return await session.scalar(select(DataExport).where(DataExport.id == export_id, DataExport.user_id == user_id))


async def find_waiting(session: AsyncSession, user_id: int) -> DataExport | None:
    """Find the user's export that waits; there is one at most."""
    waiting = DataExport.status == ExportStatus.WAITING
    return await session.scalar(select(DataExport).where(DataExport.user_id == user_id, waiting))


async def request_export(session: AsyncSession, user_id: int) -> DataExport:
    """Give the user's export that waits, or add one to the caller's transaction; that has no `job_id` yet.

    Raises:
        UnknownUserError: there is no such user.
    """
    await check_user(session, user_id)
    while True:
        # Two may ask at the same time, so the database decides.
        await session.execute(insert(session, DataExport).values(user_id=user_id).on_conflict_do_nothing())
        if export := await find_waiting(session, user_id):
            return export


async def begin_export(user_id: int, *, job_id: str) -> DataExport:
    """Give the export that this job makes: the one that it has made, that waits, or a new one.

    One that is not ready has a new file's name, and what an earlier try has left is deleted.

    Raises:
        UnknownUserError: there is no such user.
    """
    async with get_session_context() as session:
        made = DataExport.job_id == job_id, DataExport.status == ExportStatus.READY
        if export := await session.scalar(select(DataExport).where(DataExport.user_id == user_id, *made)):
            return export
        export = await request_export(session, user_id)
        left, export.file, export.job_id = export.file, new_file_name(), job_id
    if left:
        await discard_file(left)
    return export


async def write_user_data(
    user_id: int, create: Callable[[], IO[bytes]], *, extra: Sequence[Source] = (), report: Report
) -> int:
    """Write all that the database has about a user, and what `extra` has, into a new file; give the number of rows."""
    import_models()
    sources = [*find_tables(User.metadata.tables[User.__tablename__], user_id), *extra]
    return await write_archive(create, sources, user_id=user_id, report=report)


async def store_export(file: str, *, user_id: int, extra: Sequence[Source] = (), report: Report) -> Written:
    """Write a user's data into a new file of the storage; nothing is left of it if that fails."""
    storage = get_storage()
    try:
        rows = await write_user_data(user_id, lambda: storage.create(file), extra=extra, report=report)
    except BaseException:
        await asyncio.to_thread(storage.delete, file)
        raise
    return Written(rows, await asyncio.to_thread(storage.size, file))


async def finish_export(session: AsyncSession, export: DataExport, written: Written) -> bool:
    """Make an export ready; False if another has taken it over, or it is gone: then its file serves nobody."""
    mine = DataExport.id == export.id, DataExport.file == export.file, DataExport.status == ExportStatus.WAITING
    values = {"status": ExportStatus.READY, **_finished(written)}
    return bool(await session.scalar(update(DataExport).where(*mine).values(values).returning(DataExport.id)))


async def discard_file(file: str) -> None:
    """Delete the file of an export that has become another's, or is gone."""
    await asyncio.to_thread(get_storage().delete, file)


async def add_export(session: AsyncSession, *, user_id: int, file: str, written: Written) -> DataExport:
    """Add an export whose file is there already."""
    export = DataExport(user_id=user_id, file=file, status=ExportStatus.READY, **_finished(written))
    session.add(export)
    await session.flush()
    return export


async def fail_export(session: AsyncSession, job_id: str) -> None:
    """Give up what a job has not finished."""
    mine = DataExport.job_id == job_id, DataExport.status == ExportStatus.WAITING
    await session.execute(update(DataExport).where(*mine).values(status=ExportStatus.FAILED))


def download_url(export: DataExport) -> str | None:
    """Make the link that whoever has it can download the export by, until that expires; None if it is not ready."""
    if export.state is not ExportStatus.READY or export.expires_at is None:
        return None
    token = signing.sign(PURPOSE, {"export": export.id}, ttl=export.expires_at - datetime.now(UTC))
    address = f"{get_settings().public_url}/api/v1/exports/{export.id}/download"
    return f"{address}?{urlencode({'token': token})}"


async def open_download(*, export_id: int, token: str) -> tuple[DataExport, IO[bytes]]:
    """Open the file that a link leads to; the session is its own, for a download may take longer than any should.

    Raises:
        ExportUnavailableError: the link is not signed for this export, has expired, or the file is gone.
    """
    try:
        claims = signing.verify(PURPOSE, token)
        async with get_session_context() as session:
            export = await session.get(DataExport, export_id) if claims.get("export") == export_id else None
        if export is None or export.state is not ExportStatus.READY or export.file is None:
            raise ExportUnavailableError
        return export, await asyncio.to_thread(get_storage().open, export.file)
    except (signing.InvalidTokenError, FileNotFoundError):
        raise ExportUnavailableError from None


async def compose_mail(session: AsyncSession, export_id: int) -> tuple[str, mail.Content] | None:
    """Compose the message that an export is ready, and give it with the user's address; None if it is gone."""
    export = await session.get(DataExport, export_id)
    url = download_url(export) if export else None
    user = await session.get(User, export.user_id) if export and url else None
    if not (export and url and user):
        return None
    return user.email, mail.compose("reports/export_ready", name=user.name, url=url, expires_at=export.expires_at)


async def delete_expired(*, batch: int = BATCH) -> int:
    """Delete exports whose time is over or that were never finished, with their files, and files without an export.

    Each batch is a transaction of its own; the files go first, so that none is forgotten if the storage fails.

    Returns:
        How many exports were deleted.
    """
    storage, deleted = get_storage(), 0
    now = datetime.now(UTC)
    long_ago = now - get_settings().of(ExportSettings).lifetime
    unfinished = and_(DataExport.expires_at.is_(None), DataExport.created_at < long_ago)
    over = or_(DataExport.expires_at <= now, unfinished)
    while True:
        async with get_session_context() as session:
            found = (await session.execute(select(DataExport.id, DataExport.file).where(over).limit(batch))).all()
        if not found:
            break
        for file in filter(None, (row.file for row in found)):
            await asyncio.to_thread(storage.delete, file)
        async with get_session_context() as session:
            await session.execute(delete(DataExport).where(DataExport.id.in_([row.id for row in found])))
        deleted += len(found)
    await _delete_orphans(long_ago, batch)
    return deleted


async def _delete_orphans(before: datetime, batch: int) -> None:
    """Delete files that no row has, such as those of users who are gone.

    Only those that any export of that age would have expired with: another database may share the storage.
    """
    storage = get_storage()
    names = await asyncio.to_thread(lambda: list(storage.find_older(before)))
    for start in range(0, len(names), batch):
        part = names[start : start + batch]
        async with get_session_context() as session:
            known = set(await session.scalars(select(DataExport.file).where(DataExport.file.in_(part))))
        for name in set(part) - known:
            await asyncio.to_thread(storage.delete, name)


def _finished(written: Written) -> dict[str, Any]:
    now = datetime.now(UTC)
    expires_at = now + get_settings().of(ExportSettings).lifetime
    return {**written._asdict(), "finished_at": now, "expires_at": expires_at}
