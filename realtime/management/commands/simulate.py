"""manage.py simulate: the simulated market, to Kafka or into a file."""

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

LAST_SECONDS = 30.0


class Command(BaseCommand):
    """Ends by itself after --duration or --count, and cleanly on SIGINT and SIGTERM."""

    help = (
        "Send a simulated market to Kafka: wallets that trade with leverage, liquidations, ratios, maps and "
        "positions. The same seed, start, rate, coins and wallets give the same messages, byte for byte."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--rate", type=_rate, default=simulator.DEFAULT_RATE, help="messages a second, or max (%(default)g)")
        add("--duration", type=float, help="end after so many seconds of the market's time (never)")
        add("--count", type=int, help="end after so many messages (never)")
        add(
            "--seed",
            type=int,
            default=simulator.DEFAULT_SEED,
            help="another number, another market (%(default)s)",
        )
        add("--start", type=_time, help="the time of the first message, ISO 8601 (now)")
        add("--coins", type=int, default=simulator.DEFAULT_COINS, help="how many coins are traded (%(default)s)")
        add("--wallets", type=int, default=simulator.DEFAULT_WALLETS, help="how many wallets trade (%(default)s)")
        add("--no-watch", action="store_true", help="do not put the market's whales on the watch list")
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
            raise CommandError("no Kafka: set KAFKA_BOOTSTRAP_SERVERS, start `make run`, or use --output")
        if not wait_for_kafka(stop):
            return
        simulated = _market(options, options["start"] or datetime.now(UTC))
        if not options["no_watch"]:
            _watch(simulated)
        self.stdout.write(f"Simulated market to {settings.KAFKA_BOOTSTRAP_SERVERS}; Ctrl-C ends it")
        self.stdout.flush()
        outbox, names, kinds = BoundedProducer(stop), topic_names(), Counter[str]()
        limits = {"duration": options["duration"], "count": options["count"]}
        with ProgressMeter(self.stdout) as meter:
            for message in live(simulated, stop, rate=options["rate"], **limits):
                outbox.send(names[message.topic], message.key, message.value)
                kinds[message.kind] += 1
                meter.at(outbox.sent)
            outbox.close(LAST_SECONDS)
        self._summarise(kinds, meter, f"{outbox.acknowledged:,} acknowledged")
        try:
            outbox.check()
        except NotAcknowledgedError as missing:
            raise CommandError(str(missing)) from missing

    def _write(self, options: dict[str, Any], stop: Event) -> None:
        rate, duration, count = options["rate"] or UNLIMITED_RATE, options["duration"], options["count"]
        if duration is None and count is None:
            raise CommandError("--output needs --duration or --count: the market never ends")
        span = duration if duration is not None else count / rate
        # Without a start the file ends about now, so that nothing in it comes from the future.
        simulated = _market(options, options["start"] or datetime.now(UTC) - timedelta(seconds=span))
        messages = limited(simulated.messages(rate), duration, count)
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
            self._summarise(kinds, meter, f"written to {name}")

    def _summarise(self, kinds: Counter[str], meter: ProgressMeter, end: str) -> None:
        seconds = max(meter.seconds, 0.001)
        self.stdout.write(f"{kinds.total():,} messages in {seconds:.1f} s ({kinds.total() / seconds:,.0f}/s), {end}")
        for kind, number in kinds.most_common():
            self.stdout.write(f"  {kind:24}{number:>12,}")


def _market(options: dict[str, Any], start: datetime) -> simulator.MarketSimulator:
    try:
        return simulator.MarketSimulator(
            seed=options["seed"], start=start, coins=options["coins"], wallets=options["wallets"]
        )
    except ValueError as impossible:
        raise CommandError(str(impossible)) from impossible


def _watch(simulated: simulator.MarketSimulator) -> None:
    try:
        watch_wallets(simulated.whales)
    except DatabaseError as error:
        raise CommandError(
            f"the whales cannot be put on the watch list ({error}). Without a database, use --no-watch"
        ) from error


def _rate(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise ArgumentTypeError("a number of messages a second, or max")
    return rate


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError("a time such as 2026-01-10T10:30:00Z") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
