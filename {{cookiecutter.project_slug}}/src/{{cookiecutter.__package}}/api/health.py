"""Is the service alive, and can it do its work?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

#: Gives numbers worth showing, or raises when the thing is down.
CheckFunction = Callable[[], Awaitable[dict[str, Any]]]

#: Seconds that each check may take.
CHECK_TIMEOUT = 0.8


class Check(BaseModel):
    """The state of one thing that the service needs."""

    status: Literal["up", "down"]
    #: Numbers that the check found, or what went wrong.
    detail: dict[str, Any] = {}


class Live(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "alive"}})

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Whether requests can be served: `ready`, `degraded` (served, but something waits), or `unavailable`."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"status": "ready", "checks": {"database": {"status": "up", "detail": {}}}}}
    )

    status: Literal["ready", "degraded", "unavailable"]
    checks: dict[str, Check]


async def run_check(check: CheckFunction) -> Check:
    """Run one check; whatever it raises is its state."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return Check(status="up", detail=await check())
    except Exception as error:  # noqa: BLE001 - any failure is an answer here
        return Check(status="down", detail={"error": str(error) or type(error).__name__})


def health_router(*, essential: Mapping[str, CheckFunction], other: Mapping[str, CheckFunction]) -> APIRouter:
    """Make the routes of the health checks.

    Args:
        essential: without these no request can be served.
        other: without these requests are served, but something waits.
    """
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live")
    async def live() -> Live:
        """Answer while the process runs; a platform restarts it when this fails."""
        return Live()

    @router.get("/ready", responses={503: {"model": Readiness, "description": "Requests cannot be served"}})
    async def ready(response: Response) -> Readiness:
        """Check what the service needs; a platform sends no requests here while the answer is 503."""
        functions = {**essential, **other}
        results = await asyncio.gather(*map(run_check, functions.values()))
        checks = dict(zip(functions, results, strict=True))
        if any(checks[name].status == "down" for name in essential):
            response.status_code = 503
            return Readiness(status="unavailable", checks=checks)
        degraded = any(check.status == "down" for check in results)
        return Readiness(status="degraded" if degraded else "ready", checks=checks)

    return router
