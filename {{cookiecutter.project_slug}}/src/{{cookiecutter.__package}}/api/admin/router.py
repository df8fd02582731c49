"""All routes for administrators, in one: whatever is added here is closed to everybody but viewers and administrators.

A route that acts takes the parameter `actor: Acting`, which keeps viewers out, and acts inside `audited(actor, ...)`.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends

from ..problems import problem_responses
from . import audit, dead_letters, jobs, overview, queues, schedules, workers
from .access import let_look

router = APIRouter(
    prefix="/api/v1/admin",
    dependencies=[Depends(let_look)],
    responses=problem_responses(401, 403, 503),
)
for part in (overview, jobs, dead_letters, queues, schedules, workers, audit):
    router.include_router(part.router)
