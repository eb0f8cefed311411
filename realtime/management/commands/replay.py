"""manage.py replay: recorded messages go to Kafka as from any producer."""

import time
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

# As long as the brokers may take for the last of it.
LAST_SECONDS = 30.0


class Command(BaseCommand):
    """Sends files in order. What stands before a bad line is sent, what follows is not."""

    help = (
        'Send recorded messages to Kafka. A file has one JSON object a line, {"topic", "key", "value"}; the '
        "value's bytes go unchanged. The topics in it are hyperliquid.transactions and hyperliquid.computed_data, "
        "whatever the settings call them. Replaying again stores nothing twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a file of messages; - reads stdin")
        parser.add_argument(
            "--rate",
            type=float,
            default=0.0,
            help="at most so many messages a second (default: as fast as it goes)",
        )

    def handle(self, *, files: list[str], rate: float, **_options: Any) -> None:
        missing = [name for name in files if name != recordings.STDIN and not Path(name).is_file()]
        if missing:
            raise CommandError(f"no such file: {', '.join(missing)}")
        try:
            create_topics(timeout=5.0)
        except KafkaUnavailable as away:
            servers = settings.KAFKA_BOOTSTRAP_SERVERS or "empty"
            raise CommandError(
                f"{away}\nIs KAFKA_BOOTSTRAP_SERVERS ({servers}) right, or `make run` running?"
            ) from away
        with stopped_by_signals() as stop:
            self._replay(files, rate, stop)

    def _replay(self, files: list[str], rate: float, stop: Event) -> None:
        outbox = BoundedProducer(stop)
        try:
            with ProgressMeter(self.stdout, _total(files)) as meter:
                try:
                    _send(files, outbox, rate, stop, meter)
                finally:
                    outbox.close(LAST_SECONDS)
            outbox.check()
        except (OSError, recordings.BadLineError, NotAcknowledgedError) as problem:
            raise CommandError(f"{problem}; {_what_was_sent(outbox, meter)}") from problem
        if stop.is_set():
            raise CommandError(f"stopped; {_what_was_sent(outbox, meter)}")
        self.stdout.write(_what_was_sent(outbox, meter))


def _send(files: list[str], outbox: BoundedProducer, rate: float, stop: Event, meter: ProgressMeter) -> None:
    names, done, began = topic_names(), 0, time.monotonic()
    for name in files:
        for size, message in recordings.read(name, set(names)):
            if rate > 0:
                stop.wait(max(0.0, outbox.sent / rate - (time.monotonic() - began)))
            if stop.is_set():
                return
            outbox.send(names[message.topic], message.key, message.payload)
            done += size
            meter.at(outbox.sent, done)


def _what_was_sent(outbox: BoundedProducer, meter: ProgressMeter) -> str:
    rate = outbox.acknowledged / max(meter.seconds, 0.001)
    return f"{outbox.acknowledged:,} sent and acknowledged in {meter.seconds:.1f} s ({rate:,.0f}/s)"


def _total(files: list[str]) -> int | None:
    if recordings.STDIN in files:
        return None
    return sum(Path(name).stat().st_size for name in files)
