"""Runs a soak from start to report: the main thread injects faults, other threads run traffic, clients and samples."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from threading import Event

from hyperwatch.harness import host
from hyperwatch.soak import checks
from hyperwatch.soak.client_pool import ClientPool
from hyperwatch.soak.database_state import DatabaseState
from hyperwatch.soak.environment import SoakEnvironment, SoakOptions
from hyperwatch.soak.faults import FAULTS, FaultContext, fault_sequence, inject
from hyperwatch.soak.leak_check import memory_series
from hyperwatch.soak.processes import SoakProcesses
from hyperwatch.soak.report import Check, InjectedFault, SoakReport
from hyperwatch.soak.resource_sampler import ResourceSampler
from hyperwatch.soak.traffic import Traffic

PROGRESS_INTERVAL_SECONDS = 10.0
MIN_FAULT_INTERVAL_SECONDS, MAX_FAULT_INTERVAL_SECONDS = 2.0, 60.0
# Without progress for this time the processing counts as stalled.
STALL_TIMEOUT_SECONDS = 45.0
IDLE_SECONDS = 4.0


class Soak:
    """Setting `stop` ends the soak early, with a report so far."""

    def __init__(self, environment: SoakEnvironment, options: SoakOptions, stop: Event) -> None:
        self._environment = environment
        self._options = options
        self._stop = stop
        self._rng = Random(options.seed)  # noqa: S311 (no secret)
        self._database = DatabaseState(environment.database_url)
        self._processes = SoakProcesses(environment)
        self._traffic = Traffic(options)
        self._clients = ClientPool(self._processes.web, options)
        self._sampler = ResourceSampler(
            self._processes.web, self._processes.consumers, environment.database_url, options.clients
        )
        self._context = FaultContext(environment.services, self._processes, self._traffic, self._rng, stop.wait)
        self._injected: list[InjectedFault] = []
        self._last_progress_at = 0.0

    def run(self) -> SoakReport:
        self._database.prepare(self._traffic.whales)
        with self._processes.running():
            self._environment.log("all processes are ready; starting the traffic")
            with self._under_load():
                self._inject_faults()
                self._settle()
            return self._report()

    @contextmanager
    def _under_load(self) -> Iterator[None]:
        self._clients.start()
        self._traffic.start()
        self._sampler.start()
        try:
            yield
        finally:
            self._traffic.stop()
            self._sampler.stop()
            self._clients.stop()

    # Fault injection

    def _inject_faults(self) -> None:
        """Injects one fault after each interval until the traffic ends."""
        names = fault_sequence(self._options.faults, self._rng) if self._options.faults else iter(())
        interval = self._fault_interval() / 2
        while self._wait_under_load(interval):
            name = self._next_fault(names)
            if name is not None:
                self._inject(name)
            interval = self._fault_interval() * self._rng.uniform(0.5, 1.5)

    def _fault_interval(self) -> float:
        interval = self._options.seconds / (2 * len(self._options.faults) or 1)
        return min(MAX_FAULT_INTERVAL_SECONDS, max(MIN_FAULT_INTERVAL_SECONDS, interval))

    def _wait_under_load(self, seconds: float) -> bool:
        """Waits and restarts exited processes meanwhile; False once the traffic has ended."""
        deadline = time.monotonic() + seconds
        while self._traffic.is_sending and not self._stop.is_set() and time.monotonic() < deadline:
            self._context.wait(0.2)
            self._log_progress()
        return self._traffic.is_sending and not self._stop.is_set()

    def _next_fault(self, names: Iterator[str]) -> str | None:
        """The next permitted fault; in the second half no process under test is restarted."""
        is_second_half = self._elapsed > self._options.seconds / 2
        for _ in FAULTS:
            name = next(names, None)
            if name is None or not (is_second_half and FAULTS[name].restarts_process):
                return name
        return None

    def _inject(self, name: str) -> None:
        at, started_at = self._elapsed, time.monotonic()
        inject(name, self._context)
        self._injected.append(InjectedFault(round(at, 1), name, round(time.monotonic() - started_at, 1)))
        self._environment.log(f"{_clock(at)}: {name}, recovered after {self._injected[-1].seconds:.1f} s")

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._traffic.started_at

    def _log_progress(self) -> None:
        if time.monotonic() - self._last_progress_at < PROGRESS_INTERVAL_SECONDS:
            return
        self._last_progress_at = time.monotonic()
        received = min((sum(client.last_seqs.values()) for client in self._clients.persistent), default=0)
        self._environment.log(
            f"{_clock(self._elapsed)} of {_clock(self._options.seconds)}: {self._traffic.sent:,} sent, "
            f"{self._traffic.acknowledged:,} acknowledged, {received:,} received by the slowest persistent client, "
            f"{self._clients.transient.connected} transient clients"
        )

    # End of the soak

    def _settle(self) -> None:
        """Waits until all messages are stored and delivered or progress stalls; then samples an idle period."""
        self._traffic.stop()
        self._clients.disconnect_transient()
        self._environment.log("the traffic has ended; waiting for messages in flight")
        progress_at, previous = time.monotonic(), None
        while time.monotonic() - progress_at < STALL_TIMEOUT_SECONDS and not self._is_settled():
            self._processes.restart_exited()
            if (progress := self._progress()) != previous:
                progress_at, previous = time.monotonic(), progress
            time.sleep(0.5)
        time.sleep(IDLE_SECONDS)

    def _is_settled(self) -> bool:
        if self._traffic.is_sending or self._database.counts() != self._traffic.oracle.counts:
            return False
        if self._database.dead_letters() != self._traffic.rejected:
            return False
        heads = self._database.heads()
        return all(
            seq == heads[channel] for client in self._clients.persistent for channel, seq in client.last_seqs.items()
        )

    def _progress(self) -> object:
        received = [tuple(client.last_seqs.values()) for client in self._clients.persistent]
        return self._traffic.acknowledged, self._database.counts(), received

    def _report(self) -> SoakReport:
        traffic = self._traffic
        return SoakReport(
            parameters=self._options._asdict(),
            machine=host.facts(),
            services=dict(self._environment.descriptions),
            seconds=round(traffic.ended_at - traffic.started_at, 1),
            is_whole=not self._stop.is_set(),
            figures=self._figures(),
            memory={
                process.name: memory_series(self._sampler.last_lifetime(process)) for process in self._processes.all
            },
            faults=self._injected,
            checks=list(self._checks()),
        )

    def _figures(self) -> dict[str, object]:
        traffic, clients = self._traffic, self._clients
        return {
            "messages sent": traffic.sent,
            "messages a second": round(traffic.sent / max(0.1, traffic.ended_at - traffic.started_at), 1),
            "facts received by persistent clients": sum(client.facts for client in clients.persistent),
            "transient sessions": clients.transient.outcomes.total(),
            "requests": clients.transient.statuses.total(),
            "faults": len(self._injected),
        }

    def _checks(self) -> Iterator[Check]:
        self._database.wait_until_available()
        yield from checks.traffic_checks(self._traffic)
        yield from checks.storage_checks(self._database, self._traffic)
        yield from checks.delivery_checks(self._database, self._clients)
        yield from checks.process_checks(self._processes)
        yield from checks.resource_checks(self._sampler, self._processes)


def soak(environment: SoakEnvironment, options: SoakOptions, stop: Event) -> SoakReport:
    return Soak(environment, options, stop).run()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
