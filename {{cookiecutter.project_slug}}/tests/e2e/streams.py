"""Server-sent events, as a client reads them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx


class Event(NamedTuple):
    """One event."""

    name: str
    data: Any
    id: str | None


class Stream:
    """The events of one response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        #: What stands beside the events: comments, and when to come again.
        self.remarks: list[str] = []
        self._lines = response.aiter_lines()

    async def next(self) -> Event | None:
        """Wait for the next event; None: the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if not line and "data" in fields:
                    return Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
                if name in {"event", "data", "id"}:
                    fields[name] = value
                elif line:
                    self.remarks.append(line)
        return None

    async def until(self, status: str) -> Event:
        """Wait until the job is in this state, and give the event that says so."""
        while event := await self.next():
            if event.data.get("status") == status:
                return event
        raise AssertionError(f"the stream has ended, and the job was never {status}")

    async def rest(self) -> list[Event]:
        """Give all that is still to come."""
        found = []
        while event := await self.next():
            found.append(event)
        return found


@asynccontextmanager
async def stream(
    api: httpx.AsyncClient, job_id: str, headers: Mapping[str, str], last: str | None = None
) -> AsyncIterator[Stream]:
    """Open the stream of a job, from the event on that came last."""
    headers = {**headers, **({"Last-Event-ID": last} if last else {})}
    async with api.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=headers) as response:
        yield Stream(response)
