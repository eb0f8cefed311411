"""Logging: text for people (`console`) or JSON for machines (`json`), with the bound context in each line.

All loggers, also those of Django, daphne and librdkafka, use the standard library's root handler and so one format.
"""

import logging
import logging.config
import sys
from typing import Any

import structlog

from hyperwatch.terminal import escape_controls

SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def _escape_event(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """One line an event: texts from outside may contain line ends and terminal sequences."""
    # Tracebacks have lines of their own.
    return {
        name: escape_controls(value) if isinstance(value, str) and name not in ("exception", "stack") else value
        for name, value in event.items()
    }


def configure_logging(level: str, style: str) -> None:
    """`level` is a level name of the standard library, `style` is `console` or `json`."""
    # structlog's default traceback shows all local variables, including secrets.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderers: dict[str, list[Any]] = {
        "json": [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        "console": [_escape_event, console],
    }
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED_PROCESSORS,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers[style]],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("daphne", "asyncio", "django.channels.server", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # Its warnings are 4xx responses, which the request log contains already.
    logging.getLogger("django.request").setLevel(max(logging.ERROR, root.level))
    # It logs a traceback for each SuspiciousOperation, so clients could fill the log. The request log has each 400.
    logging.getLogger("django.security").setLevel(logging.CRITICAL)
    logging.getLogger("django.security.csrf").setLevel(max(logging.WARNING, root.level))
