import logging
from typing import Any

from django.core.management.base import CommandError
from django.db import OperationalError, connection

from hyperwatch.management.base import DatabaseCommand, database_hint
from hyperwatch.server.daphne import CannotListenError, exit_process, serve
from realtime.storage.sequences import read_epoch

log = logging.getLogger(__name__)


class Command(DatabaseCommand):
    """As many of these as one likes, beside each other."""

    help = (
        "Serves REST, WebSocket, pages and admin on SERVER_HOST and PORT until SIGINT or SIGTERM. Run `init_db` first; "
        "what is new comes from `consume`. Several of these need a REDIS_URL in common."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        _look_at_the_database()
        try:
            serve()
        except CannotListenError as error:
            raise CommandError(str(error)) from error
        exit_process(0)


def _look_at_the_database() -> None:
    """One that was never set up ends the command; one that is away may come while we answer with 503."""
    try:
        read_epoch()
    except OperationalError as error:
        log.warning("%s", database_hint(error))
    finally:
        connection.close()
