"""The environment of a benchmark: services, databases, a temporary folder, a log callback."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

from hyperwatch.bench.report import Report
from hyperwatch.harness import host


@dataclass(frozen=True, kw_only=True)
class BenchEnvironment:
    """`services` describes each service for the report; `env` are the settings for the processes.

    `database` creates or reuses a migrated database by name and returns its URL. `writable_database` returns one that
    may be changed: a copy of a persistent one.
    """

    folder: Path
    env: Mapping[str, str]
    services: Mapping[str, str]
    log: Callable[[str], None]
    database: Callable[[str], str]
    writable_database: Callable[[str], str]
    runs: int
    seed: int
    is_quick: bool

    def layer(self) -> RedisPubSubChannelLayer:
        """A channel layer with the settings of the processes."""
        redis = {"address": self.env["REDIS_URL"], "socket_timeout": None}
        return RedisPubSubChannelLayer(hosts=[redis], prefix=self.env["REDIS_PREFIX"])

    def report(self, bench: str, **parameters: Any) -> Report:
        return Report(
            bench=bench,
            parameters={**parameters, "runs": self.runs, "seed": self.seed},
            machine=host.facts(),
            services=dict(self.services),
        )
