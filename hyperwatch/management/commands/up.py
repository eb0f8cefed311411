"""`manage.py up` (`make run`): web server, consumer, demo market and services without any configuration."""

import shutil
import signal
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from hyperwatch.embedded import CannotStartError, runtime_files
from hyperwatch.embedded.banner import banner, generated_password
from hyperwatch.embedded.kafka import SESSION_TIMEOUT_MS, EmbeddedKafka
from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.embedded.worker_threads import WorkerThreads
from hyperwatch.server import daphne
from realtime.ingest.runner import run_consumer
from realtime.kafka.admin import topics
from realtime.sources.simulator import run_simulator
from realtime.storage import consumer_offsets


class Command(BaseCommand):
    """DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS each replace an embedded service; REDIS_URL adds Redis."""

    help = (
        "Runs a trial installation in one process: the web server, the consumer and, unless DEMO_MARKET=0, a "
        "simulated market. Starts an embedded PostgreSQL or Kafka if DATABASE_URL or KAFKA_BOOTSTRAP_SERVERS is "
        "unset. Runs `init_db` first, then prints all addresses. Data stays in DATA_DIR; Ctrl-C stops it."
    )

    postgres: EmbeddedPostgres | None = None

    def handle(self, *args: Any, **options: Any) -> None:
        self.is_demo = settings.SIMULATED_DATA = settings.DEMO_MARKET
        self.workers = WorkerThreads(on_failure=daphne.stop)
        # Until the server installs its handlers, both raise KeyboardInterrupt, so that every `finally` runs.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt), ExitStack() as stack:
                self.run(stack)
        except (CannotStartError, daphne.CannotListenError) as error:
            raise CommandError(str(error)) from error
        if self.workers.failed_worker:
            self.report_failure(self.workers.failed_worker)
        daphne.exit_process(1 if self.workers.failed_worker else 0)

    def run(self, stack: ExitStack) -> None:
        # A used port is reported before any service is started.
        daphne.ensure_bindable(settings.SERVER_HOST, settings.SERVER_PORT)
        if not settings.KAFKA_IS_GIVEN:
            self.start_kafka(stack)
        if not settings.DATABASE_URL:
            self.start_postgres(stack)
        self.publish_addresses(stack)
        self.prepare()
        daphne.serve(on_start=self.start, before_stop=self.workers.stop_all)

    def start_postgres(self, stack: ExitStack) -> None:
        started_at = time.monotonic()
        if runtime_files.is_database_published(settings.DATA_DIR):
            raise CannotStartError(
                "Another `make run` of this folder uses a DATABASE_URL: stop it, or set the same one"
            )
        self.postgres = EmbeddedPostgres(settings.DATA_DIR)
        stack.callback(self.postgres.stop)
        self.postgres.start()
        self.report_ready(f"PostgreSQL {self.postgres.major} (data in {self.postgres.home})", started_at)

    def start_kafka(self, stack: ExitStack) -> None:
        started_at = time.monotonic()
        if "security.protocol" in settings.KAFKA_CLIENT_OPTIONS:
            raise CannotStartError(
                "KAFKA_SECURITY_PROTOCOL needs KAFKA_BOOTSTRAP_SERVERS: the embedded Kafka has no TLS and no SASL"
            )
        kafka = EmbeddedKafka(settings.DATA_DIR, [(topic.name, topic.partitions) for topic in topics()])
        stack.callback(kafka.stop)
        # The port is known only now; Kafka clients read the setting when they are created.
        settings.KAFKA_BOOTSTRAP_SERVERS = kafka.start()
        settings.KAFKA_SESSION_TIMEOUT_MS = SESSION_TIMEOUT_MS
        self.report_ready(f"Kafka (in memory, {settings.KAFKA_BOOTSTRAP_SERVERS})", started_at)

    def publish_addresses(self, stack: ExitStack) -> None:
        """Publishes the given addresses, which may be set in this shell only; embedded services publish their own."""
        var = settings.DATA_DIR
        stack.enter_context(runtime_files.publish_address(runtime_files.port_file(var), str(settings.SERVER_PORT)))
        if settings.DATABASE_URL:
            stack.enter_context(runtime_files.publish_address(runtime_files.database_file(var), settings.DATABASE_URL))
        if settings.REDIS_URL:
            stack.enter_context(runtime_files.publish_address(runtime_files.redis_file(var), settings.REDIS_URL))
        if settings.KAFKA_IS_GIVEN:
            stack.enter_context(
                runtime_files.publish_address(runtime_files.kafka_file(var), settings.KAFKA_BOOTSTRAP_SERVERS)
            )

    def prepare(self) -> None:
        started_at = time.monotonic()
        settings.ADMIN_PASSWORD = settings.ADMIN_PASSWORD or generated_password(settings.DATA_DIR)
        call_command("init_db", stdout=self.stdout, stderr=self.stderr)
        if not settings.KAFKA_IS_GIVEN:
            # The embedded broker starts empty.
            consumer_offsets.clear()
        self.banner_text = banner(settings.DATA_DIR, is_demo=self.is_demo)
        connections.close_all()
        self.report_ready("Database", started_at)

    def start(self) -> None:
        if self.postgres:
            self.workers.start("PostgreSQL", self.postgres.watch)
        self.workers.start("The consumer", lambda stop: run_consumer(stop, daphne.loop()))
        if self.is_demo:
            self.workers.start("The demo market", demo_market)
        self.stdout.write(self.banner_text)
        self.stdout.flush()

    def report_failure(self, worker: str) -> None:
        """The cause is often a full disk, or in PostgreSQL's log; other workers log here."""
        self.stderr.write(self.style.ERROR(f"{worker} failed, so all services were stopped"))
        if self.postgres:
            self.stderr.write(f"PostgreSQL's log ends:\n{self.postgres.log_tail()}")
        self.stderr.write(disk_state(self.postgres.home if self.postgres else settings.DATA_DIR.resolve()))

    def report_ready(self, name: str, started_at: float) -> None:
        self.stdout.write(f"{name} ready in {time.monotonic() - started_at:.1f} s")
        self.stdout.flush()


def demo_market(stop: threading.Event) -> None:
    """A small market with activity on every page; it writes at most 1 GB per day."""
    run_simulator(stop, rate=10.0, seed=1, coins=8, wallets=200)


def disk_state(folder: Path) -> str:
    # The folder itself may have been deleted.
    disk = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists()))
    return f"Disk of {folder}: {disk.free / 1e9:,.1f} of {disk.total / 1e9:,.1f} GB free"
