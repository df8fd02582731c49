"""Routes of the social slice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from redis.exceptions import RedisError

from ..accounts.dependencies import CurrentUser, get_current_user
from ..api.dependencies import Session
from ..api.problems import Problem, problem_responses
from ..infrastructure.graph import Direction, get_graph
from ..infrastructure.tasks import enqueue_task
from . import service
from .schemas import FollowAccepted, PeopleRead, PersonRead

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..accounts.models import User

#: Seconds after which a question to the graph is given up; somebody waits for the answer.
GRAPH_TIMEOUT = 5

router = APIRouter(prefix="/api/v1/users", tags=["social"], dependencies=[Depends(get_current_user)])

UserId = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[1])]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most")]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="How many to leave out first")]


@router.put("/{user_id}/following/{other_id}", status_code=202, responses=problem_responses(401, 403, 404, 422))
async def follow(
    user_id: UserId, other_id: UserId, user: CurrentUser, session: Session, response: Response
) -> FollowAccepted:
    """Follow a user. It holds at once; the job whose id is in the answer brings it into the lists below.

    Users decide for themselves only. Doing it again changes nothing.
    """
    _require_oneself(user, user_id)
    return await _change(service.follow, session, response, user_id=user_id, other_id=other_id)


@router.delete("/{user_id}/following/{other_id}", status_code=202, responses=problem_responses(401, 403, 404, 422))
async def unfollow(
    user_id: UserId, other_id: UserId, user: CurrentUser, session: Session, response: Response
) -> FollowAccepted:
    """Follow a user no longer; otherwise as following."""
    _require_oneself(user, user_id)
    return await _change(service.unfollow, session, response, user_id=user_id, other_id=other_id)


@router.get("/{user_id}/following", responses=problem_responses(401, 404, 503))
async def read_following(user_id: UserId, session: Session, limit: Limit = 50, offset: Offset = 0) -> PeopleRead:
    """List whom a user follows."""
    return await _people(session, user_id, direction=Direction.OUT, limit=limit, offset=offset)


@router.get("/{user_id}/followers", responses=problem_responses(401, 404, 503))
async def read_followers(user_id: UserId, session: Session, limit: Limit = 50, offset: Offset = 0) -> PeopleRead:
    """List who follows a user."""
    return await _people(session, user_id, direction=Direction.IN, limit=limit, offset=offset)


@router.get("/{user_id}/friends", responses=problem_responses(401, 404, 503))
async def read_friends(user_id: UserId, session: Session, limit: Limit = 50, offset: Offset = 0) -> PeopleRead:
    """List those whom a user follows and who follow back."""
    return await _people(session, user_id, direction=Direction.MUTUAL, limit=limit, offset=offset)


def _require_oneself(user: User, user_id: int) -> None:
    if user.id != user_id:
        raise Problem(403, f"user {user_id} alone decides whom they follow")


async def _change(
    change: Callable[..., Awaitable[None]], session: Session, response: Response, *, user_id: int, other_id: int
) -> FollowAccepted:
    try:
        await change(session, follower_id=user_id, followed_id=other_id)
    except service.UnknownUserError as error:
        raise Problem(404, str(error)) from None
    except service.SelfFollowError as error:
        raise Problem(422, str(error)) from None
    # In the same transaction: the job runs once that is committed, and no change is without one. And no id of our own
    # for the job: while a result is kept under it, a second change would enqueue nothing.
    job_id = str(await enqueue_task("sync_follow", follower_id=user_id, followed_id=other_id, _session=session))
    await session.commit()
    response.headers["Location"] = f"/api/v1/jobs/{job_id}"
    following = change is service.follow
    return FollowAccepted(follower_id=user_id, followed_id=other_id, following=following, job_id=job_id)


async def _people(session: Session, user_id: int, *, direction: Direction, limit: int, offset: int) -> PeopleRead:
    try:
        async with asyncio.timeout(GRAPH_TIMEOUT):
            people = await service.find_people(
                session, get_graph(), user_id, direction=direction, limit=limit, offset=offset
            )
    except service.UnknownUserError as error:
        raise Problem(404, str(error)) from None
    except (RedisError, TimeoutError) as error:
        raise Problem(503, "the graph does not answer; try again", {"Retry-After": "5"}) from error
    items = [PersonRead.model_validate(user) for user in people.users]
    return PeopleRead(items=items, total=people.total, limit=limit, offset=offset)
