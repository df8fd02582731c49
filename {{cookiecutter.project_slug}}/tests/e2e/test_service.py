"""The whole service as its user meets it: a migrated database, the API and whatever else runs, each a process."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from {{ cookiecutter.__package }}.infrastructure import database
# {% if cookiecutter.cache_backend != "none" %}
from {{ cookiecutter.__package }}.infrastructure.tasks import WorkerSettings
# {% endif %}

from processes import command, free_port

if TYPE_CHECKING:
    import httpx
    # {% if cookiecutter.cache_backend != "none" %}

    from signing_in import SignIn
    # {% endif %}

PROJECT = Path(__file__).parents[2]
# {% if cookiecutter.cache_backend != "none" %}
SETTINGS = f"{WorkerSettings.__module__}.WorkerSettings"

pytestmark = pytest.mark.usefixtures("redis_url")
# {% endif %}


async def test_everything_in_one_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dev` migrates, starts all that the service needs, and Ctrl-C ends all of it with status 0."""
    monkeypatch.chdir(PROJECT)
    async with command("{{ cookiecutter.project_slug }}", "dev", "--port", str(free_port())) as dev:
        await dev.until("Application startup complete")
        # {% if cookiecutter.cache_backend != "none" %}
        await dev.until("Starting worker for")
        # {% endif %}
        dev.process.send_signal(signal.SIGINT)
        assert await dev.end() == 0
    assert "Traceback" not in dev.output


@pytest.mark.usefixtures("migrated")
async def test_models_and_migrations_agree() -> None:
    """Nothing is left that a new migration would have to change; and all can be taken back and done again."""
    for words in (["check"], ["downgrade", "base"], ["upgrade", "head"], ["check"]):
        async with command("alembic", *words) as alembic:
            assert await alembic.end() == 0, alembic.output


@pytest.mark.usefixtures("migrated")
async def test_tables_are_dropped_before_those_they_refer_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new migration drops what no model has any more in an order that every database accepts, and can be undone."""
    names = [f"part_{letter}" for letter in "bcadfe"]
    async with database.get_engine().begin() as connection:
        for name, whole in zip(names, ["users", *names], strict=False):
            reference = f"whole INTEGER CONSTRAINT fk_{name} REFERENCES {whole} (id)"
            await connection.execute(text(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {reference})"))
    await database.close_database()
    shutil.copytree(PROJECT / "migrations", tmp_path / "migrations")
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    async with command("alembic", "revision", "--autogenerate", "--rev-id=without", "-m", "Parts") as alembic:
        assert await alembic.end() == 0, alembic.output
    migration = await asyncio.to_thread((tmp_path / "migrations/versions/without_parts.py").read_text)
    upgrade, _, downgrade = migration.partition("def downgrade")
    assert re.findall(r"drop_table\('(.*)'\)", upgrade) == names[::-1]
    assert re.findall(r"create_table\('(.*)'", downgrade) == names


async def test_the_health_checks(api: httpx.AsyncClient) -> None:
    """The process is alive, and its database answers."""
    assert (await api.get("/health/live")).status_code == 200
    ready = await api.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["checks"]["database"]["status"] == "up"
# {% if cookiecutter.cache_backend == "none" %}


async def test_sign_up_sends_the_message_at_once(api: httpx.AsyncClient) -> None:
    """The account exists when the answer arrives, and can be signed in to."""
    new = {"email": "ada@example.com", "name": "Ada", "password": "correct horse"}
    response = await api.post("/api/v1/users", json=new)
    assert response.status_code == 201
    user = response.json()
    token = await api.post("/api/v1/auth/token", data={"username": new["email"], "password": new["password"]})
    headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
    assert (await api.get(f"/api/v1/users/{user['id']}", headers=headers)).json() == user | {"role": "user"}
# {% else %}


async def test_sign_up_leads_to_a_job_that_a_worker_runs(api: httpx.AsyncClient, sign_in: SignIn) -> None:
    """API and worker share nothing but Redis: the job's status goes from the one to the other and back."""
    response = await api.post("/api/v1/users", json={"email": "ada@example.com", "name": "Ada"})
    assert response.status_code == 201
    path, headers = f"/api/v1/jobs/{response.json()['job_id']}", await sign_in("ada@example.com")
    assert (await api.get(path, headers=headers)).json()["status"] == "pending"
    async with command("arq", SETTINGS) as worker:
        async with asyncio.timeout(60):
            while (job := (await api.get(path, headers=headers)).json())["finish_time"] is None:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
        assert (job["status"], job["error"], job["tries"]) == ("success", None, 1)
        assert (await api.get("/health/ready")).json()["status"] == "ready"
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.end() == 0
    assert "Hello Ada" in worker.output  # without an SMTP server, mail is printed
# {% endif %}
