"""Who may use the routes for administrators: every one of them, found by walking the table of routes."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from sqlalchemy import event

from {{ cookiecutter.__package }}.api import admin
from {{ cookiecutter.__package }}.infrastructure.audit import list_entries
from {{ cookiecutter.__package }}.infrastructure.database import get_engine, get_session_context
from {{ cookiecutter.__package }}.main import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import AsyncClient, Response

    from signing_in import SignIn

PREFIX = "/api/v1/admin"
#: Methods that change nothing.
SAFE = {"GET", "HEAD"}

pytestmark = pytest.mark.usefixtures("jobs")


def routes() -> Iterator[tuple[str, str]]:
    """Give the method and the path of each route of the application under the prefix."""
    for path, item in create_app().openapi()["paths"].items():
        if path.startswith(PREFIX):
            yield from ((method.upper(), path) for method in item)


ROUTES = sorted(routes())
each_route = pytest.mark.parametrize(("method", "path"), ROUTES)
each_act = pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] not in SAFE])
each_look = pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] in SAFE])


async def send(client: AsyncClient, method: str, path: str, headers: Any = None) -> Response:
    return await client.request(method, re.sub(r"{\w+}", "x", path), headers=headers)


async def number_of_entries() -> int:
    async with get_session_context() as session:
        return len(await list_entries(session))


def test_no_route_is_left_out() -> None:
    """Whatever stands in a module of the package is a route of the application, and in its document."""
    found = set()
    for module in iter_modules(admin.__path__):
        router = getattr(import_module(f"{admin.__name__}.{module.name}"), "router", None)
        for route in router.routes if isinstance(router, APIRouter) else []:
            if isinstance(route, APIRoute):
                path = re.sub(r":\w+}", "}", route.path)
                found |= {(method, PREFIX + path.removeprefix(PREFIX)) for method in route.methods or ()}
    assert found == set(ROUTES)
    assert {f"{PREFIX}/jobs", f"{PREFIX}/dead-letters", f"{PREFIX}/audit"} <= {path for _, path in found}


@each_route
async def test_nobody_gets_in(client: AsyncClient, method: str, path: str) -> None:
    """Whoever is not signed in is told to sign in, and nothing else."""
    for headers in (None, {"Authorization": "Bearer nonsense"}):
        answer = await send(client, method, path, headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), answer.text
    assert await number_of_entries() == 0


@each_route
async def test_no_user_gets_in(client: AsyncClient, sign_in: SignIn, method: str, path: str) -> None:
    """Somebody who is signed in, and has no role."""
    answer = await send(client, method, path, await sign_in())
    assert answer.status_code == 403, answer.text
    assert await number_of_entries() == 0


@each_act
async def test_no_viewer_acts(client: AsyncClient, sign_in: SignIn, method: str, path: str) -> None:
    """Whatever changes something is for administrators."""
    answer = await send(client, method, path, await sign_in(role="viewer"))
    assert (answer.status_code, answer.json()["detail"]) == (403, "this is for administrators only"), answer.text
    assert await number_of_entries() == 0


@each_look
async def test_a_viewer_sees_everything(client: AsyncClient, sign_in: SignIn, method: str, path: str) -> None:
    """The same as an administrator, down to what is not there; and looking is no act."""
    answers = [
        await send(client, method, path, await sign_in(f"{role}@example.com", role=role))
        for role in ("viewer", "admin")
    ]
    assert {answer.status_code for answer in answers} <= {200, 404}
    assert len({answer.status_code for answer in answers}) == 1
    assert await number_of_entries() == 0


@each_act
async def test_an_administrator_gets_in(client: AsyncClient, sign_in: SignIn, method: str, path: str) -> None:
    """To be told that there is no such thing, or that something is missing."""
    answer = await send(client, method, path, await sign_in(role="admin"))
    assert answer.status_code not in {401, 403, 500}, answer.text


async def test_a_request_holds_no_connection_while_it_acts(client: AsyncClient, sign_in: SignIn) -> None:
    """Requests that hold one each while they wait for another, of the audit log, would wait for ever."""
    headers = await sign_in(role="admin")
    pool: Any = get_engine().pool
    held: list[int] = []
    event.listen(pool, "checkout", lambda *_: held.append(pool.checkedout()))
    await client.delete(f"{PREFIX}/jobs/x", headers=headers)
    assert held
    assert set(held) == {1}
