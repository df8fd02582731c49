"""The routes of the accounts, without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from {{ cookiecutter.__package }}.accounts import security, service
from {{ cookiecutter.__package }}.infrastructure.database import get_engine, get_session_context
from {{ cookiecutter.__package }}.infrastructure.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from email.message import EmailMessage

    from httpx import AsyncClient, Response

    from signing_in import SignIn

pytestmark = pytest.mark.usefixtures("finish")

EMAIL, PASSWORD, OTHER = "ada@example.com", "correct horse", "battery staple"
NEW = {"email": EMAIL, "name": "Ada", "password": PASSWORD}
JSON = {"Content-Type": "application/json"}
USERS, TOKEN, RESET = "/api/v1/users", "/api/v1/auth/token", "/api/v1/auth/password-reset"


def assert_problem(response: Response, status: int, detail: str) -> None:
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["detail"]) == (status, detail)


async def sign_up(client: AsyncClient, **changes: str) -> dict[str, Any]:
    response = await client.post(USERS, json=NEW | changes)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def token_for(client: AsyncClient, email: str = EMAIL, password: str = PASSWORD) -> Response:
    return await client.post(TOKEN, data={"username": email, "password": password})


async def headers_for(client: AsyncClient, email: str = EMAIL, password: str = PASSWORD) -> dict[str, str]:
    response = await token_for(client, email, password)
    assert response.status_code == 200, response.text
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


def link_in(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    [link] = [line for line in body.get_content().splitlines() if "token=" in line]
    return str(link)


async def test_from_sign_up_to_oneself(client: AsyncClient) -> None:
    """Who signs up with a password can sign in with it, and see themselves."""
    user = await sign_up(client)
    assert user.keys() - {"job_id"} == {"id", "email", "name"}
    response = await token_for(client)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    token = response.json()
    assert (token.pop("token_type"), token.pop("expires_in"), list(token)) == ("bearer", 3600, ["access_token"])
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    expected = {"id": user["id"], "email": EMAIL, "name": "Ada", "role": "user"}
    for path in (f"{USERS}/me", f"{USERS}/{user['id']}"):
        response = await client.get(path, headers=headers)
        assert (response.status_code, response.json()) == (200, expected)


async def test_the_authorize_button_can_sign_in(client: AsyncClient) -> None:
    """The document names the form; what /docs adds to it does no harm."""
    await sign_up(client)
    document = (await client.get("/openapi.json")).json()
    [scheme] = document["components"]["securitySchemes"].values()
    url = scheme["flows"]["password"]["tokenUrl"]
    form = {"grant_type": "password", "username": EMAIL, "password": PASSWORD, "scope": "", "client_id": "x"}
    response = await client.post(f"/{url}", data=form, headers={"Authorization": "Basic eDp5"})
    assert response.status_code == 200


async def test_a_new_user_is_greeted(
    client: AsyncClient, finish: Callable[[], Awaitable[None]], mailbox: list[EmailMessage]
) -> None:
    """By one message."""
    await sign_up(client, name="Ada & Co")
    await finish()
    [message] = mailbox
    assert message["To"] == EMAIL
    body = message.get_body(("plain",))
    assert body is not None
    assert "Hello Ada & Co," in body.get_content()


@pytest.mark.parametrize("name", ["", " ", "A\0da", "A\nda", "A\x7fda", "A\x9b31mda", "A\ud800da", "x" * 201])
async def test_an_unfit_name_is_bad_input(client: AsyncClient, name: str) -> None:
    """None has characters that break lines, steer terminals, or cannot be stored."""
    response = await client.post(USERS, content=json.dumps(NEW | {"name": name}), headers=JSON)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["body.name"]


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129])
async def test_an_unfit_password_is_bad_input(client: AsyncClient, password: str) -> None:
    """The problem names the field, and does not repeat the password."""
    response = await client.post(USERS, json=NEW | {"password": password})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["body.password"]
    assert not password or password not in response.text


async def test_whoever_may_not_sign_in_gets_the_same_answer(client: AsyncClient) -> None:
    """Unknown address, wrong password and no password at all cannot be told apart."""
    await sign_up(client)
    response = await client.post(USERS, json={"email": "bob@example.com", "name": "Bob"})
    assert response.status_code == 201
    answers = [
        await token_for(client, email, password)
        for email, password in [(EMAIL, OTHER), ("bob@example.com", OTHER), ("nobody@example.com", OTHER)]
    ]
    for answer in answers:
        del answer.headers["x-request-id"]
    assert len({(answer.status_code, answer.text, str(answer.headers)) for answer in answers}) == 1
    assert_problem(answers[0], 401, "the address or the password is wrong")
    assert answers[0].headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "form",
    [
        {"username": EMAIL},
        {"password": PASSWORD},
        {"username": "nobody", "password": PASSWORD},
        {"username": "a\0@example.com", "password": PASSWORD},
        {"username": EMAIL, "password": "x" * 129},
        {"username": EMAIL, "password": PASSWORD, "grant_type": "client_credentials"},
    ],
)
async def test_an_impossible_sign_in_is_bad_input(client: AsyncClient, form: dict[str, str]) -> None:
    """Whether there is such an account plays no part."""
    response = await client.post(TOKEN, data=form)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer x",
        b"Bearer  ..",
        b"bearer \xff\xfe\x80",
        b"Bearer " + "токен".encode(),
        b"Bearer " + b"x." * 30_000,
        b"Basic YWRhOnB3",
        b"\xff",
        b"Token x",
    ],
)
async def test_without_a_token_there_is_nothing(client: AsyncClient, method: str, authorization: bytes | None) -> None:
    """Whatever the header holds instead of one, the answer is 401 and says how to sign in."""
    headers = {} if authorization is None else {b"Authorization": authorization}
    path = f"{USERS}/me" if method == "GET" else f"{USERS}/me/password"
    body = None if method == "GET" else {"current": PASSWORD, "new": OTHER}
    response = await client.request(method, path, headers=headers, json=body)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_token_ends_with_its_user(client: AsyncClient, sign_in: SignIn) -> None:
    """Of one who was deleted, it is none."""
    headers = await sign_in("bob@example.com")
    assert (await client.get(f"{USERS}/me", headers=headers)).status_code == 200
    async with get_session_context() as session:
        await session.delete(await service.find_by_email(session, "bob@example.com"))
    detail = "the access token is not valid, or no longer; sign in for one"
    assert_problem(await client.get(f"{USERS}/me", headers=headers), 401, detail)


async def test_a_token_lasts_as_long_as_the_settings_say(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer tells the time, and so does the token."""
    monkeypatch.setenv("AUTH_TOKEN_TTL", "60")
    get_settings.cache_clear()
    await sign_up(client)
    token = (await token_for(client)).json()
    assert token["expires_in"] == 60
    claims = jwt.decode(token["access_token"], options={"verify_signature": False})
    assert 55 < claims["exp"] - datetime.now(UTC).timestamp() <= 60


async def test_users_see_themselves_and_administrators_everybody(client: AsyncClient, sign_in: SignIn) -> None:
    """To others a user is not there, in the same words as one who is not."""
    user = await sign_up(client)
    other, admin = await sign_in("bob@example.com"), await sign_in("eve@example.com", role="admin")
    path = f"{USERS}/{user['id']}"
    assert_problem(await client.get(path), 401, "this needs an access token; sign in for one")
    assert_problem(await client.get(path, headers=other), 404, f"no user has the id {user['id']}")
    assert_problem(await client.get(f"{USERS}/77", headers=other), 404, "no user has the id 77")
    assert_problem(await client.get(f"{USERS}/77", headers=admin), 404, "no user has the id 77")
    assert (await client.get(path, headers=admin)).json()["email"] == EMAIL


async def test_signing_up_gives_no_role(client: AsyncClient) -> None:
    """Whatever else is sent is not taken."""
    response = await client.post(USERS, json=NEW | {"role": "admin", "id": 77, "token_generation": 5})
    assert response.status_code == 201
    me = (await client.get(f"{USERS}/me", headers=await headers_for(client))).json()
    assert (me["id"], me["role"]) == (response.json()["id"], "user")
    assert me["id"] != 77


async def test_a_password_is_changed(client: AsyncClient) -> None:
    """By who knows it; afterwards the old token and the old password are void."""
    await sign_up(client)
    headers = await headers_for(client)
    change = {"current": OTHER, "new": "yet another"}
    response = await client.put(f"{USERS}/me/password", headers=headers, json=change)
    assert_problem(response, 403, "the current password is wrong")
    response = await client.put(f"{USERS}/me/password", headers=headers, json={"current": PASSWORD, "new": OTHER})
    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get(f"{USERS}/me", headers=headers)).status_code == 401
    assert (await token_for(client)).status_code == 401
    assert (await token_for(client, password=OTHER)).status_code == 200


async def test_a_forgotten_password_is_reset(
    client: AsyncClient, finish: Callable[[], Awaitable[None]], mailbox: list[EmailMessage]
) -> None:
    """The message has a link, whose token sets a new password, once."""
    await sign_up(client)
    headers = await headers_for(client)
    await finish()
    mailbox.clear()
    assert (await client.post(RESET, json={"email": "ADA@example.com"})).status_code == 202
    await finish()
    [message] = mailbox
    assert message["To"] == EMAIL
    link = urlsplit(link_in(message))
    assert (link.netloc, link.path) == ("127.0.0.1:8000", "/reset-password")
    confirm = {"token": parse_qs(link.query)["token"][0], "password": OTHER}
    response = await client.post(f"{RESET}/confirm", json=confirm)
    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get(f"{USERS}/me", headers=headers)).status_code == 401
    assert (await token_for(client)).status_code == 401
    assert (await token_for(client, password=OTHER)).status_code == 200
    detail = "this password reset is not valid, or no longer; ask for another"
    assert_problem(await client.post(f"{RESET}/confirm", json=confirm), 400, detail)


async def test_a_reset_tells_nothing_about_the_address(
    client: AsyncClient, finish: Callable[[], Awaitable[None]], mailbox: list[EmailMessage]
) -> None:
    """Known or not, the answer is the same but for the number of the request; only the mailbox differs."""
    await sign_up(client)
    await finish()
    mailbox.clear()
    known, unknown = [await client.post(RESET, json={"email": email}) for email in (EMAIL, "nobody@example.com")]
    assert known.status_code == unknown.status_code == 202
    assert known.json().keys() == unknown.json().keys()
    assert known.headers.keys() == unknown.headers.keys()
    await finish()
    assert [message["To"] for message in mailbox] == [EMAIL]


@pytest.mark.parametrize("token", ["", "x", "\0", "ä" * 200])
async def test_a_made_up_token_resets_nothing(client: AsyncClient, token: str) -> None:
    """All of them are refused in the same words."""
    response = await client.post(f"{RESET}/confirm", json={"token": token, "password": OTHER})
    assert_problem(response, 400, "this password reset is not valid, or no longer; ask for another")


async def test_the_token_of_a_reset_is_no_access_token(
    client: AsyncClient, finish: Callable[[], Awaitable[None]], mailbox: list[EmailMessage]
) -> None:
    """Nor the other way round."""
    await sign_up(client)
    headers = await headers_for(client)
    await finish()
    mailbox.clear()
    await client.post(RESET, json={"email": EMAIL})
    await finish()
    token = parse_qs(urlsplit(link_in(mailbox[0])).query)["token"][0]
    assert (await client.get(f"{USERS}/me", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    confirm = {"token": headers["Authorization"].removeprefix("Bearer ")[:200], "password": OTHER}
    assert (await client.post(f"{RESET}/confirm", json=confirm)).status_code == 400


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_guessing_is_limited(client: AsyncClient, email: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known or not, an address is refused after so many wrong passwords, before any of them is hashed."""
    monkeypatch.setenv("AUTH_LOGIN_LIMIT", "3 per hour")
    get_settings.cache_clear()
    await sign_up(client)
    for _ in range(3):
        assert (await token_for(client, email, OTHER)).status_code == 401

    async def hashes(*_args: object) -> bool:
        raise AssertionError("a password was compared")

    monkeypatch.setattr(security.Hasher, "verify", hashes)
    response = await token_for(client, email)
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= 3600
    seconds = response.headers["retry-after"]
    assert_problem(response, 429, f"too many attempts; try again in {seconds} seconds")


async def test_who_signs_in_rightly_is_not_limited(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A success forgets the failures before it."""
    monkeypatch.setenv("AUTH_LOGIN_LIMIT", "2 per hour")
    get_settings.cache_clear()
    await sign_up(client)
    for _ in range(3):
        assert (await token_for(client, password=OTHER)).status_code == 401
        assert (await token_for(client)).status_code == 200


async def test_who_resets_their_password_is_not_limited(
    client: AsyncClient,
    finish: Callable[[], Awaitable[None]],
    mailbox: list[EmailMessage],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody who has tried in vain until they were refused signs in right after."""
    monkeypatch.setenv("AUTH_LOGIN_LIMIT", "2 per hour")
    get_settings.cache_clear()
    await sign_up(client)
    assert [(await token_for(client, password=OTHER)).status_code for _ in range(3)] == [401, 401, 429]
    await finish()
    mailbox.clear()
    await client.post(RESET, json={"email": EMAIL})
    await finish()
    [token] = parse_qs(urlsplit(link_in(mailbox[0])).query)["token"]
    assert (await client.post(f"{RESET}/confirm", json={"token": token, "password": OTHER})).status_code == 204
    assert (await token_for(client, password=OTHER)).status_code == 200


async def test_who_changes_a_password_waits_without_a_connection(
    client: AsyncClient, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many do at once, the others still get at the database."""
    headers = await sign_in()
    pool: Any = get_engine().pool
    held = []

    async def change(*_args: object, **_kwargs: object) -> None:
        held.append(pool.checkedout())

    monkeypatch.setattr(service, "change_password", change)
    await client.put(f"{USERS}/me/password", headers=headers, json={"current": PASSWORD, "new": OTHER})
    assert held == [0]


async def test_guessing_with_a_stolen_token_is_limited(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing the password counts as an attempt to sign in."""
    monkeypatch.setenv("AUTH_LOGIN_LIMIT", "2 per hour")
    get_settings.cache_clear()
    await sign_up(client)
    headers = await headers_for(client)
    answers = [
        await client.put(f"{USERS}/me/password", headers=headers, json={"current": OTHER, "new": OTHER})
        for _ in range(3)
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 429]
    assert (await token_for(client)).status_code == 429


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_mails_that_strangers_ask_for_are_limited(
    client: AsyncClient,
    email: str,
    monkeypatch: pytest.MonkeyPatch,
    finish: Callable[[], Awaitable[None]],
    mailbox: list[EmailMessage],
) -> None:
    """A reset is asked for so many times, whether it leads to a message or not."""
    monkeypatch.setenv("AUTH_RESET_LIMIT", "2 per hour")
    get_settings.cache_clear()
    await sign_up(client)
    await finish()
    mailbox.clear()
    answers = [await client.post(RESET, json={"email": email}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[2].headers["retry-after"]) > 0
    await finish()
    assert len(mailbox) == (2 if email == EMAIL else 0)


async def test_every_route_has_examples_and_names_its_errors(client: AsyncClient) -> None:
    """The document shows what to send, what comes back, and what can go wrong."""
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        if not path.startswith((f"{USERS}/me", "/api/v1/auth")) and path not in {USERS, f"{USERS}/" + "{user_id}"}:
            continue
        for operation in operations.values():
            contents = [operation.get("requestBody", {}), *operation["responses"].values()]
            for media in (media for content in contents for media in content.get("content", {}).values()):
                name = media["schema"].get("$ref", "").rpartition("/")[2]
                assert "example" in media or "example" in schemas[name] or "examples" in schemas[name], (path, name)
    errors = {
        (USERS, "post"): {"409"},
        (f"{USERS}/me", "get"): {"401"},
        (f"{USERS}/me/password", "put"): {"401", "403", "429"},
        (TOKEN, "post"): {"401", "429"},
        (RESET, "post"): {"429"},
        (f"{RESET}/confirm", "post"): {"400"},
    }
    for (path, method), statuses in errors.items():
        assert statuses <= set(document["paths"][path][method]["responses"])
