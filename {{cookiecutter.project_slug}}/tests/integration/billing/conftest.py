"""A user to pay, on each kind of database."""

from __future__ import annotations

import pytest

from {{ cookiecutter.__package }}.accounts import service as accounts
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context


@pytest.fixture
async def user_id(redis_url: str, each_database: None, tables: None) -> int:  # noqa: ARG001 - in this order
    """Give the id of a user."""
    async with get_session_context() as session:
        return (await accounts.register(session, email="ada@example.com", name="Ada")).id
