"""`manage.py bench`: starts the services of a benchmark, runs it, and prints its report."""

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
    """Starts the services that the settings do not name, and removes them at the end.

    PostgreSQL gets the options of docker-compose.yml, those of production.
    """

    help = "Measures the server and compares it with reference servers, on this machine over the loopback interface."

    def add_arguments(self, parser: CommandParser) -> None:
        benches = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
        for name, (help_text, add, _) in BENCHES.items():
            subparser = benches.add_parser(name, help=help_text, description=help_text)
            add(subparser)
            subparser.add_argument(
                "--runs", type=int, default=3, help="number of runs; the median counts (%(default)s)"
            )
            subparser.add_argument("--seed", type=int, default=1, help="seed of the published events (%(default)s)")
            subparser.add_argument("--quick", action="store_true", help="a short run that checks the benchmark itself")
            subparser.add_argument("--json", action="store_true", help="print the report as one JSON object")

    def handle(self, *args: Any, bench: str, **options: Any) -> None:
        # SIGTERM raises KeyboardInterrupt, like Ctrl-C, so that every `finally` runs.
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
            raise CommandError("interrupted; all started processes were stopped") from None
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


KEEP_HELP = "store the filled databases there; later runs reuse them"


def _numbers(value: str) -> list[int]:
    return [int(number) for number in value.split(",")]


def _choices(accepted: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(value: str) -> list[str]:
        names = value.split(",")
        if unknown := set(names) - set(accepted):
            raise ValueError(unknown)
        return names

    return parse


def _add_fanout(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--clients", type=_numbers, default=[100, 1000], help="numbers of clients (100,1000)")
    add("--bytes", type=int, default=600, help="size of a frame (%(default)s)")
    add("--only", type=_choices(tuple(KINDS)), default=list(KINDS), help="hub,bare,stock")
    add("--modes", type=_choices(MODE_NAMES), default=list(MODE_NAMES), help="single,burst,flood")
    add("--scale", type=float, default=1.0, help="factor of the runs' length, for a profiler (%(default)g)")


def _fanout(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    clients = [20] if environment.is_quick else options["clients"]
    return asyncio.run(
        fanout(environment, Fanout(clients, options["bytes"], options["only"], options["modes"], options["scale"]))
    )


def _add_idle(parser: ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=2_000, help="number of connections (%(default)s)")


def _idle(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    return asyncio.run(idle(environment, 50 if environment.is_quick else options["connections"]))


def _add_churn(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--clients", type=int, default=1_000, help="number of clients that connect and disconnect (%(default)s)"
    )


def _churn(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    return asyncio.run(churn(environment, 50 if environment.is_quick else options["clients"]))


def _add_slow(parser: ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=int, default=200, help="amount of pushed data (%(default)s)")


def _slow(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    return asyncio.run(slow(environment, 20 if environment.is_quick else options["megabytes"]))


def _add_latency(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--rate", type=float, default=1_000, help="events per second (%(default)g)")
    add("--clients", type=int, default=200, help="number of clients, which all receive every event (%(default)s)")
    add("--seconds", type=float, default=20, help="length of the steady part (%(default)g)")
    add("--burst", type=int, default=22_558, help="events offered within one second (%(default)s)")
    add("--share-cores", action="store_true", help="do not pin processes to cores")


def _latency(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    requested = Latency(options["rate"], options["clients"], options["seconds"], options["burst"])
    return asyncio.run(latency(environment, Latency(200, 20, 1, 1_000) if environment.is_quick else requested))


def _add_ingest(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--rows", type=int, default=200_000, help="rows of each measurement (%(default)s)")
    add("--sizes", type=_numbers, default=[0, 10_000_000], help="rows in the table before (0,10000000)")
    add("--consumers", type=_numbers, default=[1, 2, 3], help="numbers of consumers (1,2,3)")
    add("--inserts", type=int, default=3_000, help="number of single-row INSERTs (%(default)s)")
    add("--burst", type=int, default=22_558, help="events of the worst second (%(default)s)")
    add("--seconds", type=float, default=60, help="length of the crash test, at 2,000 events per second (%(default)g)")
    add("--clients", type=int, default=200, help="number of clients during the crash test (%(default)s)")
    add("--only", type=_choices(PARTS), default=list(PARTS), help=",".join(PARTS))
    add("--keep", type=Path, metavar="DIR", help=KEEP_HELP)
    # All processes are measured while they work together.
    parser.set_defaults(share_cores=True)


def _ingest(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    requested = IngestOptions(
        options["rows"],
        options["sizes"],
        options["consumers"],
        options["inserts"],
        options["only"],
        options["burst"],
        Crash(2_000, options["seconds"], options["clients"]),
    )
    quick = IngestOptions(4_000, [5_000], [1, 2], 50, options["only"], 1_000, Crash(200, 1, 20))
    return ingest(environment, quick if environment.is_quick else requested)


REST_GROUPS = (*GROUPS, *cached_endpoints.GROUPS)


def _add_rest(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--sizes",
        type=_numbers,
        default=[10_000, 1_000_000, 10_000_000],
        help="rows in the table (10000,1000000,10000000)",
    )
    add("--requests", type=int, default=200, help="requests of each query, size and round (%(default)s)")
    add("--only", type=_choices(REST_GROUPS), default=list(REST_GROUPS), help=",".join(REST_GROUPS))
    add("--keep", type=Path, metavar="DIR", help=KEEP_HELP)


def _rest(environment: BenchEnvironment, options: dict[str, Any]) -> Report:
    requested = Rest(options["sizes"], options["requests"], options["only"])
    return rest(
        environment, requested._replace(sizes=[10_000, 20_000], requests=2) if environment.is_quick else requested
    )


BENCHES: dict[str, tuple[str, Callable[[ArgumentParser], None], Bench]] = {
    "fanout": (
        "CPU time of the server for each event and client, compared with a stock and a bare server.",
        _add_fanout,
        _fanout,
    ),
    "latency": (
        "Latency from Kafka's acknowledgement to the clients, at a steady rate and in a burst.",
        _add_latency,
        _latency,
    ),
    "idle": ("Memory and CPU time of a subscribed connection without events.", _add_idle, _idle),
    "churn": ("Many clients connect and disconnect at once; the effect on other clients.", _add_churn, _churn),
    "ingest": (
        "Throughput from Kafka to committed rows, compared with plain COPY and single INSERTs.",
        _add_ingest,
        _ingest,
    ),
    "rest": ("Response time of each endpoint at each table size, and the database's share of it.", _add_rest, _rest),
    "slow": ("A client that never reads: the server's memory, and the effect on other clients.", _add_slow, _slow),
}
