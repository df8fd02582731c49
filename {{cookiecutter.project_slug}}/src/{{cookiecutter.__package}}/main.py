"""The application: `app` is what a server runs, for instance `uvicorn <package>.main:app`."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import metadata
from typing import TYPE_CHECKING

from fastapi import FastAPI

from . import TITLE
from .accounts.routes import router as accounts_router
# {% if cookiecutter.cache_backend != "none" %}
from .api.admin.router import router as admin_router
# {% endif %}
from .api.correlation import install_correlation
from .api.health import health_router
# {% if cookiecutter.cache_backend != "none" %}
from .api.job_problems import install_job_problems
from .api.job_routes import router as jobs_router
from .api.jobs import check_queue, check_redis, check_worker
# {% endif %}
from .api.openapi import install_openapi, operation_id
from .api.problems import install_problem_handlers
# {% if cookiecutter.include_examples == "yes" %}
from .billing.routes import router as billing_router
# {% endif %}
# {% if cookiecutter.cache_backend != "none" %}
from .infrastructure.cache import close_cache
# {% endif %}
from .infrastructure.database import check_database, close_database
# {% if cookiecutter.cache_backend == "falkordb" %}
from .infrastructure.graph import close_graph
# {% endif %}
# {% if cookiecutter.cache_backend != "none" %}
from .infrastructure.jobs import logs as job_logs
# {% endif %}
from .infrastructure.logging import configure_logging
from .infrastructure.settings import get_settings
# {% if cookiecutter.cache_backend != "none" %}
from .infrastructure.tasks import close_task_pool
# {% endif %}
# {% if cookiecutter.include_examples == "yes" and cookiecutter.cache_backend != "none" %}
from .reports.job_routes import router as reports_job_router
# {% endif %}
# {% if cookiecutter.include_examples == "yes" %}
from .reports.routes import router as reports_router
# {% endif %}
# {% if cookiecutter.cache_backend == "falkordb" %}
from .social.routes import router as social_router
# {% endif %}

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Hold what requests share: connections are made when first needed, and closed here, whatever else fails."""
    # {% if cookiecutter.cache_backend == "none" %}
    configure_logging(get_settings())
    # {% else %}
    configure_logging(get_settings(), job_logs.PROCESSORS)
    # {% endif %}
    async with AsyncExitStack() as stack:
        stack.push_async_callback(close_database)
        # {% if cookiecutter.cache_backend != "none" %}
        stack.push_async_callback(close_cache)
        stack.push_async_callback(close_task_pool)
        # {% endif %}
        # {% if cookiecutter.cache_backend == "falkordb" %}
        stack.push_async_callback(close_graph)
        # {% endif %}
        yield


def create_app() -> FastAPI:
    """Put the application together: one line for each slice."""
    get_settings()  # a bad setting ends the process here, with one line
    about = metadata(__package__).json
    app = FastAPI(
        title=TITLE,
        version=str(about["version"]),
        description=str(about.get("summary", "")),
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        redirect_slashes=False,  # an address is there or not; a redirect would name whatever host the request has named
    )
    install_correlation(app)
    install_problem_handlers(app)
    install_openapi(app)
    # {% if cookiecutter.cache_backend != "none" %}
    install_job_problems(app)
    # {% endif %}
    # {% if cookiecutter.cache_backend == "none" %}
    app.include_router(health_router(essential={"database": check_database}, other={}))
    # {% else %}
    essential = {"database": check_database, "redis": check_redis}
    app.include_router(health_router(essential=essential, other={"worker": check_worker, "queue": check_queue}))
    # {% endif %}
    app.include_router(accounts_router)
    # {% if cookiecutter.include_examples == "yes" %}
    app.include_router(billing_router)
    app.include_router(reports_router)
    # {% endif %}
    # {% if cookiecutter.include_examples == "yes" and cookiecutter.cache_backend != "none" %}
    app.include_router(reports_job_router)
    # {% endif %}
    # {% if cookiecutter.cache_backend == "falkordb" %}
    app.include_router(social_router)
    # {% endif %}
    # {% if cookiecutter.cache_backend != "none" %}
    app.include_router(jobs_router)
    app.include_router(admin_router)
    # {% endif %}
    return app


app = create_app()
