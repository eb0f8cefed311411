"""Clocks that are wrong: facts hours late, out of order, from the future and from 1970, over Kafka to a client."""

from collections import Counter
from datetime import timedelta

import pytest

from hyperwatch.formats import isoformat
from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.tests.api_client import get
from hyperwatch.tests.services.waiting import wait_until
from realtime.kafka.consumer import KafkaMessage
from realtime.models import DeadLetter
from realtime.tests.builders import NOW, ratio, transaction
from realtime.tests.ingest_helpers import PublishedEvents, ingesting, send
from realtime.tests.websocket_client import client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

ACCEPTED = {
    "now": timedelta(),
    "hours late": timedelta(hours=-7),
    "an hour later than that": timedelta(hours=-6),
    "as far ahead as is taken": timedelta(minutes=10),
    "years late": timedelta(days=-2000),
}
REFUSED = {
    "IN_FUTURE": [timedelta(minutes=10, seconds=1), timedelta(days=9000)],
    "TOO_OLD": [timedelta(days=-20_463), timedelta(days=-2300)],
}


def at(offset: timedelta, tid: int) -> KafkaMessage:
    return transaction(block_timestamp=isoformat(NOW + offset), raw_data={"tid": tid})


def test_valid_times_arrive_in_order_and_impossible_are_rejected(mock_kafka: MockKafka, server: AppProcess) -> None:
    refused = [(reason, offset) for reason, offsets in REFUSED.items() for offset in offsets]
    messages = [at(offset, tid) for tid, offset in enumerate([*ACCEPTED.values(), *(late for _, late in refused)])]
    with client(server.ws_url) as ws:
        ws.subscribe("transactions")
        with ingesting(PublishedEvents()):
            send(messages)
            wait_until(lambda: DeadLetter.objects.count() >= len(refused), "the dead letters", 30)
            ws.wait_for(len(ACCEPTED))
            assert ws.silent_for(0.3)
    assert Counter(DeadLetter.objects.values_list("reason", flat=True)) == Counter(reason for reason, _ in refused)
    assert ws.seqs("transactions") == [1, 2, 3, 4, 5]
    assert [fact["data"]["raw_data"]["tid"] for fact in ws.facts] == [0, 1, 2, 3, 4]
    by_time = sorted(ACCEPTED.values(), reverse=True)
    answer = [item["block_timestamp"] for item in get("/transactions")["items"]]
    assert answer == [isoformat(NOW + offset) for offset in by_time]


def test_late_state_is_stored_and_not_published(mock_kafka: MockKafka, server: AppProcess) -> None:
    minutes = [0, -420, 5, 4, 30, -29_467_440]
    with client(server.ws_url) as ws:
        ws.subscribe("long_short_ratios")
        with ingesting(PublishedEvents()):
            send(ratio(timestamp=isoformat(NOW + timedelta(minutes=late))) for late in minutes)
            wait_until(lambda: DeadLetter.objects.count() == 2, "the dead letters", 30)
            ws.wait_for(2)
            assert ws.silent_for(0.3)
    assert [(fact["seq"], fact["timestamp"]) for fact in ws.facts] == [
        (1, isoformat(NOW)),
        (3, isoformat(NOW + timedelta(minutes=5))),
    ]
    assert set(DeadLetter.objects.values_list("reason", flat=True)) == {"IN_FUTURE", "TOO_OLD"}
    (newest,) = get("/long-short-ratios/current")["ratios"]
    assert newest["timestamp"] == isoformat(NOW + timedelta(minutes=5))
    start = isoformat(NOW - timedelta(hours=8))
    history = get(f"/long-short-ratios/history?coin=BTC&interval=1m&start_time={start}")
    assert history["pagination"]["total"] == 4
