"""Everything in one process, with nothing configured: what `make run` runs."""

import signal
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from hyperwatch.embedded import CannotStartError, runtime_files
from hyperwatch.embedded.banner import banner, made_password
from hyperwatch.embedded.kafka import SESSION_TIMEOUT_MS, EmbeddedKafka
from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.embedded.worker_threads import WorkerThreads
from hyperwatch.server import daphne
from realtime.ingest.runner import run_consumer
from realtime.kafka.admin import topics
from realtime.sources.simulator import run_simulator


class Command(BaseCommand):
    """DATABASE_URL, REDIS_URL and KAFKA_BOOTSTRAP_SERVERS, each for itself, replace what is brought along."""

    help = (
        "Runs a trial installation in one process: the web server, the consumer and, unless DEMO_MARKET=0, a "
        "simulated market. Starts an embedded PostgreSQL or Kafka if DATABASE_URL or KAFKA_BOOTSTRAP_SERVERS is "
        "unset. Runs `init_db` first, then prints all addresses. Data stays in DATA_DIR; Ctrl-C stops it."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.is_demo = settings.SIMULATED_DATA = settings.DEMO_MARKET
        self.parts = WorkerThreads(on_failure=daphne.stop)
        # Until the server sets handlers of its own, both take the way of Ctrl-C, through every `finally`.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt), ExitStack() as brought:
                self.run(brought)
        except (CannotStartError, daphne.CannotListenError) as error:
            raise CommandError(str(error)) from error
        if self.parts.failed:
            self.stderr.write(self.style.ERROR(f"{self.parts.failed} failed, so everything was ended"))
        daphne.exit_process(1 if self.parts.failed else 0)

    def run(self, brought: ExitStack) -> None:
        # Said before anything is started.
        daphne.ensure_bindable(settings.SERVER_HOST, settings.SERVER_PORT)
        if not settings.KAFKA_IS_GIVEN:
            self.bring_kafka(brought)
        if not settings.DATABASE_URL:
            self.bring_postgres(brought)
        self.tell_other_shells(brought)
        self.prepare()
        daphne.serve(on_start=self.start, before_end=self.parts.end)

    def bring_postgres(self, brought: ExitStack) -> None:
        began = time.monotonic()
        if runtime_files.is_database_published(settings.DATA_DIR):
            raise CannotStartError("Another `make run` of this folder has a DATABASE_URL: end it, or set the same one")
        self.postgres = EmbeddedPostgres(settings.DATA_DIR)
        brought.callback(self.postgres.stop)
        self.postgres.start()
        self.say(f"PostgreSQL {self.postgres.major} (data in {self.postgres.home})", began)

    def bring_kafka(self, brought: ExitStack) -> None:
        began = time.monotonic()
        kafka = EmbeddedKafka(settings.DATA_DIR, [(topic.name, topic.partitions) for topic in topics()])
        brought.callback(kafka.stop)
        # Its port is known only now; whoever makes a client of Kafka asks the settings then.
        settings.KAFKA_BOOTSTRAP_SERVERS = kafka.start()
        settings.KAFKA_SESSION_TIMEOUT_MS = SESSION_TIMEOUT_MS
        self.say(f"Kafka (in memory, {settings.KAFKA_BOOTSTRAP_SERVERS})", began)

    def tell_other_shells(self, brought: ExitStack) -> None:
        """What was brought is found in any case; this is what was given, perhaps to this shell alone."""
        var = settings.DATA_DIR
        brought.enter_context(runtime_files.publish_address(runtime_files.port_file(var), str(settings.SERVER_PORT)))
        if settings.DATABASE_URL:
            brought.enter_context(
                runtime_files.publish_address(runtime_files.database_file(var), settings.DATABASE_URL)
            )
        if settings.REDIS_URL:
            brought.enter_context(runtime_files.publish_address(runtime_files.redis_file(var), settings.REDIS_URL))
        if settings.KAFKA_IS_GIVEN:
            brought.enter_context(
                runtime_files.publish_address(runtime_files.kafka_file(var), settings.KAFKA_BOOTSTRAP_SERVERS)
            )

    def prepare(self) -> None:
        began = time.monotonic()
        settings.ADMIN_PASSWORD = settings.ADMIN_PASSWORD or made_password(settings.DATA_DIR)
        call_command("init_db", stdout=self.stdout, stderr=self.stderr)
        self.greeting = banner(settings.DATA_DIR, is_demo=self.is_demo)
        connections.close_all()
        self.say("Database", began)

    def start(self) -> None:
        if not settings.DATABASE_URL:
            self.parts.start("PostgreSQL", self.postgres.watch)
        self.parts.start("The consumer", lambda stop: run_consumer(stop, daphne.loop()))
        if self.is_demo:
            self.parts.start("The demo market", demo_market)
        self.stdout.write(self.greeting)
        self.stdout.flush()

    def say(self, what: str, began: float) -> None:
        self.stdout.write(f"{what} ready in {time.monotonic() - began:.1f} s")
        self.stdout.flush()


def demo_market(stop: threading.Event) -> None:
    """A small market: something happens wherever one looks, and a disk fills by a gigabyte a day at most."""
    run_simulator(stop, rate=10.0, seed=1, coins=8, wallets=200)
