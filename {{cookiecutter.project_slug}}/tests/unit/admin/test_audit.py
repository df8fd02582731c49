"""The route that shows the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.audit import Actor, audited

if TYPE_CHECKING:
    from httpx import AsyncClient

AUDIT = "/api/v1/admin/audit"

pytestmark = pytest.mark.usefixtures("jobs")


async def test_listing(admin: AsyncClient) -> None:
    """The latest entry comes first; each filter leaves out what does not fit, and the pages hold everything once."""
    for number in range(5):
        actor = Actor(f"{'ada' if number % 2 else 'bob'}@example.com")
        async with audited(actor, "job.retry" if number < 3 else "job.cancel", f"j{number}"):
            pass

    async def targets(**filters: Any) -> list[str]:
        answer = await admin.get(AUDIT, params=filters)
        assert answer.status_code == 200, answer.text
        return [entry["target"] for entry in answer.json()["entries"]]

    assert await targets() == ["j4", "j3", "j2", "j1", "j0"]
    assert await targets(action="job.retry") == ["j2", "j1", "j0"]
    assert await targets(actor="ada@example.com") == ["j3", "j1"]
    assert await targets(target="j3") == ["j3"]
    assert await targets(since="2999-01-01T00:00:00Z") == []
    assert await targets(until="2999-01-01T00:00:00Z", limit=2) == ["j4", "j3"]
    found, cursor = [], None
    while True:
        page = (await admin.get(AUDIT, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        found.append([entry["target"] for entry in page["entries"]])
        if (cursor := page["cursor"]) is None:
            break
    assert found == [["j4", "j3"], ["j2", "j1"], ["j0"]]


@pytest.mark.parametrize("cursor", ["0", "-1", "x", "9999999999999999999999"])
async def test_a_cursor_that_is_none(admin: AsyncClient, cursor: str) -> None:
    """Is bad input, whatever a database would say of it."""
    answer = await admin.get(AUDIT, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.cursor")
