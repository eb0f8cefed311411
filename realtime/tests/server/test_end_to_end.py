"""The whole way of a fact, on real processes: Kafka, consumer, database, web server, client."""

import pytest
from django.core.management import call_command

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.websocket_client import client, metric

DATA = ROOT.parent / "shared" / "data"
FILES = [DATA / f"{name}.jsonl" for name in ("transactions", "liquidations", "ratios", "liquidation_maps")]
FACTS = {"transactions": 140, "liquidations": 480, "long_short_ratios": 2854, "liquidation_map": 656}

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not beside the project")


def replay() -> None:
    call_command("replay", *map(str, FILES))


def check_replay(database: Database, web: AppProcess, consumer: AppProcess) -> None:
    """Replays twice into an empty database while a client listens to all that it may without naming coins."""
    channels = ["transactions", "liquidations", "long_short_ratios"]
    with client(web.ws_url) as listener:
        listener.subscribe(*channels)
        replay()
        try:
            # Longer than a client library's own pauses: what counts here is what arrives, not when.
            listener.wait_for(sum(FACTS[name] for name in channels), timeout=100)
        except TimeoutError as late:
            stored = dict(database.query("SELECT name, head FROM streams WHERE head > 0"))
            said = consumer.output()[-3_000:]
            raise AssertionError(f"{len(listener.facts)} facts came, {stored} are stored; it said:\n{said}") from late
        replay()
        wait_until(
            lambda: metric(consumer, "hyperwatch_ingest_duplicates_total") == sum(FACTS.values()),
            "the second replay",
            60,
        )
        assert listener.silent_for(3)
    for name in channels:
        assert listener.seqs(name) == list(range(1, FACTS[name] + 1)), name
    assert {name: database.query(f"SELECT count(*) FROM {name}")[0][0] for name in FACTS} == FACTS
    assert dict(database.query("SELECT name, head FROM streams WHERE head > 0")) == FACTS
    assert database.query("SELECT count(*) FROM dead_letters") == [(0,)]


def test_recorded_messages_arrive_once_over_embedded_parts(
    mock_kafka: MockKafka, fresh_database: Database, web_server: Start, consumer_process: Start
) -> None:
    check_replay(fresh_database, web_server(), consumer_process(**mock_kafka.env))
