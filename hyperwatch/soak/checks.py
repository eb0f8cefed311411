"""From what was sent, stored, seen and watched to checks: each a promise of the README, or a leak."""

from collections.abc import Iterator, Mapping

from hyperwatch.soak.client_pool import ClientPool
from hyperwatch.soak.database_state import DatabaseState
from hyperwatch.soak.leak_check import LEAST_SECONDS, MOST_GROWTH, WARM_SECONDS, ends, growth
from hyperwatch.soak.processes import CONSUMERS, HTTP_WORKER_THREADS, Child, Children
from hyperwatch.soak.report import Check
from hyperwatch.soak.resource_sampler import ResourceSampler
from hyperwatch.soak.traffic import Traffic

# In the web process: HTTP threads, the hub (5), response cache, metrics, one being replaced. Each consumer: one, and
# one being replaced.
MOST_CONNECTIONS = HTTP_WORKER_THREADS + 8 + 2 * CONSUMERS
# By then a process has all that it begins with, on a slow machine too.
STARTED_SECONDS = 20.0
# What comes and goes by itself: connections of threads that had not yet answered, a request that is on its way.
SPARE_DESCRIPTORS, SPARE_THREADS, SPARE_TASKS = HTTP_WORKER_THREADS + 6, HTTP_WORKER_THREADS + 4, 6


def of_sending(source: Traffic) -> Iterator[Check]:
    missing = source.sent - source.acknowledged
    is_all = not (missing or source.error or source.is_sending)
    yield Check(
        "all sent is acknowledged", is_all, f"{source.acknowledged:,} of {source.sent:,} {source.error}".strip()
    )


def of_storing(stored: DatabaseState, source: Traffic) -> Iterator[Check]:
    """The database's part; it must be there."""
    counts = ", ".join(f"{count:,} {table}" for table, count in source.truth.counts.items())
    differences = stored.differences(source.truth)
    yield Check("every row is stored once", not differences, _said(differences, "missing, beyond") or counts)
    holes = stored.holes()
    heads = ", ".join(f"{name} {head:,}" for name, head in stored.heads().items())
    yield Check("numbers without holes", not holes, _said(holes, "rows, first, last, head, floor") or heads)
    miscounted = stored.miscounted()
    yield Check("counters equal a recount", not miscounted, _said(miscounted, "differing") or "all of them")
    kept, sent = stored.letters(), source.refused
    lost, beyond = [f"{reason}" for reason, _ in sent - kept], [f"{reason}" for reason, _ in kept - sent]
    said = f"{kept.total()} of {sent.total()} messages" + (
        f"; missing {lost}, beyond {beyond}" if lost or beyond else ""
    )
    yield Check("each refused message is a dead letter", kept == sent, said)


def of_telling(stored: DatabaseState, audience: ClientPool) -> Iterator[Check]:
    heads, chains, newest = stored.heads(), stored.chains(), stored.newest()
    troubles = [trouble for listener in audience.listeners for trouble in listener.troubles]
    for listener in audience.listeners:
        behind = {
            channel: f"{at} of {heads[channel]}" for channel, at in listener.places.items() if at != heads[channel]
        }
        if behind:
            troubles.append(f"{listener.name} is at {behind}")
        elif listener.chains != chains:
            troubles.append(f"{listener.name} saw other facts than are stored")
        if {coin: seq for coin, (_, seq) in listener.newest.items()} != newest:
            troubles.append(f"{listener.name} has other newest ratios than are stored")
        if listener.repeats:
            troubles.append(f"{listener.name} was told {listener.repeats} facts twice")
    facts = sum(listener.facts for listener in audience.listeners)
    said = f"{len(audience.listeners)} clients, {facts:,} facts"
    yield Check("who stays sees all, once, in order", not troubles, _first(troubles) or said)
    visitors = audience.visitors
    ways = ", ".join(f"{count:,} {way}" for way, count in visitors.came.most_common())
    answers = ", ".join(f"{count:,} times {status}" for status, count in sorted(visitors.answers.items()))
    yield Check("who comes and goes sees what was asked for", not visitors.troubles, _first(visitors.troubles) or ways)
    if answers:
        yield Check("REST answers or says 503", not set(visitors.answers) - {200, 503}, answers)


def of_holding(watch: ResourceSampler, children: Children) -> Iterator[Check]:
    for child in children.all:
        yield _memory(watch, child)
    for child in children.all:
        yield _returns(watch, child)
    last, most = watch.connections[-1:], max(watch.connections, default=0)
    said = f"{last[0] if last else 'unknown'} at the end, {most} at most, {MOST_CONNECTIONS} may be"
    yield Check("PostgreSQL's connections are bounded", last[0] <= MOST_CONNECTIONS if last else None, said)


def of_living(children: Children) -> Iterator[Check]:
    yield Check("nobody died but who was killed", not children.deaths, _first(children.deaths) or _lives(children))
    traces = {child.name: dict(found) for child in children.all if (found := child.tracebacks())}
    yield Check("no traceback in the logs", not traces, str(traces) if traces else "none")


def _memory(watch: ResourceSampler, child: Child) -> Check:
    name = f"memory of {child.name} is flat"
    samples = watch.last_life(child)
    grown = growth(samples)
    if grown is None:
        age = samples[-1].age if samples else 0.0
        return Check(
            name,
            None,
            f"{age:.0f} s of its last life are too few: {WARM_SECONDS:.0f} to warm up, {LEAST_SECONDS:.0f} to judge by",
        )
    said = (
        f"{grown.first:.1f} to {grown.last:.1f} MB in {grown.seconds:.0f} s (x {grown.last / grown.first:.3f}), "
        f"{grown.slope:+.1f} MB an hour, x {grown.fitted:.3f} by least squares; x {MOST_GROWTH:.2f} may be"
    )
    return Check(name, grown.is_flat, said)


def _returns(watch: ResourceSampler, child: Child) -> Check:
    """What it held in the first and in the last time in which nobody was there but who stays."""
    samples = [sample for sample in watch.last_life(child) if sample.age >= STARTED_SECONDS]
    looks = {
        "descriptors": ([(sample.is_quiet, sample.descriptors) for sample in samples], SPARE_DESCRIPTORS),
        "threads": ([(sample.is_quiet, sample.threads) for sample in samples], SPARE_THREADS),
    }
    if child is watch.web:
        looks["tasks"] = ([(s.is_quiet, s.tasks) for s in samples if s.tasks is not None], SPARE_TASKS)
    name, found = f"{', '.join(looks)} of {child.name} return", []
    for what, (seen, spare) in looks.items():
        if (pair := ends(seen)) is None:
            return Check(name, None, "its last life had no two quiet times")
        found.append((f"{what} {pair[0]:.0f} to {pair[1]:.0f}", pair[1] <= pair[0] + spare))
    return Check(name, all(holds for _, holds in found), ", ".join(said for said, _ in found))


def _lives(children: Children) -> str:
    return ", ".join(f"{child.name} was started {child.lives} times" for child in children.all)


def _said(found: Mapping[str, object], what: str) -> str:
    return f"({what}) {found}" if found else ""


def _first(troubles: list[str]) -> str:
    return "" if not troubles else f"{len(troubles)} troubles: " + "; ".join(troubles[:3])
