"""`manage.py replay`: sends recorded messages to Kafka."""

import time
import zlib
from argparse import ArgumentParser
from pathlib import Path
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from realtime.kafka.admin import KafkaUnavailable, create_topics
from realtime.kafka.bulk_producer import BoundedProducer, NotAcknowledgedError, stopped_by_signals, topic_names
from realtime.management.progress import ProgressMeter
from realtime.sources import recordings

# Time for the brokers to acknowledge the last messages.
FLUSH_TIMEOUT_SECONDS = 30.0


class Command(BaseCommand):
    """Sends files in order. Messages before a bad line are sent, later ones are not."""

    help = (
        'Sends recorded messages to Kafka. A file has one JSON object on each line, {"topic", "key", "value"}; the '
        "bytes of the value are sent unchanged. Its topics are hyperliquid.transactions and hyperliquid.computed_data; "
        "the settings map them to the real names. A repeated replay stores no duplicates."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a file of messages; - reads stdin")
        parser.add_argument(
            "--rate",
            type=float,
            default=0.0,
            help="maximum messages per second (default: unlimited)",
        )

    def handle(self, *, files: list[str], rate: float, **_options: Any) -> None:
        _check_readable(files)
        try:
            create_topics(timeout=5.0)
        except KafkaUnavailable as error:
            servers = settings.KAFKA_BOOTSTRAP_SERVERS or "empty"
            raise CommandError(f"{error}\nCheck KAFKA_BOOTSTRAP_SERVERS ({servers}), or start `make run`") from error
        with stopped_by_signals() as stop:
            self._replay(files, rate, stop)

    def _replay(self, files: list[str], rate: float, stop: Event) -> None:
        producer = BoundedProducer(stop)
        try:
            with ProgressMeter(self.stdout, _total(files)) as meter:
                try:
                    _send(files, producer, rate, stop, meter)
                finally:
                    producer.close(FLUSH_TIMEOUT_SECONDS)
            producer.check()
        except (OSError, EOFError, zlib.error, recordings.BadLineError, NotAcknowledgedError) as error:
            raise CommandError(f"{error}; {_summary(producer, meter)}") from error
        if stop.is_set():
            raise CommandError(f"stopped; {_summary(producer, meter)}")
        self.stdout.write(_summary(producer, meter))


def _check_readable(files: list[str]) -> None:
    for name in files:
        try:
            if name != recordings.STDIN:
                Path(name).open("rb").close()
        except OSError as error:
            raise CommandError(f"cannot read {name}: {error.strerror}") from error


def _send(files: list[str], producer: BoundedProducer, rate: float, stop: Event, meter: ProgressMeter) -> None:
    names, sent_bytes, started_at = topic_names(), 0, time.monotonic()
    for name in files:
        for size, message in recordings.read(name, set(names)):
            if rate > 0:
                stop.wait(max(0.0, producer.sent / rate - (time.monotonic() - started_at)))
            if stop.is_set():
                return
            producer.send(names[message.topic], message.key, message.payload)
            sent_bytes += size
            meter.at(producer.sent, sent_bytes)


def _summary(producer: BoundedProducer, meter: ProgressMeter) -> str:
    rate = producer.acknowledged / max(meter.seconds, 0.001)
    return f"{producer.acknowledged:,} sent and acknowledged in {meter.seconds:.1f} s ({rate:,.0f}/s)"


def _total(files: list[str]) -> int | None:
    if recordings.STDIN in files:
        return None
    return sum(Path(name).stat().st_size for name in files)
