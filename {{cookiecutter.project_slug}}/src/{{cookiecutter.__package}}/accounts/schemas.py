"""What the routes of the accounts take and give."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, EmailStr, StringConstraints

from ..infrastructure.text import ONE_LINE
from .security import MAX_LENGTH, MIN_LENGTH

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=ONE_LINE)]
Password = Annotated[str, StringConstraints(min_length=MIN_LENGTH, max_length=MAX_LENGTH)]
#: A password that is compared only.
GivenPassword = Annotated[str, StringConstraints(max_length=MAX_LENGTH)]


class UserCreate(BaseModel):
    """Somebody signs up; without a password, they need a password reset before they can sign in."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "ada@example.com", "name": "Ada", "password": "correct horse"}}
    )

    email: EmailStr
    name: Name
    password: Password | None = None


class UserCreated(BaseModel):
    # {% if cookiecutter.cache_backend == "none" %}
    """A new user."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"example": {"id": 1, "email": "ada@example.com", "name": "Ada"}}
    )

    id: int
    email: str
    name: str
    # {% else %}
    """A new user, and the job that greets them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1,
                "email": "ada@example.com",
                "name": "Ada",
                "job_id": "18ea46051a6f788517943ebb4c546e12",
            }
        }
    )

    id: int
    email: str
    name: str
    job_id: str
    # {% endif %}


class UserRead(BaseModel):
    """A user."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"example": {"id": 1, "email": "ada@example.com", "name": "Ada", "role": "user"}},
    )

    id: int
    email: str
    name: str
    role: str


class PasswordChange(BaseModel):
    """A user wants another password."""

    model_config = ConfigDict(json_schema_extra={"example": {"current": "correct horse", "new": "battery staple"}})

    current: GivenPassword
    new: Password


class SignIn(BaseModel):
    """The password form of OAuth 2 (RFC 6749, section 4.3): the user's name is their address."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"grant_type": "password", "username": "ada@example.com", "password": "correct horse"}
        }
    )

    grant_type: Literal["password"] = "password"
    username: EmailStr
    password: GivenPassword


class AccessToken(BaseModel):
    """What requests of the user carry: the header `Authorization: Bearer <access_token>`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"access_token": "eyJhbGciOi...", "token_type": "bearer", "expires_in": 3600},
        }
    )

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - what kind it is
    #: Seconds.
    expires_in: int


class ResetRequest(BaseModel):
    """Somebody has forgotten their password."""

    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.com"}})

    email: EmailStr
# {% if cookiecutter.cache_backend == "none" %}


SENT_IF_KNOWN = "if there is an account with this address, a message is on its way to it"


class ResetRequested(BaseModel):
    """The same whether there is such an account or not."""

    model_config = ConfigDict(json_schema_extra={"example": {"detail": SENT_IF_KNOWN}})

    detail: str = SENT_IF_KNOWN
# {% endif %}


class ResetConfirm(BaseModel):
    """The token of a link, and the new password."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"token": "S2Fwe6WLmEYCxbZ3vPKzNfB1UuTqoH5jyDgRc0iX9dA", "password": "battery staple"}
        }
    )

    token: Annotated[str, StringConstraints(max_length=200)]
    password: Password
