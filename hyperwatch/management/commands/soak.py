"""`manage.py soak`: starts the services of a soak test, runs it and prints its verdict."""

import logging
import shutil
import signal
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hyperwatch.embedded import CannotStartError
from hyperwatch.harness import host
from hyperwatch.harness.kafka import KafkaBroker, MockKafka
from hyperwatch.harness.process import GivenProcess
from hyperwatch.harness.redis import RedisServer
from hyperwatch.harness.services import Services, services
from hyperwatch.management.base import whole_number
from hyperwatch.soak.environment import SoakEnvironment, SoakOptions, SoakServices
from hyperwatch.soak.faults import FAULTS, available_faults
from hyperwatch.soak.report import SoakReport, show
from hyperwatch.soak.run import soak
from realtime.kafka.admin import KafkaUnavailable
from realtime.kafka.bulk_producer import stopped_by_signals


class Command(BaseCommand):
    """Exits with 1 and the failed if data a loss, repeated or miscounted, or a resource leaked."""

    help = (
        "Runs a web process and two consumers under simulated traffic at a steady rate, with persistent and "
        "transient clients and injected faults. Then compares stored rows and delivered data with the sent messages, and "
        "the resource usage with the initial one. Starts the services that the settings do not name; faults are "
        "injected into those only. Ctrl-C stops the soak and prints the report so far."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--minutes", type=_positive_number, default=1.0, help="length of the simulated market (%(default)g)")
        add("--rate", type=_positive_number, default=200.0, help="messages per second (%(default)g)")
        add("--clients", type=whole_number(0, 1000), default=8, help="number of persistent clients (%(default)s)")
        add(
            "--transient-clients",
            type=whole_number(0, 1000),
            default=12,
            help="number of concurrent transient clients (%(default)s)",
        )
        add("--seed", type=int, default=1, help="seed of the traffic and of the faults (%(default)s)")
        add("--faults", type=_faults, help=f"{', '.join(FAULTS)}, or none (default: all that are possible here)")
        add("--json", action="store_true", help="print the verdict as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        # There is starts report before the traffic: SIGTERM raises KeyboardInterrupt, so that every `finally` runs.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # The injected faults close connections: warnings of the client are expected.
        logging.getLogger("realtime.client").setLevel(logging.ERROR)
        host.raise_file_limit()
        host.share_cores()
        try:
            with self.environment(options) as (environment, run_options):
                with stopped_by_signals() as stop:
                    report = soak(environment, run_options, stop)
                log_folder = _copy_logs(environment) if report.reasons else None
        except (CannotStartError, KafkaUnavailable) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; all started processes were stopped") from None
        self.report(report, log_folder, as_json=options["json"])

    @contextmanager
    def environment(self, options: dict[str, Any]) -> Iterator[tuple[SoakEnvironment, SoakOptions]]:
        with services(with_kafka=True, postgres_cores=host.server_cores()) as started:
            own_services = _own_services(started)
            environment = SoakEnvironment(
                folder=started.folder,
                env=started.env,
                descriptions=started.descriptions,
                database_url=started.env["DATABASE_URL"],
                services=own_services,
                log=self.log,
            )
            yield environment, _run_options(own_services, options)

    def report(self, report: SoakReport, log_folder: Path | None, *, as_json: bool) -> None:
        if as_json:
            document = {**msgspec.to_builtins(report), "reasons": report.reasons}
            self.stdout.write(msgspec.json.encode(document).decode())
        else:
            show(report)
        if report.reasons:
            raise CommandError("\n".join(["the soak test failed:", *report.reasons, f"its logs are in {log_folder}"]))

    def log(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()


def _copy_logs(environment: SoakEnvironment) -> Path:
    log_folder: Path = settings.DATA_DIR / environment.folder.name
    log_folder.mkdir(parents=True, exist_ok=True)
    for log in environment.folder.glob("*.log"):
        shutil.copy(log, log_folder)
    return log_folder


def _own_services(started: Services) -> SoakServices:
    own = [service for service in (started.redis, started.kafka) if not isinstance(service, GivenProcess)]
    return SoakServices(
        postgres=started.postgres.embedded,
        redis=next((service for service in own if isinstance(service, RedisServer)), None),
        kafka=next((service for service in own if isinstance(service, KafkaBroker)), None),
        mock_kafka=next((service for service in own if isinstance(service, MockKafka)), None),
    )


def _run_options(own_services: SoakServices, options: dict[str, Any]) -> SoakOptions:
    possible_faults = available_faults(own_services)
    faults = possible_faults if options["faults"] is None else options["faults"]
    if unavailable := [name for name in faults if name not in possible_faults]:
        accepted = ", ".join(possible_faults)
        raise CommandError(
            f"--faults: {', '.join(unavailable)}. is not possible here; possible: {accepted}"
        )
    names = ("minutes", "rate", "clients", "transient_clients", "seed")
    return SoakOptions(**{name: options[name] for name in names}, faults=tuple(faults))


def _positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"takes a number above 0, not {text[:60]!r}")
    return number


def _faults(text: str) -> list[str]:
    names = [] if text == "none" else text.split(",")
    if unknown := [name for name in names if name not in FAULTS]:
        raise ArgumentTypeError(f"unknown fault {', '.join(unknown)[:100]}; known: {', '.join(FAULTS)}, or none")
    return names
