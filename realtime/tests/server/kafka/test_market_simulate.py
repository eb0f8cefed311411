import io
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hyperwatch.harness.app_process import TRACEBACK
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.process import Process
from hyperwatch.tests.services.environment import ROOT
from realtime.kafka.producer import KafkaProducer

SMALL: dict[str, Any] = {"coins": 3, "wallets": 20, "start": "2026-01-10T10:30:00Z"}


def simulate(**options: Any) -> str:
    out = io.StringIO()
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in {**SMALL, **options}.items()]
    call_command("simulate", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_it_writes_a_file_that_says_what_was_made(tmp_path: Path) -> None:
    file = tmp_path / "market.jsonl"
    said = simulate(output=file, count=500)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 500 and said.startswith("500 messages in ")
    assert all(list(line) == ["topic", "key", "value"] for line in lines)
    orders = sum(line["value"].get("tx_type") == "ORDER" for line in lines)
    assert f"ORDER {orders:>30}" in said


def test_the_same_options_write_the_same_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for file in (one, other):
        simulate(output=file, duration=20)
    assert one.read_bytes() == other.read_bytes() != b""


def test_file_without_start_has_no_future_times(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    file = tmp_path / "market.jsonl"
    call_command("simulate", "--coins=2", "--wallets=10", f"--output={file}", "--duration=60", stdout=io.StringIO())
    last = json.loads(file.read_text().splitlines()[-1])["value"]
    assert datetime.fromisoformat(last.get("timestamp") or last["block_timestamp"]) <= datetime.now(UTC)


def test_a_file_needs_an_end(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--duration or --count"):
        simulate(output=tmp_path / "endless")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nowhere"):
        simulate(output=tmp_path / "nowhere" / "file", count=1)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("rate", "fast", "or max"),
        ("rate", "-3", "or max"),
        ("rate", "nan", "or max"),
        ("start", "yesterday", "2026-01-10T10:30:00Z"),
        ("coins", "99", "coins"),
        ("wallets", "1", "2 or more wallets"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, option: str, value: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        simulate(output=tmp_path / "x", count=1, **{option: value})


def test_without_a_kafka_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match=r"KAFKA_BOOTSTRAP_SERVERS.*--output"):
        simulate(count=1)


def test_it_sends_to_kafka_and_sums_up(mock_kafka: MockKafka) -> None:
    out = io.StringIO()
    call_command("simulate", "--no-watch", "--rate=max", "--count=2000", "--coins=3", "--wallets=20", stdout=out)
    assert "2,000 messages in" in out.getvalue() and "2,000 acknowledged" in out.getvalue()


def test_simulation_without_database_can_skip_watch_list(
    mock_kafka: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def unavailable(_wallets: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("realtime.management.commands.simulate.watch_wallets", unavailable)
    with pytest.raises(CommandError, match=r"connection refused.*--no-watch"):
        simulate(count=1)


def test_what_is_not_acknowledged_is_an_error(mock_kafka: MockKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.management.commands.simulate.FLUSH_TIMEOUT_SECONDS", 0.5)
    send = KafkaProducer.send

    def send_and_vanish(producer: KafkaProducer, *message: Any) -> None:
        mock_kafka.disconnect()
        send(producer, *message)

    monkeypatch.setattr(KafkaProducer, "send", send_and_vanish)
    with pytest.raises(CommandError, match="3 of 3 messages not acknowledged"):
        call_command("simulate", "--no-watch", "--rate=max", "--count=3", stdout=io.StringIO())


class Simulation(Process):
    def is_ready(self) -> bool:
        return "Ctrl-C ends it" in self.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(mock_kafka: MockKafka, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "simulate", "--no-watch", "--rate=200", "--coins=3"]
    process = Simulation("simulate", command, tmp_path, mock_kafka.env)
    process.start()
    try:
        process.signal(number)
        assert process.wait(10) == 0
    finally:
        process.kill()
    assert "acknowledged" in process.output() and TRACEBACK not in process.output()
