"""Routes of the exports: looking them up, and downloading them."""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from ...accounts.dependencies import CurrentUser
from ...api.dependencies import Session
from ...api.problems import Problem, problem_responses
from . import service
from .schemas import ExportRead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Bytes that are read and sent at once.
CHUNK = 256 * 2**10
ZIP = "application/zip"

router = APIRouter(prefix="/api/v1/exports", tags=["exports"])

ExportId = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[1])]
Token = Annotated[str, Query(max_length=1000, description="What the link was signed with")]


@router.get("/{export_id}", responses=problem_responses(401, 404))
async def read_export(export_id: ExportId, user: CurrentUser, session: Session) -> ExportRead:
    """Look one of your exports up; while it is ready, there is a link in the answer that it can be downloaded by."""
    export = await service.find_export(session, user_id=user.id, export_id=export_id)
    if export is None:
        raise Problem(404, f"you have no export {export_id}")
    return ExportRead(
        id=export.id,
        status=export.state,
        rows=export.rows,
        size=export.size,
        created_at=export.created_at,
        finished_at=export.finished_at,
        expires_at=export.expires_at,
        download_url=service.download_url(export),
    )


@router.get(
    "/{export_id}/download",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The ZIP file", "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}},
        **problem_responses(404),
    },
)
async def download_export(export_id: ExportId, token: Token) -> StreamingResponse:
    """Download an export by the link of its mail, or of the answer above; whoever has the link needs not sign in.

    It comes as a whole: a download that was interrupted begins anew.
    """
    try:
        export, file = await service.open_download(export_id=export_id, token=token)
    except service.ExportUnavailableError as error:
        raise Problem(404, str(error)) from None
    headers = {
        "Content-Disposition": f'attachment; filename="export-{export.id}.zip"',
        "Content-Length": str(export.size),
        "Accept-Ranges": "none",
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(_chunks(file), media_type=ZIP, headers=headers)


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
