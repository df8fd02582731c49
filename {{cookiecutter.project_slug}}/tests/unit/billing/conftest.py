"""A provider that can be relied on, and a user who pays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from {{ cookiecutter.__package }}.accounts import service as accounts
from {{ cookiecutter.__package }}.billing import orders
from {{ cookiecutter.__package }}.infrastructure.database import get_session_context
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable


class NewUser(Protocol):
    """Make a user, and give the id."""

    async def __call__(self, email: str = "ada@example.com", name: str = "Ada") -> int: ...


@pytest.fixture
def provider_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a function that says which part of all calls the provider lets fail from now on."""

    def fail(part: float) -> None:
        monkeypatch.setenv("BILLING_PROVIDER_FAILURES", str(part))
        get_settings.cache_clear()

    return fail


@pytest.fixture(autouse=True)
def reliable_provider(
    own_settings: None,  # noqa: ARG001 - comes first
    provider_fails: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let no call of the provider fail unless the test says so, and the next one follow at once."""
    provider_fails(0)
    monkeypatch.setattr(orders, "PAUSE", 0)


@pytest.fixture
def new_user(tables: None) -> NewUser:  # noqa: ARG001 - users need the tables
    """Give a function that makes users."""

    async def register(email: str = "ada@example.com", name: str = "Ada") -> int:
        async with get_session_context() as session:
            return (await accounts.register(session, email=email, name=name)).id

    return register
