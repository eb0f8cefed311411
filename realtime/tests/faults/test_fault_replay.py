"""A full replay from offset 0 stores and publishes nothing, also after `prune`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django.fixtures import Settings

from hyperwatch.formats import isoformat
from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.tests.services.waiting import wait_until
from realtime.ingest.decoder import decode_batch
from realtime.kafka.consumer import KafkaMessage
from realtime.models import DeadLetter
from realtime.storage.sequences import StreamPosition, read_positions
from realtime.streams import all_streams
from realtime.tests.builders import liquidation, message, position_summary, ratio, transaction
from realtime.tests.ingest_helpers import PublishedEvents, ingesting, send
from realtime.tests.websocket_client import Client, client
from whales.models import WhaleWatch

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

BEGAN = datetime.now(UTC)
WALLET = "0x" + "a1" * 20
CHANNELS = ("transactions", "liquidations", "whale_activities", "long_short_ratios")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[KafkaMessage]:
    """What the consumers have read."""
    messages: list[KafkaMessage] = []

    def noted(batch: Any, now: datetime) -> Any:
        messages.extend(batch)
        return decode_batch(batch, now)

    monkeypatch.setattr("realtime.ingest.pipeline.decode_batch", noted)
    return messages


@pytest.fixture
def ws(server: AppProcess) -> Iterator[Client]:
    with client(server.ws_url) as connected:
        connected.subscribe(*CHANNELS)
        yield connected


def facts(numbers: range, age: timedelta) -> list[KafkaMessage]:
    """Of each event stream, and of the states; with one that is refused."""
    made = [message(transaction().topic, b"no json")]
    for number in numbers:
        time = isoformat(BEGAN - age - timedelta(minutes=number))
        kind = "LIQUIDATION" if number % 4 == 0 else "ORDER"
        made.append(transaction(block_timestamp=time, raw_data={"tid": number, "dir": "Open Long"}, tx_type=kind))
        made.append(liquidation(block_timestamp=time, raw_data={"tid": 100 + number}))
        made += [ratio(timestamp=time), position_summary(timestamp=time)]
    return made


OLD = facts(range(20), timedelta(days=4))
NEW = facts(range(20, 40), timedelta(0))
STORED = {
    "transactions": 40,
    "liquidations": 40 + 10,
    "whale_activities": 30 + 50,
    "long_short_ratios": 40,
    "position_summaries": 40,
    "liquidation_map": 0,
}


def rows() -> dict[str, list[Any]]:
    """Every row of every stream."""
    with connection.cursor() as cursor:
        found = {}
        for stream in all_streams():
            cursor.execute(f"SELECT t::text FROM {stream.model._meta.db_table} t ORDER BY id")
            found[stream.name] = cursor.fetchall()
    return found


def first(read: list[KafkaMessage]) -> PublishedEvents:
    """The old ones are stored before the new ones, whatever partition they lie on."""
    answer = PublishedEvents()
    with ingesting(answer, now=lambda: BEGAN):
        send(OLD)
        wait_until(lambda: len(read) == len(OLD), "the old ones to be read", 30)
        send(NEW)
        wait_until(lambda: len(read) == len(OLD + NEW), "the new ones to be read", 30)
    return answer


def again(settings: Settings, read: list[KafkaMessage]) -> PublishedEvents:
    """From offset 0: by another group, which has committed nothing yet."""
    settings.KAFKA_GROUP_ID = uuid4().hex
    answer = PublishedEvents()
    read.clear()
    with ingesting(answer, now=lambda: BEGAN):
        wait_until(lambda: len(read) == len(OLD + NEW), "everything to be read", 30)
    return answer


def test_full_replay_after_pruning_stores_and_publishes_nothing(
    mock_kafka: MockKafka, ws: Client, settings: Settings, read: list[KafkaMessage]
) -> None:
    WhaleWatch.objects.create(wallet_address=WALLET, alias="whale")
    answer = first(read)
    assert {name: place.head for name, place in read_positions().items()} == STORED
    assert {name: len(seqs) for name, seqs in answer.seqs.items()} == {name: n for name, n in STORED.items() if n}
    ws.wait_until(lambda: all(ws.seqs(name)[-1:] == [STORED[name]] for name in CHANNELS[:3]))
    ws.silent_for(0.3)
    before, frames = rows(), len(ws.facts)

    assert again(settings, read).seqs == {}
    assert rows() == before
    assert DeadLetter.objects.count() == 2
    assert ws.silent_for(0.3)

    settings.STREAM_RETENTION_DAYS = dict.fromkeys(["transactions", "liquidations", "long_short_ratios"], 2)
    call_command("prune", stdout=StringIO())
    places, left = read_positions(), rows()
    assert [len(left[name]) for name in CHANNELS] == [20, 25, 80, 20]
    assert again(settings, read).seqs == {}
    assert rows() == left
    assert DeadLetter.objects.filter(reason="TOO_OLD").count() == 3 * 20
    assert read_positions() == places
    assert places["transactions"] == StreamPosition(40, 20)
    assert ws.silent_for(0.3)
    assert len(ws.facts) == frames
