"""Routes of the accounts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from ..api.dependencies import Session
from ..api.problems import Problem, problem_responses
# {% if cookiecutter.cache_backend == "none" %}
from . import service
from .schemas import UserCreate, UserRead
# {% else %}
from ..infrastructure.tasks import enqueue_task
from . import service
from .schemas import UserCreate, UserCreated, UserRead
# {% endif %}

router = APIRouter(prefix="/api/v1/users", tags=["accounts"])

UserId = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[1])]


# {% if cookiecutter.cache_backend == "none" %}
@router.post("", status_code=201, responses=problem_responses(409))
async def create_user(new: UserCreate, session: Session) -> UserRead:
    """Sign up. The message that greets the new user is sent before the answer."""
    try:
        user = await service.register(session, email=new.email, name=new.name)
    except service.EmailTakenError as error:
        raise Problem(409, str(error)) from None
    await session.commit()
    await service.welcome(email=user.email, name=user.name)
    return UserRead.model_validate(user)


# {% else %}
@router.post("", status_code=201, responses=problem_responses(409))
async def create_user(new: UserCreate, session: Session) -> UserCreated:
    """Sign up. The message that greets the new user is sent by a job; its id is in the answer."""
    try:
        user = await service.register(session, email=new.email, name=new.name)
    except service.EmailTakenError as error:
        raise Problem(409, str(error)) from None
    # In the same transaction: there is no account without its greeting, nor a greeting without an account.
    job_id = await enqueue_task("send_welcome_email", user_email=user.email, user_name=user.name, _session=session)
    await session.commit()
    return UserCreated(id=user.id, email=user.email, name=user.name, job_id=str(job_id))


# {% endif %}
@router.get("/{user_id}", responses=problem_responses(404))
async def read_user(user_id: UserId, session: Session) -> UserRead:
    """Look a user up."""
    user = await service.get_user(session, user_id)
    if user is None:
        raise Problem(404, f"no user has the id {user_id}")
    return UserRead.model_validate(user)
