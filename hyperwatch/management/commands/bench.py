"""`manage.py bench`: brings up what a benchmark stands on, runs it, and shows what it found."""

import asyncio
import os
import signal
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hyperwatch.bench import CannotMeasureError, cached_endpoints
from hyperwatch.bench.bursts import Crash
from hyperwatch.bench.churn import churn
from hyperwatch.bench.data.queries import GROUPS
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.fanout import MODE_NAMES, Fanout, fanout
from hyperwatch.bench.idle import idle
from hyperwatch.bench.ingest import PARTS, IngestOptions, ingest
from hyperwatch.bench.latency import Latency, latency
from hyperwatch.bench.processes.server_variants import KINDS
from hyperwatch.bench.report import Report, show
from hyperwatch.bench.rest import Rest, rest
from hyperwatch.bench.slow_client import slow
from hyperwatch.embedded import CannotStartError
from hyperwatch.harness import host
from hyperwatch.harness.postgres import COMPOSE_OPTIONS
from hyperwatch.harness.services import services
from realtime.kafka.admin import KafkaUnavailable

Bench = Callable[[BenchEnvironment, dict[str, Any]], Report]


class Command(BaseCommand):
    """Services that the settings do not name are started, and removed at the end.

    PostgreSQL is started with the options of docker-compose.yml, which are those of production.
    """

    help = "Measures the server beside references: all of it on this machine, the loopback only."

    def add_arguments(self, parser: CommandParser) -> None:
        benches = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
        for name, (text, add, _) in BENCHES.items():
            one = benches.add_parser(name, help=text, description=text)
            add(one)
            one.add_argument("--runs", type=int, default=3, help="of which the median counts (%(default)s)")
            one.add_argument("--seed", type=int, default=1, help="of what is published (%(default)s)")
            one.add_argument("--quick", action="store_true", help="small and short: shows that it works")
            one.add_argument("--json", action="store_true", help="everything as one JSON object")

    def handle(self, *args: Any, bench: str, **options: Any) -> None:
        # Both take the way of Ctrl-C, through every `finally`.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        host.raise_file_limit()
        if options.get("share_cores"):
            host.share_cores()
        os.sched_setaffinity(0, host.client_cores())
        _, _, run = BENCHES[bench]
        try:
            with self.ground({**options, "bench": bench}, with_kafka=_needs_kafka(bench, options)) as ground:
                report = run(ground, options)
        except (CannotStartError, CannotMeasureError, KafkaUnavailable) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; all started processes are stopped") from None
        if options["json"]:
            self.stdout.write(msgspec.json.encode(report).decode())
        else:
            show(report)

    @contextmanager
    def ground(self, options: dict[str, Any], *, with_kafka: bool) -> Iterator[BenchEnvironment]:
        is_latency = options["bench"] == "latency"
        with services(
            with_kafka=with_kafka,
            postgres_cores=host.server_cores() if is_latency else host.client_cores(),
            postgres_options=COMPOSE_OPTIONS,
            postgres_folder=options.get("keep"),
        ) as started:
            yield BenchEnvironment(
                folder=started.folder,
                env=started.env,
                services=started.descriptions,
                say=self.say,
                database=started.databases.named,
                to_change=started.databases.writable,
                runs=1 if options["quick"] else options["runs"],
                seed=options["seed"],
                is_quick=options["quick"],
            )

    def say(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()


def _needs_kafka(bench: str, options: dict[str, Any]) -> bool:
    return bench in ("latency", "ingest") or bool(set(options.get("only", ())) & set(cached_endpoints.GROUPS))


KEEP = "leaves the filled databases there, and finds them again"


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _among(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def several(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise ValueError(unknown)
        return names

    return several


def _add_fanout(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--clients", type=_numbers, default=[100, 1000], help="how many (100,1000)")
    add("--bytes", type=int, default=600, help="of a frame (%(default)s)")
    add("--only", type=_among(tuple(KINDS)), default=list(KINDS), help="hub,bare,stock")
    add("--modes", type=_among(MODE_NAMES), default=list(MODE_NAMES), help="single,burst,flood")
    add("--scale", type=float, default=1.0, help="makes the runs so many times longer, for a profiler")


def _fanout(ground: BenchEnvironment, options: dict[str, Any]) -> Report:
    clients = [20] if ground.is_quick else options["clients"]
    return asyncio.run(
        fanout(ground, Fanout(clients, options["bytes"], options["only"], options["modes"], options["scale"]))
    )


def _add_idle(parser: ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=2_000, help="how many (%(default)s)")


def _idle(ground: BenchEnvironment, options: dict[str, Any]) -> Report:
    return asyncio.run(idle(ground, 50 if ground.is_quick else options["connections"]))


def _add_churn(parser: ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=1_000, help="who come and leave (%(default)s)")


def _churn(ground: BenchEnvironment, options: dict[str, Any]) -> Report:
    return asyncio.run(churn(ground, 50 if ground.is_quick else options["clients"]))


def _add_slow(parser: ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=int, default=200, help="that are pushed (%(default)s)")


def _slow(ground: BenchEnvironment, options: dict[str, Any]) -> Report:
    return asyncio.run(slow(ground, 20 if ground.is_quick else options["megabytes"]))


def _add_latency(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--rate", type=float, default=1_000, help="events a second (%(default)g)")
    add("--clients", type=int, default=200, help="who all get them (%(default)s)")
    add("--seconds", type=float, default=20, help="of the steady part (%(default)g)")
    add("--burst", type=int, default=22_558, help="events offered within one second (%(default)s)")
    add("--share-cores", action="store_true", help="hold nobody to a core")


def _latency(ground: BenchEnvironment, options: dict[str, Any]) -> Report:
    asked = Latency(options["rate"], options["clients"], options["seconds"], options["burst"])
    return asyncio.run(latency(ground, Latency(200, 20, 1, 1_000) if ground.is_quick else asked))


def _add_ingest(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--rows", type=int, default=200_000, help="for a measurement (%(default)s)")
    add("--sizes", type=_numbers, default=[0, 10_000_000], help="rows that are there before (0,10000000)")
    add("--consumers", type=_numbers, default=[1, 2, 3], help="how many (1,2,3)")
    add("--inserts", type=int, default=3_000, help="of one at a time (%(default)s)")
    add("--burst", type=int, default=22_558, help="of the worst second (%(default)s)")
    add("--seconds", type=float, default=60, help="of the crash, at 2,000 a second (%(default)g)")
    add("--clients", type=int, default=200, help="who hear of the crash (%(default)s)")
    add("--only", type=_among(PARTS), default=list(PARTS), help=",".join(PARTS))
    add("--keep", type=Path, metavar="DIR", help=KEEP)
    # All of it is measured at work together.
    parser.set_defaults(share_cores=True)


def _ingest(ground: BenchEnvironment, options: dict[str, Any]) -> Report:
    asked = IngestOptions(
        options["rows"],
        options["sizes"],
        options["consumers"],
        options["inserts"],
        options["only"],
        options["burst"],
        Crash(2_000, options["seconds"], options["clients"]),
    )
    quick = IngestOptions(4_000, [5_000], [1, 2], 50, options["only"], 1_000, Crash(200, 1, 20))
    return ingest(ground, quick if ground.is_quick else asked)


REST = (*GROUPS, *cached_endpoints.GROUPS)


def _add_rest(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--sizes", type=_numbers, default=[10_000, 1_000_000, 10_000_000], help="rows (10000,1000000,10000000)")
    add("--requests", type=int, default=200, help="for a question, size and round (%(default)s)")
    add("--only", type=_among(REST), default=list(REST), help=",".join(REST))
    add("--keep", type=Path, metavar="DIR", help=KEEP)


def _rest(ground: BenchEnvironment, options: dict[str, Any]) -> Report:
    asked = Rest(options["sizes"], options["requests"], options["only"])
    return rest(ground, asked._replace(sizes=[10_000, 20_000], requests=2) if ground.is_quick else asked)


BENCHES: dict[str, tuple[str, Callable[[ArgumentParser], None], Bench]] = {
    "fanout": ("What an event costs the server for each client, beside a stock and a bare one.", _add_fanout, _fanout),
    "latency": (
        "The whole way, from Kafka's acknowledgement to the clients, steady and in a burst.",
        _add_latency,
        _latency,
    ),
    "idle": ("What a connection costs that is subscribed and hears nothing.", _add_idle, _idle),
    "churn": ("Many who come at once and leave at once, and what neighbours notice.", _add_churn, _churn),
    "ingest": ("Kafka to committed rows, beside plain COPY and one INSERT each.", _add_ingest, _ingest),
    "rest": ("What each endpoint answers in at each size, and the database's part of it.", _add_rest, _rest),
    "slow": ("One who never reads: the server's memory, and what others notice.", _add_slow, _slow),
}
