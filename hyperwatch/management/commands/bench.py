"""`manage.py bench`: starts the services of a benchmark, runs it, and prints its report."""

import asyncio
import os
import signal
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hyperwatch.bench import CannotMeasureError, cached_endpoints
from hyperwatch.bench.data.queries import GROUPS
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.fanout import MODE_NAMES, FanoutOptions, fanout
from hyperwatch.bench.idle import idle
from hyperwatch.bench.ingest import PARTS, IngestOptions, ingest
from hyperwatch.bench.latency import LatencyOptions, latency
from hyperwatch.bench.processes.server_variants import SERVER_TYPES
from hyperwatch.bench.report import Report, show
from hyperwatch.bench.rest import RestOptions, rest
from hyperwatch.embedded import CannotStartError
from hyperwatch.harness import host
from hyperwatch.harness.postgres import COMPOSE_OPTIONS
from hyperwatch.harness.services import services
from realtime.kafka.admin import KafkaUnavailable

Bench = Callable[[BenchEnvironment, dict[str, Any]], Report]


class Command(BaseCommand):
    """Starts services that the settings do not name, and removes them at the end.

    PostgreSQL gets the production options of docker-compose.yml.
    """

    help = "Benchmarks the server beside references, on this machine, over the loopback interface."

    def add_arguments(self, parser: CommandParser) -> None:
        benches = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
        for name, (text, add_options, _) in BENCHES.items():
            subparser = benches.add_parser(name, help=text, description=text)
            add_options(subparser)
            option = subparser.add_argument
            option("--runs", type=int, default=3, help="rounds; a figure is their median (%(default)s)")
            option("--seed", type=int, default=1, help="seed of the generated data (%(default)s)")
            option("--quick", action="store_true", help="one small, short round: a smoke test")
            option("--json", action="store_true", help="print the report as one JSON object")

    def handle(self, *args: Any, bench: str, **options: Any) -> None:
        # SIGTERM raises KeyboardInterrupt like SIGINT, so every `finally` runs.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        host.raise_file_limit()
        if options.get("share_cores"):
            host.share_cores()
        os.sched_setaffinity(0, host.client_cores())
        _, _, run = BENCHES[bench]
        try:
            with self.environment({**options, "bench": bench}, with_kafka=_needs_kafka(bench, options)) as environment:
                report = run(environment, options)
        except (CannotStartError, CannotMeasureError, KafkaUnavailable) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; all started processes are stopped") from None
        if options["json"]:
            self.stdout.write(msgspec.json.encode(report).decode())
        else:
            show(report)

    @contextmanager
    def environment(self, options: dict[str, Any], *, with_kafka: bool) -> Iterator[BenchEnvironment]:
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
                log=self.log,
                database=started.databases.named,
                writable_database=started.databases.writable,
                runs=1 if options["quick"] else options["runs"],
                seed=options["seed"],
                is_quick=options["quick"],
            )

    def log(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()


def _needs_kafka(bench: str, options: dict[str, Any]) -> bool:
    return bench in ("latency", "ingest") or bool(set(options.get("only", ())) & set(cached_endpoints.GROUPS))


KEEP_HELP = "store filled databases there and reuse them in later runs"


def _integers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _names_of(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        selected = text.split(",")
        if unknown := set(selected) - set(choices):
            raise ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; accepted: {', '.join(choices)}")
        return selected

    return names


def _add_fanout(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--clients", type=_integers, default=[100, 1000], help="numbers of clients (100,1000)")
    add("--bytes", type=int, default=600, help="size of a frame (%(default)s)")
    add("--only", type=_names_of(tuple(SERVER_TYPES)), default=list(SERVER_TYPES), help="hub,bare,stock")
    add("--modes", type=_names_of(MODE_NAMES), default=list(MODE_NAMES), help="single,burst,flood,wallets")
    add("--wallets", type=int, default=10_000, help="clients with one wallet each, in mode wallets (%(default)s)")
    add("--scale", type=float, default=1.0, help="factor on the length of the runs, for a profiler")


def _fanout(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    clients, wallets = ([20], 20) if environment.is_quick else (options["clients"], options["wallets"])
    selected = FanoutOptions(clients, options["bytes"], options["only"], options["modes"], options["scale"], wallets)
    return asyncio.run(fanout(environment, selected))


def _add_idle(parser: ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=2_000, help="number of idle connections (%(default)s)")


def _idle(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    return asyncio.run(idle(environment, 50 if environment.is_quick else options["connections"]))


def _add_latency(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--rate", type=float, default=1_000, help="events a second (%(default)g)")
    add("--clients", type=int, default=200, help="subscribed clients (%(default)s)")
    add("--seconds", type=float, default=20, help="length of the steady part (%(default)g)")
    add("--burst", type=int, default=22_558, help="events sent within one second (%(default)s)")
    add("--share-cores", action="store_true", help="no CPU affinity: all processes use all cores")


def _latency(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    latency_options = LatencyOptions(options["rate"], options["clients"], options["seconds"], options["burst"])
    quick = LatencyOptions(200, 20, 1, 1_000)
    return asyncio.run(latency(environment, quick if environment.is_quick else latency_options))


def _add_ingest(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--rows", type=int, default=200_000, help="rows of a measurement (%(default)s)")
    add("--sizes", type=_integers, default=[0, 10_000_000], help="rows in the table before (0,10000000)")
    add("--consumers", type=_integers, default=[1, 2, 3], help="numbers of consumers (1,2,3)")
    add("--inserts", type=int, default=3_000, help="rows of the INSERT reference (%(default)s)")
    add("--only", type=_names_of(PARTS), default=list(PARTS), help=",".join(PARTS))
    add("--keep", type=Path, metavar="DIR", help=KEEP_HELP)
    # Ingest is measured with all processes on shared cores, as in production.
    parser.set_defaults(share_cores=True)


def _ingest(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    ingest_options = IngestOptions(
        options["rows"], options["sizes"], options["consumers"], options["inserts"], options["only"]
    )
    quick = IngestOptions(4_000, [5_000], [1, 2], 50, options["only"])
    return ingest(environment, quick if environment.is_quick else ingest_options)


REST_GROUPS = (*GROUPS, *cached_endpoints.GROUPS)


def _add_rest(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--sizes",
        type=_integers,
        default=[10_000, 1_000_000, 10_000_000],
        help="rows in the database (10000,1000000,10000000)",
    )
    add("--requests", type=int, default=200, help="requests of a query, size and round (%(default)s)")
    add("--only", type=_names_of(REST_GROUPS), default=list(REST_GROUPS), help=",".join(REST_GROUPS))
    add("--keep", type=Path, metavar="DIR", help=KEEP_HELP)


def _rest(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    rest_options = RestOptions(options["sizes"], options["requests"], options["only"])
    quick = rest_options._replace(sizes=[10_000, 20_000], requests=2)
    return rest(environment, quick if environment.is_quick else rest_options)


BENCHES: dict[str, tuple[str, Callable[[ArgumentParser], None], Bench]] = {
    "fanout": (
        "Server CPU per event and client, beside a Channels consumer (stock) and an asyncio server (bare).",
        _add_fanout,
        _fanout,
    ),
    "latency": (
        "End-to-end latency from Kafka's acknowledgement to the clients, steady and in a burst.",
        _add_latency,
        _latency,
    ),
    "idle": ("Memory of a subscribed connection without events.", _add_idle, _idle),
    "ingest": ("Kafka to committed rows, beside plain COPY and single INSERTs.", _add_ingest, _ingest),
    "rest": ("Response time of each endpoint at each database size, and its SQL part.", _add_rest, _rest),
}
