"""What a soak breaks: each fault by its name, where it can be done, and how. All are mended when they return."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from random import Random
from typing import Any, NamedTuple

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.process import Process
from hyperwatch.soak.environment import SoakServices
from hyperwatch.soak.processes import SESSION_SECONDS, Children
from hyperwatch.soak.traffic import Traffic

TICK = 0.2
# A broker that was killed looks through its logs first.
START_SECONDS = 180.0


class FaultScene:
    """What a fault is done to. `wait` keeps an eye on our processes; it ends early where the soak is ended."""

    def __init__(
        self,
        parts: SoakServices,
        children: Children,
        source: Traffic,
        rng: Random,
        wait_for_end: Callable[[float], bool],
    ) -> None:
        self.parts = parts
        self.children = children
        self.source = source
        self.rng = rng
        self._wait_for_end = wait_for_end

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._wait_for_end(min(left, TICK)):
            self.children.look_after()

    @contextmanager
    def frozen(self, process: Process) -> Iterator[None]:
        process.pause()
        try:
            yield
        finally:
            process.resume()


class Fault(NamedTuple):
    """`part` is what it is done to, None where that is not ours to break; `do` mends it, too.

    `ends_ours`: it ends a process whose memory is watched, so that it is done in the first half only.
    """

    what: str
    part: Callable[[SoakServices], Any]
    do: Callable[[FaultScene, Any], None]
    ends_ours: bool = False


def _kill_consumer(scene: FaultScene, _ours: object) -> None:
    scene.children.kill(scene.rng.choice(scene.children.consumers))


def _kill_web(scene: FaultScene, _ours: object) -> None:
    scene.children.kill(scene.children.web)


def _freeze_consumer(scene: FaultScene, _ours: object) -> None:
    with scene.frozen(scene.rng.choice(scene.children.consumers)):
        scene.wait(SESSION_SECONDS + scene.rng.uniform(1, 3))


def _freeze_web(scene: FaultScene, _ours: object) -> None:
    with scene.frozen(scene.children.web):
        scene.wait(scene.rng.uniform(1, 3))


def _stop_postgres(scene: FaultScene, postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    try:
        scene.wait(scene.rng.uniform(0.5, 3))
    finally:
        postgres.start()


def _crash_postgres(scene: FaultScene, postgres: EmbeddedPostgres) -> None:
    postgres.crash()
    try:
        scene.wait(scene.rng.uniform(0, 2))
    finally:
        postgres.start()


def _kill_waiting_consumer(scene: FaultScene, postgres: EmbeddedPostgres) -> None:
    """It has read what it could not store: whoever reads on has to begin there."""
    postgres.stop()
    try:
        scene.wait(scene.rng.uniform(2, 3))
        _kill_consumer(scene, None)
    finally:
        postgres.start()


def _restart(scene: FaultScene, server: Process) -> None:
    """In order or killed, with a pause in which nobody listens."""
    scene.rng.choice([server.stop, server.kill])()
    try:
        scene.wait(scene.rng.uniform(0, 2))
    finally:
        server.launch()
        server.wait_until_ready(START_SECONDS)


def _freeze(scene: FaultScene, server: Process) -> None:
    with scene.frozen(server):
        scene.wait(scene.rng.uniform(2, 5))


def _part_from_kafka(scene: FaultScene, mock: MockKafka) -> None:
    mock.disconnect()
    try:
        scene.wait(scene.rng.uniform(1, 4))
    finally:
        mock.reconnect()


def _poison(scene: FaultScene, _ours: object) -> None:
    scene.source.send_poison()


def _repeat(scene: FaultScene, _ours: object) -> None:
    scene.source.send_again(scene.rng)


def _ours(_parts: SoakServices) -> object:
    return True


FAULTS: dict[str, Fault] = {
    "consumer-killed": Fault("SIGKILL to a consumer", _ours, _kill_consumer, ends_ours=True),
    "web-killed": Fault("SIGKILL to the web process", _ours, _kill_web, ends_ours=True),
    "waiting-consumer-killed": Fault(
        "SIGKILL to a consumer that waits for PostgreSQL",
        attrgetter("postgres"),
        _kill_waiting_consumer,
        ends_ours=True,
    ),
    "consumer-frozen": Fault("SIGSTOP to a consumer, past its session", _ours, _freeze_consumer),
    "web-frozen": Fault("SIGSTOP to the web process", _ours, _freeze_web),
    "postgres-stopped": Fault("PostgreSQL is shut down and started", attrgetter("postgres"), _stop_postgres),
    "postgres-crashed": Fault("PostgreSQL ends at once and recovers", attrgetter("postgres"), _crash_postgres),
    "redis-restarted": Fault("Redis ends and starts empty", attrgetter("redis"), _restart),
    "redis-frozen": Fault("SIGSTOP to Redis", attrgetter("redis"), _freeze),
    "kafka-restarted": Fault("Apache Kafka ends and starts again", attrgetter("kafka"), _restart),
    "kafka-frozen": Fault("SIGSTOP to Apache Kafka", attrgetter("kafka"), _freeze),
    "kafka-away": Fault("the embedded Kafka closes its port", attrgetter("mock"), _part_from_kafka),
    "poison": Fault("a message for each reason to refuse one", _ours, _poison),
    "repeat": Fault("the last 500 messages once more", _ours, _repeat),
}


AT_ONCE = ("poison", "repeat")


def possible(parts: SoakServices) -> list[str]:
    return [name for name, fault in FAULTS.items() if fault.part(parts) is not None]


def do(name: str, scene: FaultScene) -> None:
    FAULTS[name].do(scene, FAULTS[name].part(scene.parts))


def turns(names: Sequence[str], rng: Random) -> Iterator[str]:
    """Endless rounds in a drawn order, begun by those that may come early only and those that take no time."""
    while True:
        drawn = rng.sample(list(names), len(names))
        yield from sorted(drawn, key=lambda name: not (FAULTS[name].ends_ours or name in AT_ONCE))
