"""Injected faults by name: target, description and procedure. Each procedure returns after the recovery."""

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
from hyperwatch.soak.processes import SESSION_TIMEOUT_SECONDS, SoakProcesses
from hyperwatch.soak.traffic import Traffic

POLL_INTERVAL_SECONDS = 0.2
# A killed broker recovers its log segments before it accepts connections.
BROKER_START_TIMEOUT_SECONDS = 180.0


class FaultContext:
    """Targets of a fault. `wait` restarts exited processes meanwhile; it returns early when the soak is stopped."""

    def __init__(
        self,
        services: SoakServices,
        processes: SoakProcesses,
        traffic: Traffic,
        rng: Random,
        wait_for_end: Callable[[float], bool],
    ) -> None:
        self.services = services
        self.processes = processes
        self.traffic = traffic
        self.rng = rng
        self._wait_for_end = wait_for_end

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0 and not self._wait_for_end(
            min(remaining, POLL_INTERVAL_SECONDS)
        ):
            self.processes.restart_exited()

    @contextmanager
    def frozen(self, process: Process) -> Iterator[None]:
        process.pause()
        try:
            yield
        finally:
            process.resume()


class Fault(NamedTuple):
    """`target` returns the affected service, None if it is given or absent; `inject` includes the recovery.

    `restarts_process`: ends a process under test, and with it the lifetime for the memory check. Such a fault is
    injected in the first half only.
    """

    description: str
    target: Callable[[SoakServices], Any]
    inject: Callable[[FaultContext, Any], None]
    restarts_process: bool = False


def _kill_consumer(context: FaultContext, _service: object) -> None:
    context.processes.kill(context.rng.choice(context.processes.consumers))


def _kill_web(context: FaultContext, _service: object) -> None:
    context.processes.kill(context.processes.web)


def _freeze_consumer(context: FaultContext, _service: object) -> None:
    with context.frozen(context.rng.choice(context.processes.consumers)):
        context.wait(SESSION_TIMEOUT_SECONDS + context.rng.uniform(1, 3))


def _freeze_web(context: FaultContext, _service: object) -> None:
    with context.frozen(context.processes.web):
        context.wait(context.rng.uniform(1, 3))


def _stop_postgres(context: FaultContext, postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    try:
        context.wait(context.rng.uniform(0.5, 3))
    finally:
        postgres.start()


def _crash_postgres(context: FaultContext, postgres: EmbeddedPostgres) -> None:
    postgres.crash()
    try:
        context.wait(context.rng.uniform(0, 2))
    finally:
        postgres.start()


def _kill_waiting_consumer(context: FaultContext, postgres: EmbeddedPostgres) -> None:
    """The consumer has read messages that are not stored; the next one must start at their offsets."""
    postgres.stop()
    try:
        context.wait(context.rng.uniform(2, 3))
        _kill_consumer(context, None)
    finally:
        postgres.start()


def _restart(context: FaultContext, server: Process) -> None:
    """Stops the server by SIGTERM or SIGKILL, with a pause before the restart."""
    context.rng.choice([server.stop, server.kill])()
    try:
        context.wait(context.rng.uniform(0, 2))
    finally:
        server.launch()
        server.wait_until_ready(BROKER_START_TIMEOUT_SECONDS)


def _freeze(context: FaultContext, server: Process) -> None:
    with context.frozen(server):
        context.wait(context.rng.uniform(2, 5))


def _disconnect_kafka(context: FaultContext, mock: MockKafka) -> None:
    mock.disconnect()
    try:
        context.wait(context.rng.uniform(1, 4))
    finally:
        mock.reconnect()


def _send_invalid(context: FaultContext, _service: object) -> None:
    context.traffic.inject_invalid()


def _send_duplicates(context: FaultContext, _service: object) -> None:
    context.traffic.inject_duplicates(context.rng)


def _always(_services: SoakServices) -> object:
    return True


FAULTS: dict[str, Fault] = {
    "consumer-killed": Fault("SIGKILL to a consumer", _always, _kill_consumer, restarts_process=True),
    "web-killed": Fault("SIGKILL to the web process", _always, _kill_web, restarts_process=True),
    "waiting-consumer-killed": Fault(
        "SIGKILL to a consumer that waits for PostgreSQL",
        attrgetter("postgres"),
        _kill_waiting_consumer,
        restarts_process=True,
    ),
    "consumer-frozen": Fault("SIGSTOP to a consumer, longer than its session timeout", _always, _freeze_consumer),
    "web-frozen": Fault("SIGSTOP to the web process", _always, _freeze_web),
    "postgres-stopped": Fault("PostgreSQL stops and starts", attrgetter("postgres"), _stop_postgres),
    "postgres-crashed": Fault("PostgreSQL crashes and recovers", attrgetter("postgres"), _crash_postgres),
    "redis-restarted": Fault("Redis stops and starts empty", attrgetter("redis"), _restart),
    "redis-frozen": Fault("SIGSTOP to Redis", attrgetter("redis"), _freeze),
    "kafka-restarted": Fault("Apache Kafka stops and starts", attrgetter("kafka"), _restart),
    "kafka-frozen": Fault("SIGSTOP to Apache Kafka", attrgetter("kafka"), _freeze),
    "kafka-disconnected": Fault("the embedded Kafka closes its port", attrgetter("mock_kafka"), _disconnect_kafka),
    "invalid-messages": Fault("one invalid message for each rejection reason", _always, _send_invalid),
    "duplicates": Fault("the last 500 messages again", _always, _send_duplicates),
}


INSTANT_FAULTS = ("invalid-messages", "duplicates")


def available_faults(services: SoakServices) -> list[str]:
    return [name for name, fault in FAULTS.items() if fault.target(services) is not None]


def inject(name: str, context: FaultContext) -> None:
    FAULTS[name].inject(context, FAULTS[name].target(context.services))


def fault_sequence(names: Sequence[str], rng: Random) -> Iterator[str]:
    """Endless rounds in random order; each starts with the faults for the first half and the instant ones."""
    while True:
        shuffled = rng.sample(list(names), len(names))
        yield from sorted(shuffled, key=lambda name: not (FAULTS[name].restarts_process or name in INSTANT_FAULTS))
