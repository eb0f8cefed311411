"""Every metric as Prometheus reads it: `/metrics` of the web process and of a consumer."""

import ast
import os
import shutil
import subprocess
import threading
import time
import tomllib
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from django.test import Client

from hyperwatch import __version__
from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import free_port
from hyperwatch.metrics import DatabaseReading
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.waiting import wait_until
from realtime.ingest.pipeline import Pipeline
from realtime.ingest.status_server import serve_status
from realtime.ingest.writer import BatchWriter
from realtime.kafka.admin import topics
from realtime.kafka.consumer import KafkaConsumer, KafkaMessage
from realtime.kafka.offset_tracker import MessagePosition, OffsetGap
from realtime.models import DeadLetter
from realtime.storage import database_metrics
from realtime.storage.database_metrics import DatabaseReader, read_state
from realtime.tests import builders
from realtime.tests.builders import NOW, liquidation, stored, transaction
from realtime.tests.ingest_helpers import PublishedEvents, send

pytestmark = pytest.mark.django_db(transaction=True)

CLIENT_CONNECTIONS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None and os.environ.get("CI") != "true", reason="promtool is not installed"
)


def read(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 (http, ours)
        text: bytes = answer.read()
    return text.decode()


def samples(text: str, name: str) -> dict[str, float]:
    """Values of the metric by its labels as they are written, "" without labels."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    named = ((series.partition("{"), float(value)) for series, value in lines)
    return {labels.rstrip("}"): value for (found, _, labels), value in named if found == f"hyperwatch_{name}"}


def value(text: str, name: str) -> float:
    return samples(text, name)[""]


@contextmanager
def consumer_endpoint() -> Iterator[str]:
    """The consumer's status server in this process."""
    port = free_port()
    with serve_status(port, dict):
        yield f"http://127.0.0.1:{port}"


# Format


def assert_promtool_accepts(text: str) -> None:
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@needs_promtool
def test_promtool_accepts_web_and_consumer_metrics(
    mock_kafka: MockKafka, fresh_database: Database, web_server: Start, consumer_process: Start
) -> None:
    web, consumer = web_server(**mock_kafka.env), consumer_process(**mock_kafka.env)
    send([transaction()])
    wait_until(lambda: value(read(consumer.url), "ingest_batch_size_messages_count") == 1, "the batch", 30)
    for process in (web, consumer):
        assert_promtool_accepts(read(process.url))


def test_created_series_are_absent() -> None:
    assert "_created" not in Client().get("/metrics").content.decode()


def test_metrics_are_defined_in_one_module() -> None:
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    defining = {
        str(path.relative_to(ROOT))
        for path in Path(ROOT).glob("[!.]*/**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("prometheus_client")
        and kinds & {alias.name for alias in node.names}
    }
    assert defining == {"hyperwatch/metrics.py"}


def test_metrics_module_imports_prometheus_client_alone() -> None:
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse((ROOT / "hyperwatch/metrics.py").read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    ours = {name for name in imported if name and not name.startswith("prometheus_client")}
    assert ours == {"time", "collections.abc", "typing", "hyperwatch"}


# Version


def test_build_info_has_version() -> None:
    web = Client().get("/metrics").content.decode()
    with consumer_endpoint() as url:
        consumer = read(url)
    for text in (web, consumer):
        assert samples(text, "build_info") == {f'version="{__version__}"': 1}


def test_package_version_comes_from_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version", "dependencies"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hyperwatch.__version__"}


# Read from PostgreSQL by the web process


@pytest.fixture(autouse=True)
def new_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_metrics, "reader", DatabaseReader())


def scrape() -> str:
    answer = Client().get("/metrics")
    assert answer.status_code == 200
    return answer.content.decode()


def test_stream_age_is_that_of_newest_fact() -> None:
    stored(liquidation(block_timestamp="2026-01-10T09:00:00Z"), liquidation(raw_data={"tid": 2}))
    newest = datetime.fromisoformat(builders.TIME).timestamp()
    before = time.time()
    ages = samples(scrape(), "stream_newest_fact_age_seconds")
    assert set(ages) == {'stream="liquidations"'}
    assert before - newest <= ages['stream="liquidations"'] <= time.time() - newest


def test_dead_letters_sent_again_are_not_outstanding() -> None:
    assert value(scrape(), "dead_letters_outstanding") == 0
    database_metrics.reader = DatabaseReader()
    stored(*(builders.message("hyperliquid.transactions", b"x") for _ in range(3)))
    DeadLetter.objects.filter(pk=DeadLetter.objects.values("pk")[:1]).update(resent_at=Now())
    assert value(scrape(), "dead_letters_outstanding") == 2


def test_scrapes_share_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, seconds = list[DatabaseReading](), [0.0]

    def counted() -> DatabaseReading:
        reads.append(read_state())
        return reads[-1]

    monkeypatch.setattr(database_metrics, "read_state", counted)
    monkeypatch.setattr(database_metrics, "reader", DatabaseReader(clock=lambda: seconds[0]))
    for seconds[0], number in ((0, 1), (4.9, 1), (5, 2), (9.9, 2), (10, 3)):
        assert value(scrape(), "dead_letters_outstanding") == 0
        assert len(reads) == number


def test_unavailable_database_leaves_its_series_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> DatabaseReading:
        raise OperationalError

    stored(liquidation())
    monkeypatch.setattr(database_metrics, "read_state", failing)
    text = scrape()
    assert samples(text, "dead_letters_outstanding") == samples(text, "stream_newest_fact_age_seconds") == {}
    assert samples(text, "build_info") != {}


def test_hanging_database_delays_a_scrape_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, state = threading.Event(), read_state()

    def hanging() -> DatabaseReading:
        goes_on.wait(20)
        return state

    monkeypatch.setattr(database_metrics, "read_state", hanging)
    began = time.monotonic()
    try:
        assert samples(scrape(), "dead_letters_outstanding") == {}
        assert time.monotonic() - began < 5
    finally:
        goes_on.set()
    wait_until(lambda: samples(scrape(), "dead_letters_outstanding") == {"": 0}, "the state")


# Consumer


class OneBatch(KafkaConsumer):
    """Delivers one batch and stops the ingest when it is committed."""

    def __init__(self, messages: list[KafkaMessage], stop: threading.Event) -> None:
        self._messages, self._stop = messages, stop

    @property
    def gaps(self) -> list[OffsetGap]:
        return []

    def read(self, limit: int, timeout: float) -> list[KafkaMessage]:
        messages, self._messages = self._messages, []
        time.sleep(0 if messages else timeout)
        return messages

    def commit(self, messages: Sequence[MessagePosition]) -> None:
        self._stop.set()

    def poll_paused(self) -> None:
        pass


def ingest(*messages: KafkaMessage) -> None:
    stop = threading.Event()
    Pipeline(OneBatch(list(messages), stop), PublishedEvents(), stop, now=lambda: NOW).run(100)


def sent(seconds_ago: float, tid: int) -> KafkaMessage:
    timestamp = round((NOW - timedelta(seconds=seconds_ago)).timestamp() * 1000)
    return transaction(raw_data={"tid": tid})._replace(timestamp_ms=timestamp)


def test_ingest_latency_is_that_of_oldest_message() -> None:
    with consumer_endpoint() as url:
        before = read(url)
        ingest(sent(1.5, tid=1), sent(4.25, tid=2))
        after = read(url)
    assert grown(before, after, "ingest_latency_seconds_sum") == pytest.approx(4.25)
    assert grown(before, after, "ingest_latency_seconds_count") == 1
    assert bucket(after, "2.5") - bucket(before, "2.5") == 0
    assert bucket(after, "5.0") - bucket(before, "5.0") == 1


def test_messages_without_timestamp_have_no_latency() -> None:
    with consumer_endpoint() as url:
        before = read(url)
        ingest(transaction())
        after = read(url)
    assert grown(before, after, "ingest_latency_seconds_count") == 0
    assert grown(before, after, "ingest_batch_duration_seconds_count") == 1


def test_batch_duration_includes_database_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    original, tries = BatchWriter.write, list[int]()

    def failing_once(*args: object) -> object:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(BatchWriter, "write", failing_once)
    with consumer_endpoint() as url:
        before = read(url)
        began = time.monotonic()
        ingest(transaction())
        seconds = time.monotonic() - began
        after = read(url)
    assert grown(before, after, "ingest_database_retries_total") == 1
    assert grown(before, after, "ingest_batch_duration_seconds_count") == 1
    assert 0.1 <= grown(before, after, "ingest_batch_duration_seconds_sum") <= seconds


def grown(before: str, after: str, name: str) -> float:
    return value(after, name) - value(before, name)


def bucket(text: str, upper_bound: str) -> float:
    return samples(text, "ingest_latency_seconds_bucket")[f'le="{upper_bound}"']


def test_consumer_lag_is_high_watermark_minus_position(mock_kafka: MockKafka) -> None:
    send(transaction(raw_data={"tid": tid}) for tid in range(30))
    consumer, count = KafkaConsumer(), 0
    with consumer_endpoint() as url:
        try:
            while count < 10:
                count += len(consumer.read(10 - count, timeout=0.2))
            # The lag is measured once a second.
            time.sleep(1.1)
            assert len(consumer.read(1, timeout=5)) == 1
            lag = samples(read(url), "kafka_consumer_lag_messages")
            # All messages have one key, so one partition.
            assert sorted(lag.values()) == [0] * 14 + [19]
            (behind,) = (labels for labels, messages in lag.items() if messages)
            assert f'topic="{topics()[0].name}"' in behind
        finally:
            consumer.close()
        assert samples(read(url), "kafka_consumer_lag_messages") == {}


def test_database_connections_are_those_of_postgresql(
    mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start
) -> None:
    consumer = consumer_process(**mock_kafka.env)
    send([transaction()])
    wait_until(lambda: value(read(consumer.url), "ingest_batch_size_messages_count") == 1, "the batch", 30)
    assert_connections_are_counted(consumer, fresh_database)


def test_web_process_counts_its_database_connections(web_server: Start, fresh_database: Database) -> None:
    web = web_server()
    for _ in range(5):
        urllib.request.urlopen(f"{web.url}/api/v1/coins", timeout=10).close()  # noqa: S310 (http, ours)
    assert_connections_are_counted(web, fresh_database)


def assert_connections_are_counted(process: AppProcess, database: Database) -> None:
    def counts() -> tuple[int, int]:
        ((number,),) = database.query(CLIENT_CONNECTIONS)
        return int(value(read(process.url), "database_connections")), int(str(number))

    wait_until(lambda: len(set(counts())) == 1, "both counts to be equal", 10)
    assert counts()[0] > 0
