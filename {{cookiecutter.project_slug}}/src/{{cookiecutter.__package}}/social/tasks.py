"""Background work of the social slice."""

from __future__ import annotations

from typing import Any

from ..infrastructure.graph import get_graph
from . import service


async def sync_follow(ctx: dict[str, Any], follower_id: int, followed_id: int) -> None:  # noqa: ARG001
    """Make the graph say whether one user follows another, as the database has it when this runs."""
    await service.sync_follows(get_graph(), [(follower_id, followed_id)])


async def rebuild_graph(ctx: dict[str, Any]) -> int:
    """Bring the whole graph into step with the database, as after the loss of the graph; give the number of follows."""
    ctx["job_timeout"] = 3600  # seconds; about two minutes for a million follows
    return await service.rebuild_graph(get_graph())


#: What workers are to run.
TASKS = [sync_follow, rebuild_graph]
