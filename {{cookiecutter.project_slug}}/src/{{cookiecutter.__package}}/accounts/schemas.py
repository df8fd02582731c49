"""What the routes of the accounts take and give."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, EmailStr, StringConstraints


class UserCreate(BaseModel):
    """Somebody signs up."""

    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.com", "name": "Ada"}})

    email: EmailStr
    # No control characters: PostgreSQL stores no NUL, and the name ends up in mail.
    name: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
    ]


class UserRead(BaseModel):
    """A user."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str
    name: str
# {% if cookiecutter.cache_backend != "none" %}


class UserCreated(UserRead):
    """A new user, and the job that greets them."""

    job_id: str
# {% endif %}
