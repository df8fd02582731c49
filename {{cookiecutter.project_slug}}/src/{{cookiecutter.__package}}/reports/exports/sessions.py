"""What a user's exports have beside the rows of the database: their sign-in sessions."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from .tables import Rows

if TYPE_CHECKING:
    from ...infrastructure.cache import SessionManager


async def read_sessions(sessions: SessionManager, user_id: int) -> Rows:
    """Read the sessions of a user that have not expired."""
    return Rows("sessions", [asdict(session) for session in await sessions.list_for(user_id)])
