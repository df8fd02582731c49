"""Background work of the accounts."""

from __future__ import annotations

from typing import Any

from . import service


async def send_welcome_email(ctx: dict[str, Any], user_email: str, user_name: str) -> None:  # noqa: ARG001
    """Greet a new user."""
    await service.welcome(email=user_email, name=user_name)
