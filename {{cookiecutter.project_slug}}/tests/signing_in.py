"""Users of tests, signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from sqlalchemy import select

from {{ cookiecutter.__package }}.accounts import security, service
from {{ cookiecutter.__package }}.accounts.models import Role, User
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context

if TYPE_CHECKING:
    from collections.abc import Mapping


class SignIn(Protocol):
    """Give the header of a request by the user with this address, who is made where there is none."""

    async def __call__(self, email: str = "ada@example.com", *, role: str = "user") -> Mapping[str, str]: ...


@pytest.fixture
def sign_in(tables: None) -> SignIn:  # noqa: ARG001 - users need the tables
    """Give a function that signs users in, without the work of a password."""

    async def act(email: str = "ada@example.com", *, role: str = "user") -> Mapping[str, str]:
        async with get_session_context() as session:
            user = await session.scalar(select(User).where(User.email == email))
            if user is None:
                user = await service.register(session, email=email, name=email.partition("@")[0], role=Role(role))
            return {"Authorization": f"Bearer {security.access_token(user)}"}

    return act
