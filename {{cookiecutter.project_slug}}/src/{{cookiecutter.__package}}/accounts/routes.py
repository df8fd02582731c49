"""Routes of the accounts."""

from __future__ import annotations

from typing import Annotated

# {% if cookiecutter.cache_backend == "none" %}
import structlog
from fastapi import APIRouter, BackgroundTasks, Form, Path, Request, Response
# {% else %}
from fastapi import APIRouter, Form, Path, Request, Response
# {% endif %}

from ..api.dependencies import Session
# {% if cookiecutter.cache_backend != "none" %}
from ..api.jobs import JobAccepted, accepted
# {% endif %}
from ..api.problems import Problem, problem_responses
# {% if cookiecutter.cache_backend == "none" %}
from ..infrastructure import mail
from ..infrastructure.database import get_session_context
# {% endif %}
# {% if cookiecutter.cache_backend != "none" %}
from ..infrastructure.jobs import owned_by
from ..infrastructure.tasks import enqueue_task
# {% endif %}
from . import service
from .dependencies import CurrentUser
from .limits import AttemptLimit, TooManyAttemptsError
from .models import SEEING_ROLES
from .schemas import (
    AccessToken,
    PasswordChange,
    ResetConfirm,
    ResetRequest,
    # {% if cookiecutter.cache_backend == "none" %}
    ResetRequested,
    # {% endif %}
    SignIn,
    UserCreate,
    UserCreated,
    UserRead,
)
from .security import access_token
from .settings import get_auth_settings
# {% if cookiecutter.cache_backend == "none" %}

logger = structlog.get_logger(__name__)
sign_ins = AttemptLimit("sign-in", limit=lambda: get_auth_settings().login_limit)
resets = AttemptLimit("password-reset", limit=lambda: get_auth_settings().reset_limit)
# {% else %}
from .shared_limits import get_shared_counts

sign_ins = AttemptLimit("sign-in", limit=lambda: get_auth_settings().login_limit, shared=get_shared_counts)
resets = AttemptLimit("password-reset", limit=lambda: get_auth_settings().reset_limit, shared=get_shared_counts)
# {% endif %}
router = APIRouter(prefix="/api/v1", tags=["accounts"])

UserId = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[1])]


@router.post("/users", status_code=201, responses=problem_responses(409))
async def create_user(new: UserCreate, session: Session) -> UserCreated:
    # {% if cookiecutter.cache_backend == "none" %}
    """Sign up. The message that greets the new user is sent before the answer."""
    # {% else %}
    """Sign up. The message that greets the new user is sent by a job; its id is in the answer."""
    # {% endif %}
    try:
        user = await service.register(session, email=new.email, name=new.name, password=new.password)
    except service.EmailTakenError as error:
        raise Problem(409, str(error)) from None
    # {% if cookiecutter.cache_backend == "none" %}
    await session.commit()
    await _send(user.email, service.welcome_mail(user.name))
    return UserCreated.model_validate(user)
    # {% else %}
    # In the same transaction: there is no account without its greeting, nor a greeting without an account.
    with owned_by(str(user.id)):
        job_id = await enqueue_task("send_welcome_email", user_email=user.email, user_name=user.name, _session=session)
    await session.commit()
    return UserCreated(id=user.id, email=user.email, name=user.name, job_id=str(job_id))
    # {% endif %}


@router.get("/users/me", responses=problem_responses(401))
async def read_me(user: CurrentUser) -> UserRead:
    """Look oneself up."""
    return UserRead.model_validate(user)


@router.put("/users/me/password", status_code=204, responses=problem_responses(401, 403, 429))
async def change_password(change: PasswordChange, user: CurrentUser, session: Session, request: Request) -> None:
    """Change one's password. It signs out everywhere: all access tokens are void from then on.

    A wrong current password is answered with 403, and counts as an attempt to sign in.
    """
    await session.commit()  # gives the connection to the database back: from here on it may have to wait
    await _count(sign_ins, request, user.email)
    try:
        await service.change_password(session, user, current=change.current, new=change.new)
    except service.WrongPasswordError as error:
        raise Problem(403, str(error)) from None
    await session.commit()
    await sign_ins.forget(email=user.email)


@router.get("/users/{user_id}", responses=problem_responses(401, 404))
async def read_user(user_id: UserId, user: CurrentUser, session: Session) -> UserRead:
    """Look a user up: oneself, or as administrator or viewer anybody. To others it is as if there were no such user."""
    found = await service.get_user(session, user_id) if user.id == user_id or user.role in SEEING_ROLES else None
    if found is None:
        raise Problem(404, f"no user has the id {user_id}")
    return UserRead.model_validate(found)


@router.post("/auth/token", responses=problem_responses(400, 401, 429))
async def create_token(
    given: Annotated[SignIn, Form()], session: Session, request: Request, response: Response
) -> AccessToken:
    """Sign in. The answer is the same whether the address is unknown, has no password, or has another one."""
    await _count(sign_ins, request, given.username)
    try:
        user = await service.sign_in(session, email=given.username, password=given.password)
    except service.WrongCredentialsError as error:
        raise Problem(401, str(error), {"WWW-Authenticate": "Bearer"}) from None
    await session.commit()
    await sign_ins.forget(email=given.username)
    response.headers["Cache-Control"] = "no-store"
    return AccessToken(access_token=access_token(user), expires_in=get_auth_settings().token_ttl)


# {% if cookiecutter.cache_backend == "none" %}
@router.post("/auth/password-reset", status_code=202, responses=problem_responses(429))
async def request_password_reset(given: ResetRequest, request: Request, background: BackgroundTasks) -> ResetRequested:
    """Ask for a link to set a new password by. The answer, and how long it takes, tell nothing about the address."""
    await _count(resets, request, given.email)
    background.add_task(_send_reset_link, given.email)
    return ResetRequested()


# {% else %}
@router.post("/auth/password-reset", status_code=202, responses=problem_responses(429))
async def request_password_reset(
    given: ResetRequest, session: Session, request: Request, response: Response
) -> JobAccepted:
    """Ask for a link to set a new password by. Neither the answer nor the job tells whether the address is known."""
    await _count(resets, request, given.email)
    # With the session, so that what happens while the jobs' server is away is the same for all addresses, too.
    job_id = await enqueue_task("request_password_reset", email=given.email, _session=session)
    await session.commit()
    return accepted(response, str(job_id))


# {% endif %}
@router.post("/auth/password-reset/confirm", status_code=204, responses=problem_responses(400))
async def confirm_password_reset(given: ResetConfirm, session: Session) -> None:
    """Set a new password by the token of a link. It signs out everywhere, and makes all other links void."""
    try:
        user = await service.finish_password_reset(session, token=given.token, password=given.password)
    except service.InvalidResetTokenError as error:
        raise Problem(400, str(error)) from None
    await session.commit()
    await sign_ins.forget(email=user.email)


async def _count(limit: AttemptLimit, request: Request, email: str) -> None:
    try:
        await limit.count(email=email, client=request.client.host if request.client else "")
    except TooManyAttemptsError as error:
        raise Problem(429, str(error), {"Retry-After": str(error.retry_after)}) from None
# {% if cookiecutter.cache_backend == "none" %}


async def _send_reset_link(email: str) -> None:
    async with get_session_context() as session:
        reset = await service.start_password_reset(session, email)
    if reset:
        await _send(reset.email, service.password_reset_mail(reset.link))


async def _send(to: str, content: mail.Content) -> None:
    """Send a message, or log why it could not be sent: what it is about has been done."""
    try:
        await mail.send_content(to, content)
    except mail.MailError as error:
        logger.error("mail is not sent", to=to, subject=content.subject, error=str(error))  # noqa: TRY400
# {% endif %}
