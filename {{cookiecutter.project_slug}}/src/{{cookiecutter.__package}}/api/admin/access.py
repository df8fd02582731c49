"""Who may use the routes for administrators: viewers look, administrators act."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from ...accounts.dependencies import AdminUser, ViewerUser  # noqa: TC001 - FastAPI reads them at run time
from ...infrastructure.audit import Actor
from ..dependencies import Session  # noqa: TC001


async def let_look(_user: ViewerUser, session: Session) -> None:
    """Let viewers and administrators pass; 401 for nobody, 403 for anybody else.

    The connection to the database is given back: what the request does from here on is done with Redis, and the audit
    log has connections of its own. Requests that each hold one while they wait for another would wait for ever.
    """
    await session.commit()


async def get_actor(user: AdminUser, session: Session) -> Actor:
    """Let administrators pass, as those who act; see `let_look`."""
    await session.commit()
    return Actor(user.email, user.id)


#: The administrator who acts, for `audited`; 401 if nobody is signed in, 403 if it is somebody else.
Acting = Annotated[Actor, Depends(get_actor)]
