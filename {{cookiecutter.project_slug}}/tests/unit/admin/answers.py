"""What tests of the routes for administrators look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

AUDIT = "/api/v1/admin/audit"


async def entries(admin: AsyncClient) -> list[dict[str, Any]]:
    """Give the audit log, the latest first."""
    found: list[dict[str, Any]] = (await admin.get(AUDIT)).json()["entries"]
    return found


def assert_problem(answer: Response, status: int, **fields: Any) -> None:
    """Fail unless the answer is a problem document with this status, and at least these fields."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == status, answer.text
    assert answer.json() | fields == answer.json()
