"""Passwords that are hashed at once: what Argon2 costs is not what these tests are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher

from {{ cookiecutter.__package }}.accounts import security

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def light_hashing() -> Iterator[None]:
    """Let Argon2 take the least work that it can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(security, "ARGON2", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield
