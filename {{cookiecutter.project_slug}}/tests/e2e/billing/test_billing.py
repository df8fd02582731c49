"""Payments and orders, from requests to mail: the API and a worker as processes, on each database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from e2e.everybody import Everybody


@pytest.fixture(autouse=True)
def reliable_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the payment provider be reliable, so that it is known what becomes of an order."""
    monkeypatch.setenv("BILLING_PROVIDER_FAILURES", "0")


async def test_money_leads_to_memberships_and_orders(everybody: Everybody) -> None:
    """A recorded payment extends the membership at once and is receipted by mail; an order goes through its chain."""
    api, admin, grace = everybody.api, await everybody.sign_in("Ada", admin=True), await everybody.sign_in("Grace")
    me = (await api.get("/api/v1/users/me", headers=grace)).json()
    paid = {"user_id": me["id"], "amount": "12.50", "currency": "EUR", "reference": "transfer 1"}
    first = await api.post("/api/v1/payments", json=paid, headers=admin)
    await everybody.job(first, 201)
    again = await api.post("/api/v1/payments", json=paid, headers=admin)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert (await api.get("/api/v1/memberships/me", headers=grace)).json()["active"]
    assert "12.50 EUR" in await everybody.message("Grace", "Receipt")

    order = {"items": [{"product": "notebook", "quantity": 2}]}
    placed = await api.post("/api/v1/orders", json=order, headers=grace)
    assert placed.status_code == 202
    ended = {"confirmed", "refunded", "rejected"}
    order = await everybody.until(placed.headers["Location"], lambda order: order["state"] in ended, headers=grace)
    assert (order["state"], order["problem"]) == ("confirmed", None)
