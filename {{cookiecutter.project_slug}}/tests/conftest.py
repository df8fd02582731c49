"""What tests share: settings and a database of their own, and the real servers that they need."""

from __future__ import annotations

# {% if cookiecutter.cache_backend != "none" %}
import signal
# {% endif %}
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
# {% if cookiecutter.cache_backend != "none" %}
from uuid import uuid4
# {% endif %}

import pytest
from httpx import ASGITransport, AsyncClient

from {{ cookiecutter.__package }}.infrastructure import database, mail
# {% if cookiecutter.cache_backend != "none" %}
from {{ cookiecutter.__package }}.infrastructure.cache import close_cache
from {{ cookiecutter.__package }}.infrastructure.embedded import embedded_redis
from {{ cookiecutter.__package }}.infrastructure.jobs.testing import jobs_fixture
# {% endif %}
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings
# {% if cookiecutter.cache_backend != "none" %}
from {{ cookiecutter.__package }}.infrastructure.tasks import (
    WorkerSettings,
    close_task_pool,
    get_outbox,
    get_task_pool,
)
# {% endif %}
from {{ cookiecutter.__package }}.main import create_app

# {% if cookiecutter.cache_backend != "none" %}
from postgres import new_database, running_postgres
# {% endif %}
from signing_in import sign_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from fastapi import FastAPI
# {% if cookiecutter.cache_backend != "none" %}

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool
    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs
# {% endif %}

__all__ = ["sign_in"]


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test settings of its own: defaults, no `.env`, and a database file that nobody else uses."""
    for name in ("ENVIRONMENT", "LOG_LEVEL", "SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/test.db")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
async def tables() -> AsyncIterator[None]:
    """Give the test a database with empty tables."""
    async with database.get_engine().begin() as connection:
        await connection.run_sync(database.Base.metadata.create_all)
    yield
    # {% if cookiecutter.cache_backend != "none" %}
    await close_task_pool()  # it may be publishing what is in the tables
    # {% endif %}
    await database.close_database()


@pytest.fixture
def app() -> FastAPI:
    """Give a new application."""
    return create_app()


@pytest.fixture
async def client(app: FastAPI, tables: None) -> AsyncIterator[AsyncClient]:  # noqa: ARG001 - routes need the tables
    """Give an HTTP client of the application, which runs in this process; it is started and stopped for the test."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        # An error of the application is an answer of 500, as it is for real clients.
        transport = ASGITransport(app, raise_app_exceptions=False)
        yield await stack.enter_async_context(AsyncClient(transport=transport, base_url="http://test"))


@pytest.fixture
def mailbox() -> Iterator[list[EmailMessage]]:
    """Give the messages that are sent; none of them leaves the process."""
    with mail.capture() as messages:
        yield messages
# {% if cookiecutter.cache_backend == "none" %}


@pytest.fixture
def finish() -> Callable[[], Awaitable[None]]:
    """Give a function that lets happen what was put off: nothing, for everything happens at once."""

    async def run() -> None: ...

    return run
# {% else %}


async def settle_outbox() -> None:
    """Wait until what is in the outbox has been published."""
    await get_outbox().relay.settle()


jobs = jobs_fixture(WorkerSettings, close=[close_task_pool, close_cache], settle=settle_outbox)


@pytest.fixture
def finish(jobs: MemoryJobs) -> Callable[[], Awaitable[None]]:
    """Give a function that lets happen what was put off: it runs all jobs, those for later too, in memory."""

    async def run() -> None:
        await jobs.run_jobs(scheduled=True)

    return run


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the project's own kind of server once for all tests, and give its URL."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a test run that is told to end ends the server too
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
async def redis_url(redis_server: str, own_settings: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:  # noqa: ARG001 - own_settings comes first
    """Give the test an empty Redis, and settings that point to it."""
    monkeypatch.setenv("REDIS_URL", redis_server)
    get_settings.cache_clear()
    await (await get_task_pool()).flushall()
    yield redis_server
    await close_task_pool()
    await close_cache()


@pytest.fixture
async def pool(redis_url: str) -> TaskPool:  # noqa: ARG001 - the settings point there
    """Give the connection to the queue."""
    return await get_task_pool()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Run a PostgreSQL once for all tests, and give its URL."""
    with running_postgres() as url:
        yield url


@pytest.fixture
def on_postgresql(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the settings name an empty PostgreSQL; a test asks for it before whatever connects, such as `tables`."""
    monkeypatch.setenv("DATABASE_URL", new_database(postgres_server, f"test_{uuid4().hex}"))
    get_settings.cache_clear()


@pytest.fixture(params=["sqlite", "postgresql"])
def each_database(request: pytest.FixtureRequest) -> None:
    """Run the test on each kind of database; as `on_postgresql`."""
    if request.param == "postgresql":
        request.getfixturevalue("on_postgresql")
# {% endif %}
