"""Problem documents, whatever went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy.exc import OperationalError

from {{ cookiecutter.__package }}.api.problems import Problem, install_problem_handlers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def api() -> AsyncIterator[AsyncClient]:
    """Give a client of two routes on one path."""
    router = APIRouter(prefix="/things")

    @router.put("/{name}")
    async def write(name: str, new: dict[str, int]) -> None: ...

    @router.delete("/{name}")
    async def remove(name: str) -> None:
        raise Problem(404, f"nothing is called {name}\ud800")

    app = FastAPI()
    app.include_router(router)
    install_problem_handlers(app)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT 1", {}, Exception("server closed the connection")),
        ConnectionRefusedError(111, "Connect call failed"),
    ],
)
async def test_a_database_that_is_away_is_not_for_ever(api: AsyncClient, error: Exception) -> None:
    """The answer says when to try again, and nothing of the insides."""

    async def fail() -> None:
        raise error

    transport: Any = api._transport
    transport.app.add_api_route("/away", fail)
    answer = await api.get("/away")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert str(error) not in answer.text


async def test_another_method_is_answered_with_those_that_there_are(api: AsyncClient) -> None:
    """`Allow` names the methods of all routes with the path (RFC 9110, section 10.2.1), not of the first alone."""
    answer = await api.get("/things/one")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"] == "PUT, DELETE"


async def test_broken_unicode_is_answered(api: AsyncClient) -> None:
    """A lone surrogate, which no encoding has a form for, can be told back."""
    answer = await api.delete("/things/one")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "nothing is called one\ud800"


@pytest.mark.parametrize("body", [b"[" * 100_000, b"9" * 5_000, b'"\xff"'], ids=["deep", "huge", "no text"])
async def test_a_body_that_cannot_be_read_is_answered(api: AsyncClient, body: bytes) -> None:
    """What the parser gives up on is the caller's mistake, not a failure of the server."""
    answer = await api.put("/things/one", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
