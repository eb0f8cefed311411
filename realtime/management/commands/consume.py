"""`manage.py consume`: stores messages from Kafka and publishes them to the web processes."""

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
        "Consumes both Kafka topics, stores their messages in the database and publishes them to the web processes. "
        "Run `init_db` first. Several consumers share the partitions. Waits while Kafka or the database is down; "
        "SIGTERM or Ctrl-C ends it cleanly."
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
            raise CommandError("Kafka is not configured: set KAFKA_BOOTSTRAP_SERVERS, or start `make run` first")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        runner = ConsumerRunner(stop, heartbeat=Watchdog(settings.CONSUMER_WATCHDOG_SECONDS))
        tune_gc()
        with serve_status(port, runner.status):
            try:
                runner.run()
            except KafkaUnavailable as error:
                raise CommandError(str(error)) from error
        self.stdout.write("ended")
