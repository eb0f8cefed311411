"""Rejected messages over Kafka: stored with their bytes, and resent once the cause is fixed."""

import io
import itertools
import re
from collections import Counter
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.tests.services.waiting import wait_until
from realtime.models import DeadLetter, Reason
from realtime.storage.sequences import read_positions
from realtime.tests.builders import message, stored, transaction
from realtime.tests.ingest_helpers import PublishedEvents, ingesting, refusing_coin, send
from realtime.tests.invalid_messages import refusals
from transactions.models import Transaction

pytestmark = pytest.mark.django_db(transaction=True)


def manage(*args: Any) -> str:
    output = io.StringIO()
    call_command("dead_letters", *args, stdout=output)
    return output.getvalue()


def test_rejected_batch_is_logged_in_one_line(mock_kafka: MockKafka, caplog: pytest.LogCaptureFixture) -> None:
    refused = [message("hyperliquid.transactions", b"no json") for _ in range(300)]
    send([transaction(raw_data={"tid": 1}), *refused, message("hyperliquid.transactions", b"[]")])
    with refusing_coin("BAD"):
        send([transaction(raw_data={"tid": 2}, coin="BAD"), transaction(raw_data={"tid": 3})])
        with ingesting(PublishedEvents(), batch_size=1000):
            wait_until(lambda: DeadLetter.objects.count() == 302, "the dead letters", 30)
            wait_until(lambda: Transaction.objects.count() == 2, "the others", 30)
    lines = [record.getMessage() for record in caplog.records if " messages rejected (" in record.getMessage()]
    assert 1 <= len(lines) <= 10
    assert sum(int(line.split()[0]) for line in lines) == 302
    returned = re.fullmatch(
        r"\d+ messages rejected \((.+)\), the first at (\S+)\[(\d+)\]@(\d+); .*dead_letters list.*", lines[0]
    )
    assert returned
    assert DeadLetter.objects.filter(topic=returned[2], partition=returned[3], offset=returned[4]).exists()
    reasons = " ".join(lines)
    assert all(f"1 {reason}" in reasons for reason in ("NOT_AN_OBJECT", "REFUSED_BY_DATABASE"))
    assert " NOT_JSON" in reasons


def test_rejected_message_is_stored_and_neighbours_too(
    mock_kafka: MockKafka,
) -> None:
    refused = refusals()
    good = [transaction(raw_data={"tid": number}) for number in range(len(refused))]
    returned = PublishedEvents()
    send(itertools.chain.from_iterable(zip(good, (refusal.message for refusal in refused), strict=True)))
    with ingesting(returned):
        wait_until(lambda: DeadLetter.objects.count() >= len(refused), "the dead letters", 30)
        wait_until(lambda: Transaction.objects.count() >= len(good), "the others", 30)
    retained = Counter(
        (letter.topic, letter.bytes and bytes(letter.bytes), letter.reason) for letter in DeadLetter.objects.all()
    )
    assert retained == Counter((refusal.message.topic, refusal.message.value, refusal.reason) for refusal in refused)
    assert all(letter.error and letter.sent_at and bytes(letter.key or b"") for letter in DeadLetter.objects.all())
    assert Transaction.objects.count() == len(good)
    assert {name: place.head for name, place in read_positions().items() if place.head} == {"transactions": len(good)}
    assert returned.seqs == {"transactions": list(range(1, len(good) + 1))}


def test_database_rejection_is_isolated_and_resent_after_fix(
    mock_kafka: MockKafka,
) -> None:
    bad = {0, 17, 18, 63, 99}
    returned = PublishedEvents()
    send(transaction(raw_data={"tid": tid}, coin="BAD" if tid in bad else "BTC") for tid in range(100))
    with ingesting(returned):
        with refusing_coin("BAD"):
            wait_until(lambda: DeadLetter.objects.count() == len(bad), "the dead letters", 30)
            wait_until(lambda: Transaction.objects.count() == 100 - len(bad), "their neighbours", 30)
        assert set(DeadLetter.objects.values_list("reason", flat=True)) == {Reason.REFUSED_BY_DATABASE}
        assert all("for_a_test" in letter.error for letter in DeadLetter.objects.all())
        # Rows are published after their commit.
        wait_until(lambda: len(returned.seqs.get("transactions", ())) == 95, "the published events")
        assert returned.seqs["transactions"] == list(range(1, 96))

        assert manage("send", "--reason", "REFUSED_BY_DATABASE") == "5 letters sent again\n"
        wait_until(lambda: Transaction.objects.count() == 100, "what was sent again", 30)
        wait_until(lambda: len(returned.seqs["transactions"]) == 100, "its announcement", 5)
    assert returned.seqs["transactions"] == list(range(1, 101))
    assert Transaction.objects.filter(coin="BAD").count() == len(bad)
    assert not DeadLetter.objects.filter(resent_at=None).exists()
    assert manage("send", "--all") == "0 letters sent again\n"


def test_resent_message_rejected_again_is_a_new_letter(mock_kafka: MockKafka) -> None:
    stored(transaction(side="UP"))
    letter = DeadLetter.objects.get()
    with ingesting(PublishedEvents()):
        assert manage("send", letter.pk) == "1 letters sent again\n"
        wait_until(lambda: DeadLetter.objects.count() == 2, "the second letter", 30)
    again = DeadLetter.objects.get(resent_at=None)
    assert (bytes(again.bytes or b""), again.key) == (bytes(letter.bytes or b""), letter.key)
    assert again.reason == letter.reason


def test_letters_not_accepted_by_kafka_stay_unsent(mock_kafka: MockKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(transaction(side="UP"))
    mock_kafka.disconnect()
    monkeypatch.setattr("realtime.kafka.producer.KafkaProducer.flush.__defaults__", (0.5,))
    with pytest.raises(CommandError, match="did not accept 1 of 1 letters"):
        manage("send", "--all")
    assert DeadLetter.objects.get().resent_at is None


def test_letters_are_listed_by_line_and_shown_whole() -> None:
    assert manage("list") == "0 letters\n"
    stored(
        message(settings.KAFKA_TOPIC_TRANSACTIONS, b"h\xffllo\0", key="the key", timestamp_ms=1_768_041_000_000),
        transaction(side="UP"),
        message(settings.KAFKA_TOPIC_TRANSACTIONS, None),
    )
    lines = manage("list").splitlines()
    assert [line.split()[3] for line in lines[:-1]] == ["NOT_JSON", "BAD_VALUE", "NOT_JSON"]
    assert lines[-1] == "3 letters"
    assert manage("list", "--reason", "BAD_VALUE").splitlines()[-1] == "1 letters"
    first, *_, last = DeadLetter.objects.order_by("pk")
    shown = manage("show", first.pk)
    for line in ("reason: NOT_JSON", "sent_at: 2026-01-10T10:30:00.000000Z", "resent_at: None", "key: the key"):
        assert line in shown.splitlines()
    assert shown.endswith("h\\xffllo\\x00\n")
    assert manage("show", last.pk).endswith("(no value)\n")


@pytest.mark.parametrize(("args", "answer"), [(["show", "999"], "dead_letters list"), (["send"], "give ids")])
def test_a_question_without_an_answer_says_what_to_do(args: list[str], answer: str) -> None:
    with pytest.raises(CommandError, match=answer):
        manage(*args)
