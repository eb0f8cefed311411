"""Kafka to committed rows: `manage.py consume` beside references, into an empty and a filled table.

All processes share the cores, as in production. Messages are produced while the group members are paused: figures
include neither process start nor message generation.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data.kafka_messages import KafkaMessages
from hyperwatch.bench.data.table_fill import TableSize, filled_writable, table_size
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.ingest_runs import IngestResult, IngestRuns
from hyperwatch.bench.processes.consumer_group import MOCK_MAX_MESSAGES, is_mock
from hyperwatch.bench.report import AtLeast, AtMost, Figure, Report, figure, ratio
from hyperwatch.bench.sql.cancellable_sql import CancellableSession

STREAM = "liquidations"
PARTS = ("storing", "disk")
# For the projected size of the table.
DAILY_FILLS, RETENTION_DAYS = 10_000_000, 30
MIN_ROWS_FOR_DISK = 1_000


class IngestOptions(NamedTuple):
    rows: int
    sizes: list[int]
    consumers: list[int]
    inserts: int
    parts: list[str]


def ingest(environment: BenchEnvironment, options: IngestOptions) -> Report:
    report = environment.report("ingest", **options._asdict())
    if is_mock(environment) and options.rows > MOCK_MAX_MESSAGES:
        raise CannotMeasureError(
            f"--rows is at most {MOCK_MAX_MESSAGES} with the embedded broker, which retains 5 MB a partition: "
            "set KAFKA_BOOTSTRAP_SERVERS or KAFKA_LIBS to use Apache Kafka"
        )
    messages = KafkaMessages(environment.seed)
    for size in options.sizes:
        url = filled_writable(environment, size, [STREAM] if size else [])
        with CancellableSession(url) as session:
            if "disk" in options.parts and size >= MIN_ROWS_FOR_DISK:
                report.figures += _disk_figures(session, size)
            if "storing" in options.parts:
                runner = IngestRuns(environment, url, size, session)
                runs = [run for _ in range(environment.runs) for run in _round(runner, options, messages)]
                report.runs += runs
                report.figures += _figures(runs, options)
    report.checks = {"rows in = rows stored": all(run.stored == run.new for run in report.runs)}
    return report


def _round(runner: IngestRuns, options: IngestOptions, messages: KafkaMessages) -> Iterator[IngestResult]:
    """One run of each kind. Kinds alternate, so a disturbance affects all of them."""
    for consumers in options.consumers:
        runner.truncate()
        fresh = messages.make(options.rows)
        yield runner.by_members("consume", consumers, fresh)
        if consumers == 1:
            last_messages = messages.one_per_coin(fresh)
            yield runner.by_members("repeats", consumers, [*fresh, *last_messages], new=len(last_messages))
            runner.truncate()
            yield runner.by_members("silent", consumers, messages.make(options.rows))
        runner.truncate()
        yield runner.by_members("copy", consumers, messages.make(options.rows))
    runner.truncate()
    yield runner.by_text(messages.make(options.rows))
    runner.truncate()
    yield runner.by_inserts(messages.make(options.inserts))


def _figures(runs: Sequence[IngestResult], options: IngestOptions) -> Iterator[Figure]:
    size = runs[0].size
    for consumers in options.consumers:
        group = f"{size:,} rows before, consumers: {consumers}"
        ours, copy = _select(runs, "consume", consumers), _select(runs, "copy", consumers)
        yield from _costs(group, "ours", ours)
        yield from _costs(group, "decode, check, COPY", copy)
        target = AtMost(1.4)
        yield ratio(group, "ours / decode, check, COPY: CPU a row", _cpu(ours), _cpu(copy), target=target)
    group = f"{size:,} rows before"
    ours, silent, copy = (_select(runs, kind, 1) for kind in ("consume", "silent", "copy"))
    text, repeats, inserts = (_select(runs, kind, 1) for kind in ("text", "repeats", "insert"))
    if ours:
        yield ratio(group, "ours without publishing / decode, check, COPY: CPU", _cpu(silent), _cpu(copy))
        yield figure(group, "COPY of ready-made text", _speeds(text), "rows/s")
        yield ratio(group, "ours / COPY of ready-made text", _speeds(ours), _speeds(text), target=AtLeast(0.5))
        yield ratio(group, "repeats / fresh: time a row", _speeds(ours), _speeds(repeats), target=AtMost(0.85))
        yield figure(group, "a connection and an INSERT each", _speeds(inserts), "rows/s")
        yield ratio(
            group, "ours / a connection and an INSERT each", _speeds(ours), _speeds(inserts), target=AtLeast(60)
        )


def _costs(group: str, name: str, runs: Sequence[IngestResult]) -> Iterator[Figure]:
    yield figure(group, name, _speeds(runs), "rows/s")
    yield figure(group, f"{name}: CPU of the client", [run.per_row_us(run.client) for run in runs], "µs/row")
    yield figure(group, f"{name}: CPU of the backends", [run.per_row_us(run.backends) for run in runs], "µs/row")
    yield figure(group, f"{name}: CPU of PostgreSQL's writers", [run.per_row_us(run.writers) for run in runs], "µs/row")


def _disk_figures(session: CancellableSession, size: int) -> Iterator[Figure]:
    rows = table_size(session, STREAM)
    counters = TableSize(rows.rows, session.value("SELECT pg_total_relation_size('period_counts')"))
    group = f"disk at {size:,} rows"
    yield figure(group, "a row with its indexes", [rows.bytes / rows.rows], "B")
    yield figure(group, "counters a row", [counters.bytes / rows.rows], "B")
    a_row = (rows.bytes + counters.bytes) / rows.rows
    yield figure(
        group,
        f"{RETENTION_DAYS} days at {DAILY_FILLS:,} fills a day",
        [a_row * DAILY_FILLS * RETENTION_DAYS / 1e9],
        "GB",
    )


def _select(runs: Sequence[IngestResult], kind: str, consumers: int) -> list[IngestResult]:
    return [run for run in runs if (run.kind, run.members) == (kind, consumers)]


def _speeds(runs: Sequence[IngestResult]) -> list[float]:
    return [run.rows_per_second for run in runs]


def _cpu(runs: Sequence[IngestResult]) -> list[float]:
    return [run.cpu_us for run in runs]
