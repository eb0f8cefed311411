"""`manage.py consume`: Kafka to the database and to the hubs."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from hyperwatch.gc_tuning import tune_gc
from hyperwatch.management.base import DatabaseCommand, whole_number
from realtime.ingest.runner import ConsumerRunner
from realtime.ingest.status_server import serve_status
from realtime.ingest.watchdog import Watchdog
from realtime.kafka.admin import KafkaUnavailable


class Command(DatabaseCommand):
    help = (
        "Reads both Kafka topics, stores what arrives in the database and tells the web processes of it. Run `init_db` "
        "first, and as many of these as you like: they share the partitions. Waits for a Kafka or a database that is "
        "away; SIGTERM or Ctrl-C ends it cleanly."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port",
            type=whole_number(0, 65535),
            default=settings.CONSUMER_STATUS_PORT,
            help="port of /health and /metrics, 0 for none (default: CONSUMER_STATUS_PORT, now %(default)s)",
        )

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        if not settings.KAFKA_BOOTSTRAP_SERVERS:
            raise CommandError("No Kafka is configured: set KAFKA_BOOTSTRAP_SERVERS, or start `make run` first")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        consuming = ConsumerRunner(stop, heartbeat=Watchdog(settings.CONSUMER_WATCHDOG_SECONDS))
        tune_gc()
        with serve_status(port, consuming.status):
            try:
                consuming.run()
            except KafkaUnavailable as away:
                raise CommandError(str(away)) from away
        self.stdout.write("ended")
