"""Checks of a soak: compares messages, rows, client views and samples. Each check is a guarantee of the project."""

from collections.abc import Iterator, Mapping

from hyperwatch.soak.client_pool import ClientPool
from hyperwatch.soak.database_state import DatabaseState
from hyperwatch.soak.leak_check import (
    MAX_GROWTH_RATIO,
    MIN_MEASURED_SECONDS,
    WARM_UP_SECONDS,
    idle_medians,
    memory_growth,
)
from hyperwatch.soak.persistent_clients import PersistentClient
from hyperwatch.soak.processes import CONSUMERS, HTTP_WORKER_THREADS, SoakProcess, SoakProcesses
from hyperwatch.soak.report import Check
from hyperwatch.soak.resource_sampler import ResourceSampler
from hyperwatch.soak.traffic import Traffic

# Web process: HTTP threads, the hub (5), response cache, metrics, one being replaced. Each consumer: one, and one
# being replaced.
MAX_DATABASE_CONNECTIONS = HTTP_WORKER_THREADS + 8 + 2 * CONSUMERS
# After this time a process holds all of its initial resources, on a slow machine too.
STARTUP_SECONDS = 20.0
# Normal variation: connections of threads without a request so far, a request in progress.
SPARE_DESCRIPTORS, SPARE_THREADS, SPARE_TASKS = HTTP_WORKER_THREADS + 6, HTTP_WORKER_THREADS + 4, 6


def traffic_checks(traffic: Traffic) -> Iterator[Check]:
    missing = traffic.sent - traffic.acknowledged
    is_complete = not (missing or traffic.error or traffic.is_sending)
    detail = f"{traffic.acknowledged:,} of {traffic.sent:,} {traffic.error}".strip()
    yield Check("all messages are acknowledged", is_complete, detail)


def storage_checks(database: DatabaseState, traffic: Traffic) -> Iterator[Check]:
    """Requires that the database is available."""
    counts = ", ".join(f"{count:,} {table}" for table, count in traffic.oracle.counts.items())
    differences = database.differences(traffic.oracle)
    yield Check("every row is stored once", not differences, _labelled(differences, "missing, unexpected") or counts)
    errors = database.sequence_errors()
    heads = ", ".join(f"{name} {head:,}" for name, head in database.heads().items())
    yield Check("sequences have no holes", not errors, _labelled(errors, "rows, first, last, head, floor") or heads)
    rollups = database.rollup_differences()
    yield Check("roll-ups equal a recount", not rollups, _labelled(rollups, "differing values") or "all are equal")
    yield _dead_letter_check(database, traffic)


def delivery_checks(database: DatabaseState, clients: ClientPool) -> Iterator[Check]:
    violations = [violation for client in clients.persistent for violation in client.violations]
    heads, hashes, states = database.heads(), database.hashes(), database.latest_states()
    for client in clients.persistent:
        violations += _client_differences(client, heads, hashes, states)
    facts = sum(client.facts for client in clients.persistent)
    detail = _summary(violations) or f"{len(clients.persistent)} clients, {facts:,} facts"
    yield Check("persistent clients receive all facts once, in order", not violations, detail)
    transient = clients.transient
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in transient.outcomes.most_common())
    detail = _summary(transient.violations) or outcomes
    yield Check("transient clients receive the subscribed facts", not transient.violations, detail)
    if transient.statuses:
        statuses = ", ".join(f"{count:,} × {status}" for status, count in sorted(transient.statuses.items()))
        yield Check("REST responds with 200 or 503", not set(transient.statuses) - {200, 503}, statuses)


def resource_checks(sampler: ResourceSampler, processes: SoakProcesses) -> Iterator[Check]:
    for process in processes.all:
        yield _memory_check(sampler, process)
    for process in processes.all:
        yield _idle_resource_check(sampler, process)
    last, highest = sampler.connections[-1:], max(sampler.connections, default=0)
    detail = f"{last[0] if last else 'unknown'} at the end, maximum {highest}, limit {MAX_DATABASE_CONNECTIONS}"
    is_bounded = last[0] <= MAX_DATABASE_CONNECTIONS if last else None
    yield Check("PostgreSQL connections are bounded", is_bounded, detail)


def process_checks(processes: SoakProcesses) -> Iterator[Check]:
    exits = processes.unexpected_exits
    starts = ", ".join(f"{process.name} was started {process.start_count} times" for process in processes.all)
    yield Check("no process exits unexpectedly", not exits, _summary(exits) or starts)
    tracebacks = {process.name: dict(errors) for process in processes.all if (errors := process.tracebacks())}
    yield Check("no traceback in the logs", not tracebacks, str(tracebacks) if tracebacks else "none")


def _dead_letter_check(database: DatabaseState, traffic: Traffic) -> Check:
    stored, rejected = database.dead_letters(), traffic.rejected
    missing = [reason for reason, _ in rejected - stored]
    unexpected = [reason for reason, _ in stored - rejected]
    differences = f"; missing {missing}, unexpected {unexpected}" if missing or unexpected else ""
    detail = f"{stored.total()} of {rejected.total()} messages{differences}"
    return Check("each invalid message is a dead letter", stored == rejected, detail)


def _client_differences(
    client: PersistentClient, heads: Mapping[str, int], hashes: Mapping[str, int], states: Mapping[str, int]
) -> Iterator[str]:
    behind = {
        channel: f"{seq} of {heads[channel]}" for channel, seq in client.last_seqs.items() if seq != heads[channel]
    }
    if behind:
        yield f"{client.name} is at {behind}"
    elif client.hashes != hashes:
        yield f"{client.name} received facts that differ from the stored rows"
    if {coin: seq for coin, (_, seq) in client.latest_states.items()} != states:
        yield f"{client.name} has latest ratios that differ from the stored rows"
    if client.duplicates:
        yield f"{client.name} received {client.duplicates} duplicates"


def _memory_check(sampler: ResourceSampler, process: SoakProcess) -> Check:
    name = f"memory of {process.name} is flat"
    samples = sampler.last_lifetime(process)
    growth = memory_growth(samples)
    if growth is None:
        age = samples[-1].age if samples else 0.0
        needed = f"{WARM_UP_SECONDS:.0f} s of warm-up and {MIN_MEASURED_SECONDS:.0f} s of measurement"
        return Check(name, None, f"the last lifetime took {age:.0f} s; the check needs {needed}")
    detail = (
        f"{growth.first:.1f} to {growth.last:.1f} MB in {growth.seconds:.0f} s (× {growth.last / growth.first:.3f}), "
        f"{growth.slope:+.1f} MB an hour, × {growth.fitted_ratio:.3f} by least squares; limit × {MAX_GROWTH_RATIO:.2f}"
    )
    return Check(name, growth.is_flat, detail)


def _idle_resource_check(sampler: ResourceSampler, process: SoakProcess) -> Check:
    """Compares the first and the last idle period of the last lifetime."""
    samples = [sample for sample in sampler.last_lifetime(process) if sample.age >= STARTUP_SECONDS]
    series = {
        "descriptors": ([(sample.is_idle, sample.descriptors) for sample in samples], SPARE_DESCRIPTORS),
        "threads": ([(sample.is_idle, sample.threads) for sample in samples], SPARE_THREADS),
    }
    if process is sampler.web:
        series["tasks"] = ([(s.is_idle, s.tasks) for s in samples if s.tasks is not None], SPARE_TASKS)
    name, results = f"{', '.join(series)} of {process.name} return to the idle level", []
    for resource, (values, spare) in series.items():
        if (medians := idle_medians(values)) is None:
            return Check(name, None, "the last lifetime had less than two idle periods")
        first, last = medians
        results.append((f"{resource} {first:.0f} to {last:.0f}", last <= first + spare))
    return Check(name, all(is_within for _, is_within in results), ", ".join(text for text, _ in results))


def _labelled(differences: Mapping[str, object], label: str) -> str:
    return f"({label}) {differences}" if differences else ""


def _summary(violations: list[str]) -> str:
    return f"{len(violations)} violations: " + "; ".join(violations[:3]) if violations else ""
