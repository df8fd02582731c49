"""Routes of the reports slice, but for those that put work off: see `job_routes.py` where there is one."""

from __future__ import annotations

from fastapi import APIRouter

from .daily.routes import router as daily_router
from .exports.routes import router as exports_router
from .newsletter.routes import router as newsletter_router

router = APIRouter()
router.include_router(daily_router)
router.include_router(exports_router)
router.include_router(newsletter_router)
