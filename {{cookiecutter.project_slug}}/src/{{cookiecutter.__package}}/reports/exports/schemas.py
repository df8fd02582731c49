"""What the routes of the exports give."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from .models import ExportStatus


class ExportRead(BaseModel):
    """An export of the data of whoever asks."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1,
                "status": "ready",
                "rows": 1234,
                "size": 56789,
                "created_at": "2026-11-22T09:00:00Z",
                "finished_at": "2026-11-22T09:00:07Z",
                "expires_at": "2026-11-29T09:00:07Z",
                "download_url": "http://127.0.0.1:8000/api/v1/exports/1/download?token=eyJhbGciOiJIUzI1NiJ9",
            }
        }
    )

    id: int
    status: ExportStatus
    #: Rows of all tables, and bytes of the file.
    rows: int | None
    size: int | None
    created_at: datetime
    finished_at: datetime | None
    #: When it can no longer be downloaded.
    expires_at: datetime | None
    #: For as long as it is ready; it works without signing in.
    download_url: str | None
