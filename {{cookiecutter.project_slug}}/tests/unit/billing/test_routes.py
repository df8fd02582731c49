"""The routes of billing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.billing.orders import PRODUCTS
from {{ cookiecutter.__package }}.infrastructure import mail

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from email.message import EmailMessage

    from httpx import AsyncClient

    from signing_in import SignIn

    Finish = Callable[[], Awaitable[None]]

TRANSFER = {"amount": "12.50", "currency": "EUR", "reference": "transfer 1", "months": 2}


@pytest.fixture
async def admin(sign_in: SignIn) -> Mapping[str, str]:
    """Give the header of an administrator."""
    return await sign_in("root@example.com", role="admin")


@pytest.fixture
async def ada(sign_in: SignIn) -> Mapping[str, str]:
    """Give the header of a user."""
    return await sign_in("ada@example.com")


@pytest.fixture
async def ada_id(client: AsyncClient, ada: Mapping[str, str]) -> int:
    """Give the id of that user."""
    response = await client.get("/api/v1/users/me", headers=ada)
    return int(response.json()["id"])


async def test_a_payment_is_recorded_and_receipted(
    client: AsyncClient, admin: Mapping[str, str], ada: Mapping[str, str], mailbox: list[EmailMessage], finish: Finish
) -> None:
    """An administrator records it; its user is a member, gets a receipt, and can look all of it up."""
    ada_id = (await client.get("/api/v1/users/me", headers=ada)).json()["id"]
    response = await client.post("/api/v1/payments", json={"user_id": ada_id, **TRANSFER}, headers=admin)
    assert response.status_code == 201, response.text
    payment = response.json()
    await finish()
    assert [(message["To"], message["Subject"]) for message in mailbox] == [
        ("ada@example.com", "Receipt for your payment of 12.50 EUR")
    ]
    payment.pop("job_id", None)
    assert {**payment, "created_at": None} == {"id": 1, "user_id": ada_id, "created_at": None, **TRANSFER}
    assert (await client.get("/api/v1/payments/1", headers=ada)).json() == payment
    listed = (await client.get("/api/v1/payments", headers=ada)).json()
    assert listed == {"items": [payment], "total": 1, "limit": 50, "offset": 0}
    membership = (await client.get("/api/v1/memberships/me", headers=ada)).json()
    assert membership["active"] is True


async def test_the_same_reference_again(
    client: AsyncClient, admin: Mapping[str, str], ada_id: int, mailbox: list[EmailMessage], finish: Finish
) -> None:
    """It gives the first payment, with another status and no second receipt; with other data it is a conflict."""
    body = {"user_id": ada_id, **TRANSFER}
    first = await client.post("/api/v1/payments", json=body, headers=admin)
    again = await client.post("/api/v1/payments", json=body, headers=admin)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    other = await client.post("/api/v1/payments", json={**body, "amount": "13.00"}, headers=admin)
    assert other.status_code == 409
    assert "'transfer 1' belongs to payment 1: 12.50 EUR" in other.json()["detail"]
    await finish()
    assert len(mailbox) == 1


async def test_a_payment_is_recorded_whatever_the_mail_server_says(
    client: AsyncClient, admin: Mapping[str, str], ada_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt that cannot be sent is no reason to refuse what has been paid."""

    async def refuse(*_args: object, **_kwargs: object) -> None:
        raise mail.TemporaryMailError("no answer")

    monkeypatch.setattr(mail, "send_content", refuse)
    response = await client.post("/api/v1/payments", json={"user_id": ada_id, **TRANSFER}, headers=admin)
    assert response.status_code == 201
    assert (await client.get("/api/v1/payments/1", headers=admin)).status_code == 200


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"amount": 12.5}, "body.amount"),
        ({"amount": 12}, "body.amount"),
        ({"amount": "12,50"}, "body.amount"),
        ({"amount": "-1"}, "body.amount"),
        ({"amount": "1e3"}, "body.amount"),
        ({"amount": "NaN"}, "body.amount"),
        ({"amount": "0"}, "0: give more than 0"),
        ({"amount": "0.001"}, "0.001: EUR has 2 decimals"),
        ({"amount": "9999999999999"}, "give at most"),
        ({"amount": "1.5", "currency": "JPY"}, "1.5: JPY has 0 decimals"),
        ({"currency": "SEK"}, "'SEK': is no currency that is taken; give one of CHF, EUR"),
        ({"currency": "EURO"}, "body.currency"),
        ({"reference": ""}, "body.reference"),
        ({"reference": "a\x00b"}, "body.reference"),
        ({"reference": "a\x9bb"}, "body.reference"),
        ({"reference": "x" * 101}, "body.reference"),
        ({"months": 0}, "body.months"),
        ({"months": 121}, "body.months"),
        ({"user_id": 2**31}, "body.user_id"),
        ({"user_id": 999}, "no user has the id 999"),
    ],
)
async def test_what_is_no_payment_is_refused(
    client: AsyncClient, admin: Mapping[str, str], ada_id: int, change: dict[str, Any], detail: str
) -> None:
    """The answer names what is wrong, and nothing is recorded."""
    body = {"user_id": ada_id, **TRANSFER, **change}
    response = await client.post("/api/v1/payments", json=body, headers=admin)
    assert response.status_code == 422
    assert detail in response.json()["detail"]
    listed = await client.get("/api/v1/payments", params={"user_id": ada_id}, headers=admin)
    assert listed.json()["total"] == 0


async def test_payments_are_private(
    client: AsyncClient, admin: Mapping[str, str], ada: Mapping[str, str], ada_id: int, sign_in: SignIn
) -> None:
    """Only administrators record payments; they and viewers see those of others."""
    body = {"user_id": ada_id, **TRANSFER}
    eve = await sign_in("eve@example.com")
    vera = await sign_in("vera@example.com", role="viewer")
    assert (await client.post("/api/v1/payments", json=body)).status_code == 401
    assert (await client.post("/api/v1/payments", json=body, headers=ada)).status_code == 403
    assert (await client.post("/api/v1/payments", json=body, headers=vera)).status_code == 403
    assert (await client.post("/api/v1/payments", json=body, headers=admin)).status_code == 201
    for headers, status in ((ada, 200), (admin, 200), (vera, 200), (eve, 404), ({}, 401)):
        assert (await client.get("/api/v1/payments/1", headers=headers)).status_code == status
    for headers, status in ((ada, 200), (admin, 200), (vera, 200), (eve, 403), ({}, 401)):
        response = await client.get("/api/v1/payments", params={"user_id": ada_id}, headers=headers)
        assert response.status_code == status
    assert (await client.get("/api/v1/payments", headers=eve)).json()["total"] == 0
    assert (await client.get("/api/v1/payments/99", headers=admin)).status_code == 404
    assert (await client.get("/api/v1/memberships/me", headers=eve)).status_code == 404
    assert (await client.get("/api/v1/memberships/me")).status_code == 401


async def order(client: AsyncClient, headers: Mapping[str, str], finish: Finish, product: str) -> dict[str, Any]:
    """Order a product, let everything happen, and give the order."""
    body = {"items": [{"product": product, "quantity": 2}]}
    response = await client.post("/api/v1/orders", json=body, headers=headers)
    assert response.status_code in {201, 202}, response.text
    location = response.headers["Location"]
    assert location == f"/api/v1/orders/{response.json()['id']}"
    await finish()
    found: dict[str, Any] = (await client.get(location, headers=headers)).json()
    return found


@pytest.mark.parametrize(
    ("product", "end"),
    [
        ("notebook", ("confirmed", "25.00", None)),
        ("signed-print", ("refunded", "240.00", "the product 'signed-print' is sold out")),
        ("umbrella", ("rejected", None, f"there is no product 'umbrella'; there are {', '.join(PRODUCTS)}")),
    ],
)
async def test_an_order_is_processed(
    client: AsyncClient, ada: Mapping[str, str], finish: Finish, product: str, end: tuple[str | None, ...]
) -> None:
    """It ends confirmed, or undone with the reason."""
    found = await order(client, ada, finish, product)
    assert (found["state"], found["amount"], found["problem"]) == end
    assert found["items"] == [{"product": product, "quantity": 2}]


async def test_an_order_survives_a_provider_that_fails(
    client: AsyncClient, ada: Mapping[str, str], finish: Finish, provider_fails: Callable[[float], None]
) -> None:
    """With a provider that never answers, the order is not confirmed, and says why."""
    provider_fails(1)
    found = await order(client, ada, finish, "notebook")
    assert found["state"] == "refunding"
    assert "the payment provider does not answer" in found["problem"]


async def test_orders_are_private(
    client: AsyncClient, ada: Mapping[str, str], admin: Mapping[str, str], finish: Finish, sign_in: SignIn
) -> None:
    """Somebody else's order looks as if it were not there."""
    found = await order(client, ada, finish, "notebook")
    eve = await sign_in("eve@example.com")
    vera = await sign_in("vera@example.com", role="viewer")
    url = f"/api/v1/orders/{found['id']}"
    for headers, status in ((ada, 200), (admin, 200), (vera, 200), (eve, 404), ({}, 401)):
        assert (await client.get(url, headers=headers)).status_code == status
    assert (await client.post("/api/v1/orders", json={"items": [{"product": "notebook"}]})).status_code == 401


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"product": ""}],
        [{"product": "a\x00"}],
        [{"product": "notebook", "quantity": 0}],
        [{"product": "notebook", "quantity": 101}],
        [{"product": "notebook", "quantity": 1.5}],
        [{"product": "notebook"}] * 21,
    ],
)
async def test_what_is_no_order_is_refused(client: AsyncClient, ada: Mapping[str, str], items: list[Any]) -> None:
    """The answer is a problem document."""
    response = await client.post("/api/v1/orders", json={"items": items}, headers=ada)
    assert response.status_code == 422
    assert "body.items" in response.json()["detail"]
