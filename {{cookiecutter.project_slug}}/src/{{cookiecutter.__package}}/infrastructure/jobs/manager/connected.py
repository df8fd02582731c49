"""What a manager stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ..backends import QueueBackend
    from ..pool import TaskPool


class Connected:
    """A backend, and the connection that it gives."""

    def __init__(self, backend: QueueBackend) -> None:
        """Prepare; nothing is connected or started before the first call."""
        self.backend = backend

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close the backend."""
        await self.close()

    async def connect(self) -> TaskPool:
        """Give the connection to what keeps the jobs, for what a manager has no method for."""
        return await self.backend.connect()

    async def close(self) -> None:
        """Close the backend; a later call opens it again."""
        await self.backend.close()
