"""Those who use the routes for administrators, and jobs that they find there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from {{ cookiecutter.__package }}.accounts import tasks
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task

if TYPE_CHECKING:
    from httpx import AsyncClient

    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

    from signing_in import SignIn


class Fail(Protocol):
    """Run a job that fails for good, and give its id."""

    async def __call__(self, task: str = "send_welcome_email", /, *args: Any, **kwargs: Any) -> str: ...


@pytest.fixture
async def admin(client: AsyncClient, sign_in: SignIn) -> AsyncClient:
    """Give a client that an administrator is signed in with."""
    client.headers.update(await sign_in("root@example.com", role="admin"))
    return client


@pytest.fixture
def fail(jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Give a function that makes dead letters."""

    async def refuse(*_args: object, **_kwargs: object) -> None:
        raise ConnectionError("the mail server does not answer")

    async def run(task: str = "send_welcome_email", /, *args: Any, **kwargs: Any) -> str:
        if not (args or kwargs):
            kwargs = {"user_email": "ada@example.com", "user_name": "Ada"}
        with monkeypatch.context() as patch, jobs.eager(raise_errors=False):
            patch.setattr(tasks, "deliver_once", refuse)
            return str(await enqueue_task(task, *args, **kwargs))

    return run
