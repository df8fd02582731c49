"""Routes of the newsletter that put work off."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ...accounts.dependencies import AdminUser
from ...api.dependencies import Session
from ...api.jobs import JobAccepted, accepted
from ...api.problems import problem_responses
from ...infrastructure.tasks import enqueue_task
from . import service
from .schemas import NewsletterCreate

router = APIRouter(prefix="/api/v1/newsletters", tags=["newsletter"])


@router.post("", status_code=202, responses=problem_responses(401, 403, 503))
async def send_newsletter(
    new: NewsletterCreate, _admin: AdminUser, session: Session, response: Response
) -> JobAccepted:
    """Send a newsletter to all subscribers; for admins. The job gives its id, and says how far it is."""
    newsletter = await service.create(session, subject=new.subject, body=new.body)
    # In the same transaction: the job runs once that is committed, and no newsletter is without one.
    job_id = await enqueue_task("send_newsletter", newsletter_id=newsletter.id, _session=session)
    await session.commit()
    return accepted(response, str(job_id))
