import logging
from typing import Any

from django.core.management.base import CommandError
from django.db import OperationalError, connection

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
            serve()
        except CannotListenError as error:
            raise CommandError(str(error)) from error
        exit_process(0)


def _check_database() -> None:
    """A missing schema ends the command; an unavailable database is logged, and requests get 503 meanwhile."""
    try:
        read_epoch()
    except OperationalError as error:
        log.warning("%s", database_hint(error))
    finally:
        connection.close()
