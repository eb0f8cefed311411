"""Log lines for people (`console`) or machines (`json`), with what is bound to the context in each.

Everything goes through the standard library's root logger, so that Django's, daphne's and librdkafka's lines
look the same as ours.
"""

import logging
import logging.config
import sys
from typing import Any

import structlog

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configure_logging(level: str, style: str) -> None:
    """`level` is a name of the standard library's, `style` is `console` or `json`."""
    # The coloured traceback shows every local variable, secrets among them.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderers: dict[str, list[Any]] = {
        "json": [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        "console": [console],
    }
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers[style]],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("daphne", "asyncio", "django.channels.server", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # Its warnings are the 4xx, of which each request's own line tells already.
    logging.getLogger("django.request").setLevel(max(logging.ERROR, root.level))
    # Of what it finds suspicious it writes tracebacks, as many as a stranger likes; each is a 400, told already, too.
    logging.getLogger("django.security").setLevel(logging.CRITICAL)
    logging.getLogger("django.security.csrf").setLevel(max(logging.WARNING, root.level))
