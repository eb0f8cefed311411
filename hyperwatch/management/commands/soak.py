"""`manage.py soak`: brings up what a soak stands on, runs it, and says what it found."""

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
from hyperwatch.soak.faults import FAULTS, possible
from hyperwatch.soak.report import SoakReport, show
from hyperwatch.soak.run import soak
from realtime.kafka.admin import KafkaUnavailable
from realtime.kafka.bulk_producer import stopped_by_signals


class Command(BaseCommand):
    """Exits with 1 and the reasons where something was lost, repeated, miscounted or leaked."""

    help = (
        "Runs a web process and two consumers under a simulated market at a steady rate, with clients that stay, "
        "clients that come and go, and a fault now and then; then compares what was stored and told with what was "
        "sent, exactly, and what the processes hold with what they held. Brings along the services that the settings "
        "do not name; only those can be broken. Ctrl-C ends it with the verdict so far."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--minutes", type=_above_zero, default=1.0, help="how long the market goes on (%(default)g)")
        add("--rate", type=_above_zero, default=200.0, help="messages a second (%(default)g)")
        add("--clients", type=whole_number(0, 1000), default=8, help="who stay throughout (%(default)s)")
        add("--visitors", type=whole_number(0, 1000), default=12, help="who come and go, so many at once (%(default)s)")
        add("--seed", type=int, default=1, help="of the market and of the faults (%(default)s)")
        add("--faults", type=_faults, help=f"of {', '.join(FAULTS)}; none for none (all that can be done here)")
        add("--json", action="store_true", help="everything as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        # Before the market begins there is no verdict: both take the way of Ctrl-C, through every `finally`.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # That connections are lost is what we do to them.
        logging.getLogger("realtime.client").setLevel(logging.ERROR)
        host.raise_file_limit()
        host.share_cores()
        try:
            with self.ground(options) as (ground, asked):
                with stopped_by_signals() as stop:
                    verdict = soak(ground, asked, stop)
                kept = _keep_logs(ground) if verdict.reasons else None
        except (CannotStartError, KafkaUnavailable) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; all started processes are stopped") from None
        self.tell(verdict, kept, as_json=options["json"])

    @contextmanager
    def ground(self, options: dict[str, Any]) -> Iterator[tuple[SoakEnvironment, SoakOptions]]:
        with services(with_kafka=True, postgres_cores=host.server_cores()) as started:
            parts = _parts(started)
            ground = SoakEnvironment(
                folder=started.folder,
                env=started.env,
                services=started.descriptions,
                database_url=started.env["DATABASE_URL"],
                parts=parts,
                say=self.say,
            )
            yield ground, _asked(parts, options)

    def tell(self, verdict: SoakReport, kept: Path | None, *, as_json: bool) -> None:
        if as_json:
            told = {**msgspec.to_builtins(verdict), "reasons": verdict.reasons}
            self.stdout.write(msgspec.json.encode(told).decode())
        else:
            show(verdict)
        if verdict.reasons:
            raise CommandError("\n".join(["the soak has failed:", *verdict.reasons, f"the logs are kept in {kept}"]))

    def say(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()


def _keep_logs(ground: SoakEnvironment) -> Path:
    kept: Path = settings.DATA_DIR / ground.folder.name
    kept.mkdir(parents=True, exist_ok=True)
    for log in ground.folder.glob("*.log"):
        shutil.copy(log, kept)
    return kept


def _parts(started: Services) -> SoakServices:
    own = [part for part in (started.redis, started.kafka) if not isinstance(part, GivenProcess)]
    return SoakServices(
        postgres=started.postgres.embedded,
        redis=next((part for part in own if isinstance(part, RedisServer)), None),
        kafka=next((part for part in own if isinstance(part, KafkaBroker)), None),
        mock=next((part for part in own if isinstance(part, MockKafka)), None),
    )


def _asked(parts: SoakServices, options: dict[str, Any]) -> SoakOptions:
    known = possible(parts)
    faults = known if options["faults"] is None else options["faults"]
    if impossible := [name for name in faults if name not in known]:
        raise CommandError(f"here {', '.join(impossible)} cannot be done; what can: {', '.join(known)}")
    names = ("minutes", "rate", "clients", "visitors", "seed")
    return SoakOptions(**{name: options[name] for name in names}, faults=tuple(faults))


def _above_zero(text: str) -> float:
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
        raise ArgumentTypeError(f"knows no {', '.join(unknown)[:100]}; takes {', '.join(FAULTS)}, or none")
    return names
