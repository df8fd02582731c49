"""Routes for administrators: schedules."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Path, Response

from ...infrastructure.audit import audited
from ...infrastructure.jobs import JobManager, Schedule, ScheduleNotFoundError, ScheduleRecord, Schedules
from ...infrastructure.jobs.secrets import unmasked_arguments
from ..jobs import JobAccepted, Jobs
from ..problems import Problem, problem_responses
from .access import Acting
from .jobs import accepted
from .schedule_schemas import EXAMPLE_ID, ScheduleCreate, ScheduleRead, ScheduleWrite

router = APIRouter(prefix="/schedules", tags=["admin: schedules"])

WrittenT = TypeVar("WrittenT", bound=ScheduleWrite)

ScheduleId = Annotated[str, Path(max_length=1000, pattern=r"^[^\x00]+$", examples=[EXAMPLE_ID])]


@router.get("")
async def list_schedules(jobs: Jobs) -> list[ScheduleRead]:
    """List all schedules, those that stand in the code too: the next one first, those that are paused last."""
    return [await _read(jobs, schedule) for schedule in await jobs.list_scheduled()]


@router.post("", status_code=201, responses=problem_responses(409))
async def add_schedule(new: ScheduleCreate, jobs: Jobs, actor: Acting, response: Response) -> ScheduleRead:
    """Run a task whenever a cron expression says so, or every so many seconds, from now on."""
    new = await _named(jobs, new)
    async with audited(actor, "schedule.add", new.name, **await _details(jobs, new)):
        if await _find(jobs, new.name):
            raise Problem(409, f"there is a schedule {new.name!r} already; change that one, or give another name")
        schedule = await _store(jobs, new.name, new)
    response.headers["Location"] = f"/api/v1/admin/schedules/{quote(schedule.id, safe='')}"
    return await _read(jobs, schedule)


@router.get("/{schedule_id:id}", responses=problem_responses(404))
async def read_schedule(schedule_id: ScheduleId, jobs: Jobs) -> ScheduleRead:
    """Look at a schedule."""
    return await _read(jobs, await jobs.get_schedule(schedule_id))


@router.put("/{schedule_id:id}", responses=problem_responses(404, 409))
async def change_schedule(schedule_id: ScheduleId, changed: ScheduleWrite, jobs: Jobs, actor: Acting) -> ScheduleRead:
    """Put another in the place of a schedule; what is known of its runs stays, a pause too.

    One that stands in the code is changed there: 409.
    """
    changed = await _named(jobs, changed)
    async with audited(actor, "schedule.change", schedule_id, **await _details(jobs, changed)):
        old = await _changeable(jobs, schedule_id)
        schedule = await _store(jobs, schedule_id, await _with_secrets(jobs, changed, old))
    return await _read(jobs, schedule)


@router.delete("/{schedule_id:id}", status_code=204, responses=problem_responses(404, 409))
async def remove_schedule(schedule_id: ScheduleId, jobs: Jobs, actor: Acting) -> None:
    """Remove a schedule; jobs that were enqueued for it stay. One that stands in the code is removed there: 409."""
    async with audited(actor, "schedule.remove", schedule_id):
        await _changeable(jobs, schedule_id)
        if not await jobs.unschedule(schedule_id):
            raise ScheduleNotFoundError(schedule_id)


@router.post("/{schedule_id:id}/pause", responses=problem_responses(404))
async def pause_schedule(schedule_id: ScheduleId, jobs: Jobs, actor: Acting) -> ScheduleRead:
    """Let the runs of a schedule go by until it is resumed."""
    async with audited(actor, "schedule.pause", schedule_id):
        await jobs.pause_schedule(schedule_id)
    return await _read(jobs, await jobs.get_schedule(schedule_id))


@router.post("/{schedule_id:id}/resume", responses=problem_responses(404, 409))
async def resume_schedule(schedule_id: ScheduleId, jobs: Jobs, actor: Acting) -> ScheduleRead:
    """Let a schedule go on with its next run; those that have gone by were not missed."""
    async with audited(actor, "schedule.resume", schedule_id):
        await jobs.resume_schedule(schedule_id)
    return await _read(jobs, await jobs.get_schedule(schedule_id))


@router.post("/{schedule_id:id}/run", status_code=202, responses=problem_responses(404, 409))
async def run_schedule(schedule_id: ScheduleId, jobs: Jobs, actor: Acting, response: Response) -> JobAccepted:
    """Enqueue a job for a schedule at once; its next run comes all the same."""
    async with audited(actor, "schedule.run", schedule_id) as entry:
        job_id = entry.details["job_id"] = await jobs.run_now(schedule_id)
        if job_id is None:
            raise Problem(409, f"the task of schedule {schedule_id!r} is unique, and the same job is there already")
    return accepted(response, job_id)


async def _named(jobs: JobManager, wanted: WrittenT) -> WrittenT:
    """Give the task the name that stored ones have: its secrets are known by that."""
    registry = (await jobs.connect()).registry
    return wanted.model_copy(update={"task": registry.name_of(wanted.task)}) if registry else wanted


async def _find(jobs: JobManager, schedule_id: str) -> ScheduleRecord | None:
    try:
        return await jobs.get_schedule(schedule_id)
    except ScheduleNotFoundError:
        return None


async def _changeable(jobs: JobManager, schedule_id: str) -> ScheduleRecord:
    schedule = await jobs.get_schedule(schedule_id)
    if schedule.from_code:
        raise Problem(409, f"schedule {schedule_id!r} stands in WorkerSettings; change it there, or pause it")
    return schedule


async def _with_secrets(jobs: JobManager, changed: ScheduleWrite, old: ScheduleRecord) -> ScheduleWrite:
    """Put back the secrets that were left as they were shown; those of one task are not for another."""
    function = await _function(jobs, changed.task)
    known = (old.args, old.kwargs) if function is await _function(jobs, old.task) else ((), {})
    args, kwargs = unmasked_arguments(function, (tuple(changed.args), changed.kwargs), known)
    return changed.model_copy(update={"args": list(args or ()), "kwargs": kwargs})


async def _store(jobs: JobManager, name: str, wanted: ScheduleWrite) -> ScheduleRecord:
    schedule = Schedule(name=name, **wanted.model_dump(exclude={"name"}))
    return await Schedules(await jobs.connect()).add(schedule)


async def _details(jobs: JobManager, wanted: ScheduleWrite) -> dict[str, Any]:
    args, kwargs = await jobs.masked(wanted.task, tuple(wanted.args), wanted.kwargs)
    options = wanted.model_dump(mode="json", exclude={"name", "args", "kwargs"}, exclude_defaults=True)
    return {**options, "args": args, "kwargs": kwargs}


async def _function(jobs: JobManager, task: str) -> Any:
    registry = (await jobs.connect()).registry
    return registry and registry.find_function(task)


async def _read(jobs: JobManager, schedule: ScheduleRecord) -> ScheduleRead:
    return ScheduleRead.of(schedule, await _function(jobs, schedule.task))
