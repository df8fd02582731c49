"""Routes for administrators: queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, BeforeValidator, ConfigDict

from ...infrastructure.audit import audited
from ..jobs import Jobs
from .access import Acting

if TYPE_CHECKING:
    from ...infrastructure.jobs import JobPriority, QueueRecord

router = APIRouter(prefix="/queues", tags=["admin: queues"])

QueueName = Annotated[str, Path(pattern=r"^[\w.:-]{1,200}$", examples=["default"])]


def _by_number(priorities: dict[JobPriority, int]) -> dict[str, int]:
    return {str(priority.value): count for priority, count in priorities.items()}


class QueueRead(BaseModel):
    """What is in a queue."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "name": "default",
                "depth": 7,
                "waiting": 5,
                "scheduled": 2,
                "parked": 0,
                "running": 3,
                "age": 0.8,
                "rate": 42.5,
                "paused": False,
                "priorities": {"0": 0, "5": 7, "8": 0, "10": 0},
            }
        },
    )

    name: str
    #: All jobs that wait, for whatever reason: `waiting`, `scheduled` and `parked`.
    depth: int
    #: Jobs that are due, and may be started.
    waiting: int
    #: Jobs whose time has not come: deferred ones, and those between two tries.
    scheduled: int
    #: Jobs that are due, and that a limit of their task holds back.
    parked: int
    #: Jobs in the hands of workers.
    running: int
    #: Seconds for which the oldest job has been due that is not running; null: none is due.
    age: float | None
    #: Jobs that have ended, in a minute: about the mean of the last five.
    rate: float
    paused: bool
    #: `depth`, by priority.
    priorities: Annotated[dict[str, int], BeforeValidator(_by_number)]


class PurgeRead(BaseModel):
    """What purging a queue came to."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "default", "purged": 7}})

    name: str
    #: Jobs that waited, and are cancelled now.
    purged: int


@router.get("")
async def list_queues(jobs: Jobs) -> list[QueueRead]:
    """List the queues that have jobs, had some in the last day, or are paused, `default` first."""
    return [_read(queue) for queue in await jobs.list_queues()]


@router.post("/{name}/pause")
async def pause_queue(name: QueueName, jobs: Jobs, actor: Acting) -> QueueRead:
    """Start nothing more of a queue until it is resumed; jobs that run go on, and it still takes new ones."""
    async with audited(actor, "queue.pause", name):
        await jobs.pause(name)
    return _read(await jobs.get_queue(name))


@router.post("/{name}/resume")
async def resume_queue(name: QueueName, jobs: Jobs, actor: Acting) -> QueueRead:
    """Let a paused queue go on, at once."""
    async with audited(actor, "queue.resume", name):
        await jobs.resume(name)
    return _read(await jobs.get_queue(name))


@router.post("/{name}/purge")
async def purge_queue(name: QueueName, jobs: Jobs, actor: Acting) -> PurgeRead:
    """Cancel all jobs that wait in a queue; those that run go on."""
    async with audited(actor, "queue.purge", name) as entry:
        purged = entry.details["purged"] = await jobs.purge_queue(name)
    return PurgeRead(name=name, purged=purged)


def _read(queue: QueueRecord) -> QueueRead:
    return QueueRead.model_validate(queue)
