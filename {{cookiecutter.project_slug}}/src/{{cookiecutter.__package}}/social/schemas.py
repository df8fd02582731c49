"""What the routes of the social slice give."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PersonRead(BaseModel):
    """A user as other users see them."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


class PeopleRead(BaseModel):
    """A page of users, by ascending id."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"items": [{"id": 2, "name": "Bob"}], "total": 1, "limit": 50, "offset": 0}}
    )

    items: list[PersonRead]
    #: How many there are on all pages.
    total: int
    limit: int
    offset: int


class FollowAccepted(BaseModel):
    """What holds from now on, and the job that brings it into the graph."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "follower_id": 1,
                "followed_id": 2,
                "following": True,
                "job_id": "18ea46051a6f788517943ebb4c546e12",
            }
        }
    )

    follower_id: int
    followed_id: int
    following: bool
    job_id: str
