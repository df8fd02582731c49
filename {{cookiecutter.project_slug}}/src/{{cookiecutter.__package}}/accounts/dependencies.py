"""What routes ask for that are not for everybody."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer

from ..api.dependencies import Session  # noqa: TC001 - FastAPI reads it at run time
from ..api.problems import Problem
from . import service
from .models import SEEING_ROLES, Role, User

#: Without a leading slash, so that /docs finds it behind a proxy that adds a prefix, too.
_access_token = OAuth2PasswordBearer(tokenUrl="api/v1/auth/token", auto_error=False)


async def get_current_user(token: Annotated[str | None, Depends(_access_token)], session: Session) -> User:
    """Find the user whose token came with the request, or end it with 401; the log, and jobs, tell whose it is."""
    user = await service.find_by_token(session, token) if token else None
    if user is None:
        detail = "the access token is not valid, or no longer" if token else "this needs an access token"
        raise Problem(401, f"{detail}; sign in for one", {"WWW-Authenticate": "Bearer"})
    structlog.contextvars.bind_contextvars(owner=str(user.id))
    return user


#: The user who is signed in; 401 if nobody is.
CurrentUser = Annotated[User, Depends(get_current_user)]


async def get_viewer(user: CurrentUser) -> User:
    """Let viewers and administrators pass, and end the request of anybody else with 403."""
    if user.role not in SEEING_ROLES:
        raise Problem(403, "this is for administrators and viewers only")
    return user


#: The viewer or administrator who is signed in; 401 if nobody is, 403 if it is somebody else.
ViewerUser = Annotated[User, Depends(get_viewer)]


async def get_admin(user: CurrentUser) -> User:
    """Let administrators pass, and end the request of anybody else with 403."""
    if user.role != Role.ADMIN:
        raise Problem(403, "this is for administrators only")
    return user


#: The administrator who is signed in; 401 if nobody is, 403 if it is somebody else.
AdminUser = Annotated[User, Depends(get_admin)]
