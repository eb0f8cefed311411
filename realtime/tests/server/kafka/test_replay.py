import io
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.tests.services.environment import ROOT
from realtime.kafka.producer import KafkaProducer
from realtime.sources import recordings
from realtime.tests.server.kafka.test_market_feed import read

T, C = "hyperliquid.transactions", "hyperliquid.computed_data"
RECORDS = ROOT.parent / "shared" / "data"
ODD_VALUES = [
    b'{"a":123456789.123456780,"b":1e400,"c":-0.0}',
    b'{ "spaces" : [ 1 ,2 ] , "twice":1, "twice":2 }',
    b'{"text":"\\u0000 \\ud83d\\ude00 \xc3\xa9 \\/","n":12345678901234567890123}',
    b'"just text"',
    b"[]",
    b"0.10",
]


def line(value: bytes, topic: str = T, key: str | None = "k") -> bytes:
    return b'{"topic":"%s","key":%s,"value":%s}\n' % (topic.encode(), json.dumps(key).encode(), value)


def file_of(tmp_path: Path, *lines: bytes) -> str:
    file = tmp_path / "recorded.jsonl"
    file.write_bytes(b"".join(lines))
    return str(file)


def replay(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("replay", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_values_arrive_with_their_bytes_unchanged(mock_kafka: MockKafka, tmp_path: Path) -> None:
    said = replay(file_of(tmp_path, *map(line, ODD_VALUES)))
    assert said.startswith("6 sent and acknowledged")
    assert sorted(value or b"" for _topic, _key, value in read(6)) == sorted(ODD_VALUES)


def test_keys_and_topics_arrive(mock_kafka: MockKafka, tmp_path: Path) -> None:
    replay(file_of(tmp_path, line(b"1", T, "0xä"), line(b"2", C, "kPEPE"), line(b"3", C, None)))
    assert sorted(read(3), key=str) == sorted(
        [(T, "0xä".encode(), b"1"), (C, b"kPEPE", b"2"), (C, None, b"3")], key=str
    )


def test_a_null_is_a_message_without_a_value(mock_kafka: MockKafka, tmp_path: Path) -> None:
    replay(file_of(tmp_path, line(b"null")))
    assert read(1) == [(T, b"k", None)]


def test_topics_go_by_the_settings_names(mock_kafka: MockKafka, tmp_path: Path, settings: Settings) -> None:
    settings.KAFKA_TOPIC_TRANSACTIONS, settings.KAFKA_TOPIC_COMPUTED_DATA = "mine.t", "mine.c"
    renamed = MockKafka(tmp_path / "renamed", partitions=1)
    settings.KAFKA_BOOTSTRAP_SERVERS = renamed.start()
    try:
        replay(file_of(tmp_path, line(b"1", T), line(b"2", C)))
        assert {topic for topic, _key, _value in read(2)} == {"mine.t", "mine.c"}
    finally:
        renamed.stop()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"{oops}\n", "malformed"),
        (b"[]\n", "Expected `object`"),
        (b'{"topic":"hyperliquid.transactions","key":"k"}\n', "`value`"),
        (b'{"key":"k","value":1}\n', "`topic`"),
        (line(b"NaN"), "invalid character"),
        (line(b"{}", "hyperliquid.typo"), "hyperliquid.typo"),
        (b'{"topic":"hyperliquid.transactions","value":{"cut": "sho\n', "malformed"),
        (b"\xff\xfe\n", "malformed"),
    ],
)
def test_a_bad_line_is_named_and_stops_the_replay(
    mock_kafka: MockKafka, tmp_path: Path, bad: bytes, words: str
) -> None:
    name = file_of(tmp_path, line(b"1"), b"\n", line(b"2"), bad, line(b"3"))
    with pytest.raises(CommandError) as caught:
        replay(name)
    assert f"{name}, line 4: " in str(caught.value) and words in str(caught.value)
    assert "2 sent and acknowledged" in str(caught.value)
    assert [value for _topic, _key, value in read(2)] == [b"1", b"2"]


def test_a_file_without_line_ends_is_not_read_whole(
    mock_kafka: MockKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "MAX_LINE_BYTES", 1_000)
    with pytest.raises(CommandError, match=r"line 2: longer than 1,000 bytes"):
        replay(file_of(tmp_path, line(b"1"), b'{"topic":"' + b"x" * 5_000))


def test_a_missing_file_is_told_before_anything_is_sent(mock_kafka: MockKafka, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot read .*missing: No such file"):
        replay(file_of(tmp_path, line(b"1")), tmp_path / "missing")
    assert read(0) == []


def test_without_kafka_it_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"KAFKA_BOOTSTRAP_SERVERS.*make run"):
        replay(file_of(tmp_path, line(b"1")))


def test_what_is_not_acknowledged_is_an_error(
    mock_kafka: MockKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.management.commands.replay.FLUSH_TIMEOUT_SECONDS", 0.5)
    send = KafkaProducer.send

    def send_and_vanish(producer: KafkaProducer, *message: Any) -> None:
        mock_kafka.disconnect()
        send(producer, *message)

    monkeypatch.setattr(KafkaProducer, "send", send_and_vanish)
    with pytest.raises(CommandError, match="2 of 2 messages not acknowledged"):
        replay(file_of(tmp_path, line(b"1"), line(b"2")))


def test_a_message_that_kafka_refuses_is_an_error(mock_kafka: MockKafka, tmp_path: Path) -> None:
    too_large = b'"' + b"x" * 2_000_000 + b'"'
    with pytest.raises(CommandError, match=r"1 of 2 messages not acknowledged.*too large"):
        replay(file_of(tmp_path, line(too_large), line(b"1")))


def test_the_rate_is_a_limit(mock_kafka: MockKafka, tmp_path: Path) -> None:
    began = time.monotonic()
    replay(file_of(tmp_path, *[line(b"1")] * 60), "--rate=100")
    assert 0.5 < time.monotonic() - began < 15


def test_it_reads_standard_input(mock_kafka: MockKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(file_of(tmp_path, line(b"1"), line(b"2"))).open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        replay("-")
    assert len(read(2)) == 2


def test_a_simulated_file_comes_out_as_it_went_in(mock_kafka: MockKafka, tmp_path: Path) -> None:
    file = tmp_path / "market.jsonl"
    call_command("simulate", "--count=3000", "--coins=5", "--wallets=50", f"--output={file}", stdout=io.StringIO())
    replay(file)
    wanted = [recordings._decoder.decode(text) for text in file.read_bytes().splitlines()]
    found = Counter((topic, key, value) for topic, key, value in read(3_000))
    assert found == Counter((one.topic, (one.key or "").encode(), one.payload) for one in wanted)


@pytest.mark.skipif(not RECORDS.is_dir(), reason=f"no real records at {os.fspath(RECORDS)}")
def test_real_records_arrive_unchanged(mock_kafka: MockKafka) -> None:
    names = [f"{name}.jsonl" for name in ("transactions", "liquidations", "ratios", "liquidation_maps")]
    assert "4,130 sent" in replay(*[RECORDS / name for name in names])
    recorded = [text for name in names for text in (RECORDS / name).read_bytes().splitlines()]
    wanted = sorted(text[text.index(b'"value":') + 8 : -1] for text in recorded)
    assert sorted(value or b"" for _topic, _key, value in read(4_130)) == wanted
