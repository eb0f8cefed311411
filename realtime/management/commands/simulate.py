"""`manage.py simulate`: sends a simulated market to Kafka, or writes it to a file."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from realtime.kafka.bulk_producer import (
    BoundedProducer,
    NotAcknowledgedError,
    stopped_by_signals,
    topic_names,
    wait_for_kafka,
)
from realtime.management.progress import ProgressMeter
from realtime.sources import recordings, simulator
from realtime.sources.simulator.live_runner import limited, live
from realtime.sources.simulator.simulation import UNLIMITED_RATE
from realtime.streams import watch_wallets

FLUSH_TIMEOUT_SECONDS = 30.0


class Command(BaseCommand):
    """Ends after --duration or --count; SIGINT and SIGTERM end it cleanly."""

    help = (
        "Sends a simulated market to Kafka: wallets that trade with leverage, liquidations, ratios, maps and "
        "positions. The same seed, start, rate, coins and wallets give the same messages, byte for byte."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--rate", type=_rate, default=simulator.DEFAULT_RATE, help="messages per second, or max (%(default)g)")
        add("--duration", type=float, help="end after this many seconds of simulated time (default: never)")
        add("--count", type=int, help="end after this many messages (default: never)")
        add(
            "--seed",
            type=int,
            default=simulator.DEFAULT_SEED,
            help="seed of the market (%(default)s)",
        )
        add("--start", type=_time, help="time of the first message, ISO 8601 (default: now)")
        add("--coins", type=int, default=simulator.DEFAULT_COINS, help="number of traded coins (%(default)s)")
        add("--wallets", type=int, default=simulator.DEFAULT_WALLETS, help="number of wallets (%(default)s)")
        add("--no-watch", action="store_true", help="do not add the whales of the market to the watch list")
        add(
            "--output",
            metavar="FILE",
            help="write to a file for `replay` (- is stdout), not to Kafka, at full speed",
        )

    def handle(self, **options: Any) -> None:
        with stopped_by_signals() as stop:
            if options["output"]:
                self._write(options, stop)
            else:
                self._send(options, stop)

    def _send(self, options: dict[str, Any], stop: Event) -> None:
        if not settings.KAFKA_BOOTSTRAP_SERVERS:
            raise CommandError(
                "Kafka is not configured: set KAFKA_BOOTSTRAP_SERVERS, start `make run`, or use --output"
            )
        if not wait_for_kafka(stop):
            return
        market = _market(options, options["start"] or datetime.now(UTC))
        if not options["no_watch"]:
            _watch(market)
        self.stdout.write(f"Simulated market to {settings.KAFKA_BOOTSTRAP_SERVERS}; Ctrl-C ends it")
        self.stdout.flush()
        producer, names, kinds = BoundedProducer(stop), topic_names(), Counter[str]()
        limits = {"duration": options["duration"], "count": options["count"]}
        with ProgressMeter(self.stdout) as meter:
            for message in live(market, stop, rate=options["rate"], **limits):
                producer.send(names[message.topic], message.key, message.value)
                kinds[message.kind] += 1
                meter.at(producer.sent)
            producer.close(FLUSH_TIMEOUT_SECONDS)
        self._print_summary(kinds, meter, f"{producer.acknowledged:,} acknowledged")
        try:
            producer.check()
        except NotAcknowledgedError as error:
            raise CommandError(str(error)) from error

    def _write(self, options: dict[str, Any], stop: Event) -> None:
        rate, duration, count = options["rate"] or UNLIMITED_RATE, options["duration"], options["count"]
        if duration is None and count is None:
            raise CommandError("--output needs --duration or --count, because the market never ends")
        seconds = duration if duration is not None else count / rate
        # The default start lets the file end now: consumers reject timestamps in the future.
        market = _market(options, options["start"] or datetime.now(UTC) - timedelta(seconds=seconds))
        messages = limited(market.messages(rate), duration, count)
        try:
            self._write_file(options["output"], takewhile(lambda _message: not stop.is_set(), messages))
        except OSError as error:
            raise CommandError(str(error)) from error

    def _write_file(self, name: str, messages: Iterable[simulator.OutgoingMessage]) -> None:
        is_stdout, kinds = name == recordings.STDIN, Counter[str]()
        with (
            nullcontext(sys.stdout.buffer) if is_stdout else Path(name).open("wb") as file,
            ProgressMeter(self.stderr) as meter,
        ):
            for number, message in enumerate(messages, start=1):
                file.write(recordings.write(message.topic, message.key, message.value))
                kinds[message.kind] += 1
                meter.at(number)
        if not is_stdout:
            self._print_summary(kinds, meter, f"written to {name}")

    def _print_summary(self, kinds: Counter[str], meter: ProgressMeter, outcome: str) -> None:
        seconds = max(meter.seconds, 0.001)
        self.stdout.write(
            f"{kinds.total():,} messages in {seconds:.1f} s ({kinds.total() / seconds:,.0f}/s), {outcome}"
        )
        for kind, number in kinds.most_common():
            self.stdout.write(f"  {kind:24}{number:>12,}")


def _market(options: dict[str, Any], start: datetime) -> simulator.MarketSimulator:
    try:
        return simulator.MarketSimulator(
            seed=options["seed"], start=start, coins=options["coins"], wallets=options["wallets"]
        )
    except ValueError as error:
        raise CommandError(str(error)) from error


def _watch(market: simulator.MarketSimulator) -> None:
    try:
        watch_wallets(market.whales)
    except DatabaseError as error:
        raise CommandError(
            f"the whales cannot be added to the watch list ({error}); without a database, use --no-watch"
        ) from error


def _rate(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise ArgumentTypeError("takes a number of messages per second, or max")
    return rate


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError("takes a time such as 2026-01-10T10:30:00Z") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
