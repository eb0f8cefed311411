"""`manage.py consume`: Kafka to the database and to the hubs."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from realtime.consuming import Consuming
from realtime.kafka import KafkaAway
from realtime.status import serve_status


class Command(BaseCommand):
    help = (
        "Stores what arrives on both topics and tells the web processes. Run as many as you like: they share "
        "the partitions. SIGTERM or Ctrl-C ends it cleanly. Serves /health and /metrics on CONSUMER_PORT."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port",
            type=int,
            default=settings.CONSUMER_PORT,
            help="where /health and /metrics are served, 0 for nowhere (default: CONSUMER_PORT, %(default)s)",
        )

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        if not settings.KAFKA_BOOTSTRAP_SERVERS:
            raise CommandError("No Kafka is configured: set KAFKA_BOOTSTRAP_SERVERS, or start `make run` first")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        consuming = Consuming(stop)
        with serve_status(port, consuming.status):
            try:
                consuming.run()
            except KafkaAway as away:
                raise CommandError(str(away)) from away
        self.stdout.write("ended")
