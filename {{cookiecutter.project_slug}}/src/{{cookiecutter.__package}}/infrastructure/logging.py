"""Logs: readable lines while developing, one JSON object a line in production; every library's logs alike."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .settings import Settings


def configure_logging(settings: Settings, processors: Iterable[Any] = ()) -> None:
    """Send all logs of this process through structlog to standard error.

    Args:
        settings: what form and how much.
        processors: what else structlog is to do with each line, before it gets its form.
    """
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        *processors,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if settings.environment == "production":
        # Without the values of local variables: they may be secrets.
        traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        render: list[Any] = [structlog.processors.ExceptionRenderer(traces), structlog.processors.JSONRenderer()]
    else:
        colors = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        plain = structlog.dev.plain_traceback
        render = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    # Programs that started this process may have set up loggers of their own: each line is to appear once, in one form.
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # It shows every statement with its values, which may be secrets; DATABASE_ECHO is for who wants to see them.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
