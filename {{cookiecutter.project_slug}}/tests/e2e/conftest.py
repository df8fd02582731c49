"""The API as a process of its own, on a migrated database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

# {% if cookiecutter.include_examples == "yes" and cookiecutter.cache_backend != "none" %}
from {{ cookiecutter.__package }}.infrastructure.tasks import WorkerSettings

from e2e.everybody import Everybody
# {% endif %}
from processes import command, free_port
# {% if cookiecutter.include_examples == "yes" and cookiecutter.cache_backend != "none" %}
from smtp_servers import Postbox, point_to, smtp_server
# {% endif %}

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROJECT = Path(__file__).parents[2]


@pytest.fixture
async def migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring the test's database up to date, from the folder that holds the migrations."""
    monkeypatch.chdir(PROJECT)
    async with command("alembic", "upgrade", "head") as alembic:
        assert await alembic.end() == 0, alembic.output


@pytest.fixture
async def api(migrated: None) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001
    """Run the API, and give a client of it; it has ended properly when the test has."""
    port = free_port()
    async with command("{{ cookiecutter.project_slug }}", "api", "--port", str(port)) as process:
        await process.until("Uvicorn running on")
        listening = asyncio.create_task(process.listen())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
        process.process.terminate()
        await listening
        await process.end()
        assert "Application shutdown complete" in process.output
        assert "Traceback" not in process.output
# {% if cookiecutter.include_examples == "yes" and cookiecutter.cache_backend != "none" %}


@pytest.fixture
async def postbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Postbox]:
    """Run a mail server, which whatever is started after it sends its mail by."""
    postbox = Postbox()
    async with smtp_server(postbox) as port:
        point_to(port, monkeypatch)
        yield postbox


@pytest.fixture
async def everybody(
    redis_url: str,  # noqa: ARG001 - these three have to be there before the API
    each_database: None,  # noqa: ARG001
    postbox: Postbox,
    api: httpx.AsyncClient,
) -> AsyncIterator[Everybody]:
    """Give the users of a whole service, a worker included."""
    async with command("arq", f"{WorkerSettings.__module__}.WorkerSettings") as worker:
        listening = asyncio.create_task(worker.listen())
        yield Everybody(api, postbox)
        worker.process.terminate()
        await listening
        assert await worker.end() == 0
    assert "Traceback" not in worker.output
# {% endif %}
