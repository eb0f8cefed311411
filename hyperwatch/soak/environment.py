"""What a soak stands on: services that it may break, and what it was asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.process import Process


class SoakServices(NamedTuple):
    """Services that the soak started and may break; None stands for a given or absent one."""

    postgres: EmbeddedPostgres | None
    redis: Process | None
    kafka: Process | None
    mock: MockKafka | None


class SoakOptions(NamedTuple):
    """`rate` is messages a second; `clients` stay throughout, `visitors` come and go, so many at a time."""

    minutes: float
    rate: float
    clients: int
    visitors: int
    seed: int
    faults: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.minutes * 60


@dataclass(frozen=True, kw_only=True)
class SoakEnvironment:
    """`env` makes a process of ours use the services, `services` says for the reader what each of them is."""

    folder: Path
    env: Mapping[str, str]
    services: Mapping[str, str]
    database_url: str
    parts: SoakServices
    say: Callable[[str], None]
