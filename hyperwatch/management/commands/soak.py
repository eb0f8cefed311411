"""`manage.py soak`: starts the services of a soak, runs it and prints the report."""

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
    """Exits with 1 and the failed checks after a loss, a duplicate, a wrong roll-up or a leak."""

    help = (
        "Runs a web process and two consumers under simulated traffic at a steady rate, with persistent and transient "
        "clients and injected faults. Then compares stored rows and delivered events with the sent messages, and "
        "resource use with its initial level. Starts the services that the settings do not name; only these are "
        "subject to faults. Ctrl-C stops the soak and prints the report so far."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--minutes", type=_positive, default=1.0, help="duration of the traffic (%(default)g)")
        add("--rate", type=_positive, default=200.0, help="messages a second (%(default)g)")
        add("--clients", type=whole_number(0, 1000), default=8, help="persistent clients (%(default)s)")
        add("--transient-clients", type=whole_number(0, 1000), default=12, help="concurrent ones (%(default)s)")
        add("--seed", type=int, default=1, help="seed of the traffic and of the faults (%(default)s)")
        add("--faults", type=_faults, help=f"comma-separated, or none: {', '.join(FAULTS)} (all available ones)")
        add("--json", action="store_true", help="print the report as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        # There is no report before the traffic: SIGTERM ends the start-up like Ctrl-C, through every `finally`.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # Injected faults cause lost connections; the client logs each as a warning.
        logging.getLogger("realtime.client").setLevel(logging.ERROR)
        host.raise_file_limit()
        host.share_cores()
        try:
            with self.environment(options) as (environment, soak_options):
                with stopped_by_signals() as stop:
                    report = soak(environment, soak_options, stop)
                logs = _copy_logs(environment) if report.reasons else None
        except (CannotStartError, KafkaUnavailable) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; all started processes are stopped") from None
        self.print_report(report, logs, as_json=options["json"])

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
            yield environment, _soak_options(own_services, options)

    def print_report(self, report: SoakReport, logs: Path | None, *, as_json: bool) -> None:
        if as_json:
            document = {**msgspec.to_builtins(report), "reasons": report.reasons}
            self.stdout.write(msgspec.json.encode(document).decode())
        else:
            show(report)
        if report.reasons:
            raise CommandError("\n".join(["the soak has failed:", *report.reasons, f"the logs are in {logs}"]))

    def log(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()


def _copy_logs(environment: SoakEnvironment) -> Path:
    target: Path = settings.DATA_DIR / environment.folder.name
    target.mkdir(parents=True, exist_ok=True)
    for log in environment.folder.glob("*.log"):
        shutil.copy(log, target)
    return target


def _own_services(started: Services) -> SoakServices:
    own = [service for service in (started.redis, started.kafka) if not isinstance(service, GivenProcess)]
    return SoakServices(
        postgres=started.postgres.embedded,
        redis=next((service for service in own if isinstance(service, RedisServer)), None),
        kafka=next((service for service in own if isinstance(service, KafkaBroker)), None),
        mock_kafka=next((service for service in own if isinstance(service, MockKafka)), None),
    )


def _soak_options(own_services: SoakServices, options: dict[str, Any]) -> SoakOptions:
    available = available_faults(own_services)
    faults = available if options["faults"] is None else options["faults"]
    if unavailable := [name for name in faults if name not in available]:
        raise CommandError(
            f"faults without a service that the soak started: {', '.join(unavailable)}. "
            f"Available: {', '.join(available)}"
        )
    names = ("minutes", "rate", "clients", "transient_clients", "seed")
    return SoakOptions(**{name: options[name] for name in names}, faults=tuple(faults))


def _positive(text: str) -> float:
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
        raise ArgumentTypeError(f"unknown faults {', '.join(unknown)[:100]}; known: {', '.join(FAULTS)}, or none")
    return names
