"""What a benchmark stands on: the services that its processes use, a folder of its own, someone to talk to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

from hyperwatch.bench.report import Report
from hyperwatch.harness import host


@dataclass(frozen=True, kw_only=True)
class BenchEnvironment:
    """`services` says for the reader what each of them is; `env` makes a process of ours use them.

    `database` makes a further migrated database of a name, or finds it where such are kept, and returns its URL;
    `to_change` gives the same one where it is not kept, else a copy.
    """

    folder: Path
    env: Mapping[str, str]
    services: Mapping[str, str]
    say: Callable[[str], None]
    database: Callable[[str], str]
    to_change: Callable[[str], str]
    runs: int
    seed: int
    is_quick: bool

    def layer(self) -> RedisPubSubChannelLayer:
        """The channel layer of the processes, as their settings make it."""
        host = {"address": self.env["REDIS_URL"], "socket_timeout": None}
        return RedisPubSubChannelLayer(hosts=[host], prefix=self.env["REDIS_PREFIX"])

    def report(self, bench: str, **parameters: Any) -> Report:
        return Report(
            bench=bench,
            parameters={**parameters, "runs": self.runs, "seed": self.seed},
            machine=host.facts(),
            services=dict(self.services),
        )
