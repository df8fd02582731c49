"""What becomes of a job, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from hashlib import blake2s
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.exceptions import HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ..infrastructure.jobs import TERMINAL_STATUSES, JobNotFoundError, JobRecord, Updates
from ..infrastructure.per_loop import PerLoop
from ..infrastructure.settings import SettingsGroup, get_settings
from ..infrastructure.tasks import get_job_manager
from .job_access import VisibleJob  # noqa: TC001 - FastAPI reads it at run time
from .jobs import EXAMPLE, PATH, job_read
from .problems import problem_responses
from .stopping import told_to_stop

if TYPE_CHECKING:
    from fastapi import FastAPI

#: Milliseconds after which a client is to come again when its stream has broken off.
RETRY = 2000

EXAMPLE_EVENTS = "".join(
    f"event: {event}\ndata: {json.dumps(EXAMPLE | changes)}\nid: {number:016x}\n\n"
    for number, (event, changes) in enumerate(
        [("job", {"status": "running", "finish_time": None}), ("end", {})], start=0x9D2F6B1C0E7A4F35
    )
)


class StreamSettings(SettingsGroup):
    """Streams of events."""

    model_config = SettingsConfigDict(env_prefix="STREAM_")

    #: Seconds after which a stream breaks off, so that its client comes again, with a token that is still good.
    seconds: float = Field(default=300, gt=0, le=10**9)


@PerLoop
def get_updates() -> Updates:
    """Give what all streams of the process share: one subscription, and one reader for each job."""
    return Updates(get_job_manager)


@asynccontextmanager
async def end_with_the_server(_app: FastAPI) -> AsyncIterator[None]:
    """Let all streams break off when the server is to stop: it would wait for them."""
    updates = get_updates()
    with told_to_stop(updates.close):
        yield
    get_updates.take()


router = APIRouter(prefix=PATH, tags=["jobs"], lifespan=end_with_the_server)

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=1000, pattern=r"^[^\x00]*$", description="Id of the last event that came"),
]


async def get_watched_job(job: VisibleJob, last_event_id: LastEventId = None) -> str:
    """Find a job of which there is something to tell; 204 where all has been told."""
    if job.status in TERMINAL_STATUSES and _event(job).id == last_event_id:
        raise HTTPException(204)
    return job.job_id


@router.get(
    "/{job_id:id}/events",
    response_class=EventSourceResponse,
    responses={
        200: {"content": {EventSourceResponse.media_type: {"example": EXAMPLE_EVENTS}}},
        204: {"description": "The job has ended, and the last event told so"},
        **problem_responses(401, 404, 503),
    },
)
async def watch_job(
    job_id: Annotated[str, Depends(get_watched_job)], last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """Tell what becomes of a job, as server-sent events, until it has ended.

    An event `job` gives the job as `GET /api/v1/jobs/{job_id}` does, at first and whenever something has changed; the
    last one is called `end`. `unavailable` says that the queue does not answer for now, `gone` that the job's result is
    no longer kept. A stream that breaks off without `end` or `gone` is taken up again with `Last-Event-ID`.
    """
    yield ServerSentEvent(retry=RETRY)
    last = last_event_id
    async with aclosing(get_updates().of(job_id, get_settings().of(StreamSettings).seconds)) as records:
        try:
            async for record in records:
                event = _event(record) if record else _problem("unavailable", "the queue does not answer")
                if event.id is None or event.id != last:
                    yield event
                last = event.id
        except JobNotFoundError as error:
            yield _problem("gone", str(error))


def _event(job: JobRecord) -> ServerSentEvent:
    """Tell how a job is; the event's id is the same as long as that is."""
    # In ASCII: many clients end a line at U+2028 and others, too, which JSON takes for letters.
    data = json.dumps(job_read(job).model_dump(mode="json"), separators=(",", ":"))
    digest = blake2s(data.encode(), digest_size=8).hexdigest()
    return ServerSentEvent(event="end" if job.status in TERMINAL_STATUSES else "job", raw_data=data, id=digest)


def _problem(event: str, detail: str) -> ServerSentEvent:
    return ServerSentEvent(event=event, data={"detail": detail})
