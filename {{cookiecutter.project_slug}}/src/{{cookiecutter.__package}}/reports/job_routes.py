"""Routes of the reports slice that put work off."""

from __future__ import annotations

from fastapi import APIRouter

from .daily.job_routes import router as daily_router
from .exports.job_routes import router as exports_router
from .newsletter.job_routes import router as newsletter_router

router = APIRouter()
router.include_router(daily_router)
router.include_router(exports_router)
router.include_router(newsletter_router)
