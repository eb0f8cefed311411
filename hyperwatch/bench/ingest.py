"""Kafka to committed rows: `manage.py consume` beside what does less, into an empty table and a full one.

Everything shares the cores, as where it runs in earnest. Messages are laid out while the members are held still, so
that neither their start nor the making of messages is in a figure.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.bursts import Crash, Peak, crash, figures, worst
from hyperwatch.bench.data.kafka_messages import KafkaMessages
from hyperwatch.bench.data.table_fill import Disk, disk, filled_to_change
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.ingest_runs import IngestResult, IngestRuns
from hyperwatch.bench.processes.consumer_group import MOCK_KEEPS, is_mock
from hyperwatch.bench.report import AtLeast, AtMost, Figure, Report, figure, ratio
from hyperwatch.bench.sql.cancellable_sql import CancellableSession

STREAM = "liquidations"
PARTS = ("storing", "worst", "crash")
# A day's fills, and days that they are kept.
FILLS, DAYS = 10_000_000, 30
WORTH_WEIGHING = 1_000


class IngestOptions(NamedTuple):
    rows: int
    sizes: list[int]
    consumers: list[int]
    inserts: int
    parts: list[str]
    burst: int
    crash: Crash


def ingest(ground: BenchEnvironment, asked: IngestOptions) -> Report:
    report = ground.report("ingest", **asked._asdict())
    if is_mock(ground) and asked.rows > MOCK_KEEPS:
        raise CannotMeasureError(
            f"Without Apache Kafka at most --rows {MOCK_KEEPS}: the embedded broker keeps 5 MB of a partition"
        )
    offers = KafkaMessages(ground.seed)
    for size in asked.sizes:
        url = filled_to_change(ground, size, [STREAM] if size else [])
        runs = _storing(ground, asked, offers, url, size, report) if "storing" in asked.parts else []
        report.runs += runs
    peaks = list(_peaks(ground, asked, offers, url))
    report.runs += peaks
    report.figures += figures(peaks)
    is_all = all(run.stored == (run.rows if isinstance(run, Peak) else run.new) for run in report.runs)
    report.checks = {"rows in = rows stored": is_all, "complete": all(peak.complete == peak.clients for peak in peaks)}
    return report


def _storing(
    ground: BenchEnvironment, asked: IngestOptions, offers: KafkaMessages, url: str, size: int, report: Report
) -> list[IngestResult]:
    with CancellableSession(url) as session:
        report.figures += _disk(session, size)
        storing = IngestRuns(ground, url, size, session)
        runs = [run for _ in range(ground.runs) for run in _round(storing, asked, offers)]
    report.figures += _figures(runs, asked)
    return runs


def _peaks(ground: BenchEnvironment, asked: IngestOptions, offers: KafkaMessages, url: str) -> Iterator[Peak]:
    """On the database of the last size."""
    for _ in range(ground.runs):
        if "worst" in asked.parts:
            yield worst(ground, url, offers, asked.burst)
        if "crash" in asked.parts:
            yield crash(ground, url, asked.crash)


def _round(storing: IngestRuns, asked: IngestOptions, offers: KafkaMessages) -> Iterator[IngestResult]:
    """They take turns, so that what disturbs disturbs all of them."""
    for number in asked.consumers:
        storing.empty()
        fresh = offers.make(asked.rows)
        yield storing.by_members("consume", number, fresh)
        if number == 1:
            behind = offers.last_of_each(fresh)
            yield storing.by_members("repeats", number, [*fresh, *behind], new=len(behind))
            storing.empty()
            yield storing.by_members("silent", number, offers.make(asked.rows))
        storing.empty()
        yield storing.by_members("copy", number, offers.make(asked.rows))
    storing.empty()
    yield storing.by_text(offers.make(asked.rows))
    storing.empty()
    yield storing.by_inserts(offers.make(asked.inserts))


def _figures(runs: Sequence[IngestResult], asked: IngestOptions) -> Iterator[Figure]:
    size = runs[0].size
    for number in asked.consumers:
        group = f"{size:,} rows before, consumers: {number}"
        ours, copy = _of(runs, "consume", number), _of(runs, "copy", number)
        yield from _costs(group, "ours", ours)
        yield from _costs(group, "decode, check, COPY", copy)
        target = AtMost(1.4)
        yield ratio(group, "ours / decode, check, COPY: CPU a row", _cpu(ours), _cpu(copy), target=target)
    group = f"{size:,} rows before"
    ours, silent, copy = (_of(runs, kind, 1) for kind in ("consume", "silent", "copy"))
    text, repeats, inserts = (_of(runs, kind, 1) for kind in ("text", "repeats", "insert"))
    if ours:
        yield ratio(group, "ours without telling / decode, check, COPY: CPU", _cpu(silent), _cpu(copy))
        yield figure(group, "COPY of ready-made text", _speeds(text), "rows/s")
        yield ratio(group, "ours / COPY of ready-made text", _speeds(ours), _speeds(text), target=AtLeast(0.5))
        yield ratio(group, "repeats / fresh: time a row", _speeds(ours), _speeds(repeats), target=AtMost(0.85))
        yield figure(group, "a connection and an INSERT each", _speeds(inserts), "rows/s")
        yield ratio(
            group, "ours / a connection and an INSERT each", _speeds(ours), _speeds(inserts), target=AtLeast(60)
        )


def _costs(group: str, name: str, runs: Sequence[IngestResult]) -> Iterator[Figure]:
    yield figure(group, name, _speeds(runs), "rows/s")
    yield figure(group, f"{name}: CPU of the client", [run.us(run.client) for run in runs], "µs/row")
    yield figure(group, f"{name}: CPU of the backends", [run.us(run.backends) for run in runs], "µs/row")
    yield figure(group, f"{name}: CPU of PostgreSQL's writers", [run.us(run.writers) for run in runs], "µs/row")


def _disk(session: CancellableSession, size: int) -> Iterator[Figure]:
    if size < WORTH_WEIGHING:
        return
    rows = disk(session, STREAM)
    counters = Disk(rows.rows, session.value("SELECT pg_total_relation_size('period_counts')"))
    group = f"disk at {size:,} rows"
    yield figure(group, "a row with its indexes", [rows.bytes / rows.rows], "B")
    yield figure(group, "counters a row", [counters.bytes / rows.rows], "B")
    a_row = (rows.bytes + counters.bytes) / rows.rows
    yield figure(group, f"{DAYS} days at {FILLS:,} fills a day", [a_row * FILLS * DAYS / 1e9], "GB")


def _of(runs: Sequence[IngestResult], kind: str, number: int) -> list[IngestResult]:
    return [run for run in runs if (run.kind, run.members) == (kind, number)]


def _speeds(runs: Sequence[IngestResult]) -> list[float]:
    return [run.rows_a_second for run in runs]


def _cpu(runs: Sequence[IngestResult]) -> list[float]:
    return [run.cpu_us for run in runs]
