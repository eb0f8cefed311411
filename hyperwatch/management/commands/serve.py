from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hyperwatch.server import CannotListenError, leave, serve


class Command(BaseCommand):
    """REST and WebSocket on SERVER_HOST:SERVER_PORT; as many of these as one likes, beside each other."""

    help = "Serves REST and WebSocket until SIGINT or SIGTERM. What there is to serve comes from `consume`."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            serve()
        except CannotListenError as error:
            raise CommandError(str(error)) from error
        leave(0)
