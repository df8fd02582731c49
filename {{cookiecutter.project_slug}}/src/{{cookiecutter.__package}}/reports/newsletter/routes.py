"""Routes of the newsletter: subscribing, unsubscribing, and looking one up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse

from ...accounts.dependencies import CurrentUser, ViewerUser
from ...api.dependencies import Session
from ...api.problems import Problem, problem_responses
from ...infrastructure.signing import InvalidTokenError, verify
from . import service
from .schemas import NewsletterRead

router = APIRouter(prefix="/api/v1", tags=["newsletter"])

NewsletterId = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[7])]
Token = Annotated[str, Query(max_length=1000, description="From the link in a newsletter")]

#: What a person sees; without an action, the form is posted to the address of the page.
PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>Newsletter</title><body style='font: 16px/1.5 sans-serif; margin: 3em auto; max-width: 30em'>{}</body>"
)
ASK = PAGE.format("<p>Do you want no more newsletters?</p><form method=post><button>Unsubscribe</button></form>")
DONE = PAGE.format("<p>You will get no more newsletters.</p>")


@router.put("/newsletter/subscription", status_code=204, responses=problem_responses(401))
async def subscribe(user: CurrentUser, session: Session) -> None:
    """Have newsletters from now on; doing it again changes nothing."""
    await service.subscribe(session, user.id)
    await session.commit()


@router.delete("/newsletter/subscription", status_code=204, responses=problem_responses(401))
async def unsubscribe(user: CurrentUser, session: Session) -> None:
    """Have no newsletters from now on; doing it again changes nothing."""
    await service.unsubscribe(session, user.id)
    await session.commit()


@router.get("/newsletter/unsubscribe", response_class=HTMLResponse, responses=problem_responses(400))
async def ask_to_unsubscribe(token: Token) -> str:
    """Show a page with a button that unsubscribes.

    Opening the link changes nothing: programs that look into mails open links too.
    """
    try:
        verify(service.UNSUBSCRIBE, token)
    except InvalidTokenError as error:
        raise Problem(400, str(error)) from None
    return ASK


@router.post("/newsletter/unsubscribe", response_class=HTMLResponse, responses=problem_responses(400))
async def unsubscribe_by_link(token: Token, session: Session) -> str:
    """Unsubscribe whoever got the link, without signing in.

    The buttons of mail programs (RFC 8058) and of the page above do this.
    """
    try:
        await service.unsubscribe_by(session, token)
    except InvalidTokenError as error:
        raise Problem(400, str(error)) from None
    await session.commit()
    return DONE


@router.get("/newsletters/{newsletter_id}", responses=problem_responses(401, 403, 404))
async def read_newsletter(newsletter_id: NewsletterId, _viewer: ViewerUser, session: Session) -> NewsletterRead:
    """Look a newsletter up; for admins and viewers."""
    newsletter = await service.get_newsletter(session, newsletter_id)
    if newsletter is None:
        raise Problem(404, f"no newsletter has the id {newsletter_id}")
    return NewsletterRead.model_validate(newsletter)
