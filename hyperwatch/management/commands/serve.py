import logging
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, connection

from hyperwatch.db.errors import is_unavailable
from hyperwatch.management.base import DatabaseCommand, database_hint
from hyperwatch.server.daphne import CannotListenError, exit_process, serve
from realtime.storage.sequences import read_epoch

log = logging.getLogger(__name__)


class Command(DatabaseCommand):
    """The web server. Several processes can run in parallel."""

    help = (
        "Serves REST, WebSocket, pages and admin on SERVER_HOST and PORT until SIGINT or SIGTERM. Run `init_db` first, "
        "and `consume` for new data. Several web processes need the same REDIS_URL."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        _check_database()
        try:
            serve(on_start=_log_address)
        except CannotListenError as error:
            raise CommandError(str(error)) from error
        exit_process(0)


def _log_address() -> None:
    host = f"[{settings.SERVER_HOST}]" if ":" in settings.SERVER_HOST else settings.SERVER_HOST
    log.info("serving on http://%s:%s", host, settings.SERVER_PORT)


def _check_database() -> None:
    """A missing schema ends the command; an unavailable database is logged, and requests get 503 meanwhile."""
    try:
        read_epoch()
    except (DatabaseError, InterfaceError) as error:
        if not is_unavailable(error):
            raise
        log.warning("%s", database_hint(error))
    finally:
        connection.close()
