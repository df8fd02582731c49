"""Whatever is sent to the API, its answer is one that its OpenAPI document names."""

from __future__ import annotations

import json
# {% if cookiecutter.cache_backend != "none" %}
import re
# {% endif %}
from contextlib import chdir
from typing import TYPE_CHECKING

import pytest

from processes import command

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

# {% if cookiecutter.cache_backend == "none" %}
pytestmark = pytest.mark.timeout(600)
# {% else %}
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("redis_url")]
# {% endif %}

OPTIONS = [
    "--generation-deterministic",  # the same requests at each run
    "--max-examples=10",
    "--suppress-health-check=all",  # how long it takes to make them is no failure
    # What the document lets pass may be refused all the same, such as an address in a domain that cannot exist.
    # And a job that is cancelled, by DELETE, is still there to be looked at.
    "--exclude-checks=positive_data_acceptance,use_after_free",
    "--continue-on-failure",
    "--no-color",
]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse nothing because it has been tried too often, and let no stream of events last."""
    monkeypatch.setenv("AUTH_LOGIN_LIMIT", "1000000 per minute")
    monkeypatch.setenv("AUTH_RESET_LIMIT", "1000000 per minute")
    # {% if cookiecutter.cache_backend != "none" %}
    monkeypatch.setenv("STREAM_SECONDS", "0.1")
    # {% endif %}


async def token_of(api: httpx.AsyncClient, role: str = "user") -> str:
    """Sign up, and sign in, as nobody in the examples of the document: those change passwords."""
    email, password = "grace@example.com", "nobody guesses this"
    new = await api.post("/api/v1/users", json={"email": email, "name": "Grace", "password": password})
    assert new.status_code == 201
    if role != "user":
        async with command("{{ cookiecutter.project_slug }}", "set-role", email, role) as process:
            assert await process.end() == 0, process.output
    token = await api.post("/api/v1/auth/token", data={"username": email, "password": password})
    return str(token.json()["access_token"])


async def check(api: httpx.AsyncClient, folder: Path, *, phases: str, token: str | None = None) -> None:
    """Send requests to all operations, valid and not; fail with those that are not answered as the document says.

    The phases are kinds of requests: the document's own `examples`; `coverage`, each value at its limits and beyond;
    `fuzzing`, values that nobody thinks of; `stateful`, where a request takes up what another has been answered.
    """
    document = (await api.get("/openapi.json")).json()
    report = folder / "report.json"
    signed_in = [] if token is None else [f"--header=Authorization: Bearer {token}"]
    words = [*OPTIONS, f"--phases={phases}", "--report=json", f"--report-json-path={report}", *signed_in]
    with chdir(folder):  # where it leaves what it remembers
        async with command("schemathesis", "run", str(api.base_url.join("/openapi.json")), *words) as run:
            await run.listen()
            assert await run.end() == 0, run.output
    result = json.loads(report.read_text())
    assert result["complete"], run.output
    count = sum(map(len, document["paths"].values()))
    counts = {"total": count, "selected": count, "tested": count, "errored": 0, "skipped": 0}
    assert counts.items() <= result["operations"].items(), run.output
    if token:
        me = await api.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
        assert me.status_code == 200, "some request has made the token void, so that the others were those of nobody"


async def test_nobody_gets_an_answer_that_is_not_in_the_document(api: httpx.AsyncClient, tmp_path: Path) -> None:
    """Whoever is not signed in gets no further than the document says."""
    await check(api, tmp_path, phases="examples,fuzzing")


async def test_no_user_gets_an_answer_that_is_not_in_the_document(api: httpx.AsyncClient, tmp_path: Path) -> None:
    """No request of a user makes the service fail, or gets a status, header or content that is not named."""
    await check(api, tmp_path, token=await token_of(api), phases="coverage")


async def test_no_viewer_gets_an_answer_that_is_not_in_the_document(api: httpx.AsyncClient, tmp_path: Path) -> None:
    """Nor does one of a viewer, whom all that shows something lets in."""
    await check(api, tmp_path, token=await token_of(api, "viewer"), phases="examples,coverage")


async def test_no_admin_gets_an_answer_that_is_not_in_the_document(api: httpx.AsyncClient, tmp_path: Path) -> None:
    """Nor does one of an administrator, whom every operation lets in."""
    await check(api, tmp_path, token=await token_of(api, "admin"), phases="examples,fuzzing,stateful")
# {% if cookiecutter.cache_backend != "none" %}


async def test_postgresql_stores_what_is_let_in(
    on_postgresql: None,  # noqa: ARG001 - comes before the API
    api: httpx.AsyncClient,
    tmp_path: Path,
) -> None:
    """Numbers that are too big for it, and text that it has no form for, are refused before they reach it."""
    token = await token_of(api, "admin")
    await check(api, tmp_path, token=token, phases="coverage")
    document = (await api.get("/openapi.json")).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            with_nul = re.sub(r"{\w+}", "%00", path)
            answer = await api.request(method, with_nul, headers={"Authorization": f"Bearer {token}"})
            assert str(answer.status_code) in operation["responses"].keys() - {"500"}, f"{method} {with_nul}"
# {% endif %}
