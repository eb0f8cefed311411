"""Services and options of a soak."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.process import Process


class SoakServices(NamedTuple):
    """Services that the soak started and can disturb; None for a given or absent service."""

    postgres: EmbeddedPostgres | None
    redis: Process | None
    kafka: Process | None
    mock_kafka: MockKafka | None


class SoakOptions(NamedTuple):
    """`rate` is in messages a second; `clients` counts persistent clients, `transient_clients` concurrent ones."""

    minutes: float
    rate: float
    clients: int
    transient_clients: int
    seed: int
    faults: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.minutes * 60


@dataclass(frozen=True, kw_only=True)
class SoakEnvironment:
    """`env` holds the settings of the processes, `descriptions` a text for each service in the report."""

    folder: Path
    env: Mapping[str, str]
    descriptions: Mapping[str, str]
    database_url: str
    services: SoakServices
    log: Callable[[str], None]
