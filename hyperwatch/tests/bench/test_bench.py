"""The benchmarks work and count right. What they measure is for a quiet machine to say."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data.event_payloads import EventPayloads, encode_like_channels
from hyperwatch.bench.load.expected_bytes import ExpectedBytes
from hyperwatch.bench.load.framing import frames
from hyperwatch.bench.report import AtLeast, AtMost, ratio
from hyperwatch.harness.kafka import KafkaBroker
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.bench.bench_command import bench, left_in
from hyperwatch.tests.services.environment import ROOT
from realtime.kafka.admin import existing_topics
from realtime.protocol.frames import ws_frame

pytestmark = pytest.mark.timeout(900)

PING = b"\x89\x04ping"
FIRST, SECOND, THIRD = (ws_frame(text) for text in (b"one", b"two" * 100, b"three"))


def test_fanout_reaches_every_client_of_every_server(fresh_database: Database, redis_server: RedisServer) -> None:
    report = bench("fanout", **fresh_database.env, **redis_server.env)
    runs = {(run["server"], run["mode"]): run for run in report["runs"]}
    assert set(runs) == {
        *((server, mode) for server in ("hub", "bare") for mode in ("single", "burst", "flood")),
        ("hub", "without wallets"),
        ("hub", "other wallets"),
        ("hub", "wallets"),
        *(("stock", mode) for mode in ("single", "flood")),
    }
    for run in runs.values():
        assert run["complete"] == run["clients"]
        assert run["delivered"] == run["events"] * run["clients"] > 0
        assert run["closed"] == {}
    assert report["checks"] == {"complete": True, "runs": len(runs)}
    assert {figure["name"] for figure in report["figures"] if "target" in figure} == {
        "stock / hub",
        "bare / hub",
        "of what a single one costs",
        "cost of their subscriptions",
    }
    assert left_in(fresh_database) == []


def test_idle_connections_are_all_there_when_they_are_counted(
    fresh_database: Database, redis_server: RedisServer
) -> None:
    report = bench("idle", **fresh_database.env, **redis_server.env)
    assert [(run["server"], run["connections"]) for run in report["runs"]] == [("hub", 50), ("stock", 50)]
    assert all(run["after"]["Pss"] > 0 for run in report["runs"])


def assert_all_arrived(report: dict[str, Any]) -> None:
    assert report["checks"] == {"complete": True, "in order": True}
    assert [(run["part"], run["events"], run["complete"]) for run in report["runs"]] == [
        ("steady", 200, 20),
        ("burst", 1_000, 20),
    ]


def test_all_that_kafka_acknowledged_reaches_every_client_in_order(
    fresh_database: Database, redis_server: RedisServer
) -> None:
    report = bench("latency", KAFKA_LIBS="/nowhere", **fresh_database.env, **redis_server.env)
    assert report["services"]["Kafka"].startswith("embedded")
    assert_all_arrived(report)


def test_a_given_kafka_is_left_as_it_was(
    fresh_database: Database, redis_server: RedisServer, apache_kafka: KafkaBroker
) -> None:
    before = existing_topics()
    given = {"KAFKA_BOOTSTRAP_SERVERS": apache_kafka.bootstrap}
    report = bench("latency", **given, **fresh_database.env, **redis_server.env)
    assert report["services"]["Kafka"] == "given"
    assert_all_arrived(report)
    # Kafka keeps its groups' places in a topic of its own.
    assert existing_topics() - {"__consumer_offsets"} == before - {"__consumer_offsets"}


def test_what_is_interrupted_leaves_nothing_behind(
    fresh_database: Database, redis_server: RedisServer, tmp_path: Path
) -> None:
    env = {**os.environ, **fresh_database.env, **redis_server.env, "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(ROOT / "manage.py"), "bench", "fanout", "--clients", "20"]
    command += ["--only", "hub", "--modes", "single", "--scale", "0.1", "--runs", "50"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    started = [next(line for line in process.stderr if "single, hub" in line)]
    process.send_signal(signal.SIGINT)
    said = [*started, *process.stderr]
    assert process.wait(20) == 1
    assert "interrupted" in said[-1]
    assert left_in(fresh_database) == []
    assert list(tmp_path.iterdir()) == []
    # Every process of it has the folder in its environment.
    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if runs_in(path, tmp_path)]


def runs_in(environ: Path, folder: Path) -> bool:
    try:
        return f"TMPDIR={folder}".encode() in environ.read_bytes().split(b"\0")
    except OSError:
        return False


def take(tape: ExpectedBytes, *pieces: bytes) -> tuple[int, list[bytes], bytes]:
    """All that comes to one client, in such pieces."""
    at, pings, rest = 0, [], b""
    for piece in pieces:
        at, more, rest = tape.consume(at, rest + piece)
        pings += more
    return at, pings, rest


def test_expected_bytes_match_however_they_are_split() -> None:
    whole = FIRST + SECOND + THIRD
    for cut in range(len(whole)):
        tape = ExpectedBytes()
        assert take(tape, whole[:cut], whole[cut:]) == (len(whole), [], b"")
        assert take(tape, whole) == (len(whole), [], b"")
        assert bytes(tape.bytes) == whole


def test_ping_between_frames_belongs_to_one_client() -> None:
    whole = FIRST + PING + SECOND
    for cut in range(len(whole)):
        tape = ExpectedBytes()
        expected = (len(FIRST + SECOND), [PING], b"")
        assert take(tape, whole[:cut], whole[cut:]) == expected
        assert take(tape, FIRST, SECOND) == (len(FIRST + SECOND), [], b"")
        assert take(tape, whole) == expected


def test_a_close_is_no_part_of_the_stream() -> None:
    close = b"\x88\x02\x11\x38"
    tape = ExpectedBytes()
    assert take(tape, FIRST[:3], FIRST[3:] + close) == (len(FIRST), [], close)
    assert bytes(tape.bytes) == FIRST


@pytest.mark.parametrize(
    "other", [FIRST + THIRD, SECOND, FIRST + FIRST + SECOND], ids=["left out", "out of order", "twice"]
)
def test_a_client_that_gets_something_else_is_found(other: bytes) -> None:
    tape = ExpectedBytes()
    take(tape, FIRST, SECOND, THIRD)
    at, _, rest = take(tape, other)
    assert at < len(tape)
    assert rest


def test_frames_are_read_as_they_were_written() -> None:
    texts = [b"", b"x" * 125, b"x" * 126, b"x" * 65536]
    wire = b"".join(map(ws_frame, texts))
    assert [text for _, text in frames(wire + b"\x81")] == texts
    assert [end for end, _ in frames(wire)][-1] == len(wire)


def test_payload_has_requested_size_and_is_repeatable() -> None:
    for seq in (1, 99_999):
        event = EventPayloads(7, 600).event(seq)
        assert len(event.frame) == len(encode_like_channels(EventPayloads(7, 600).channels_content(seq))) == 600
        assert json.loads(event.frame)["seq"] == event.seq == seq
        assert event == EventPayloads(7, 600).event(seq)
        assert event != EventPayloads(8, 600).event(seq)


def test_a_frame_that_cannot_be_so_small_is_refused() -> None:
    with pytest.raises(CannotMeasureError, match="--bytes"):
        EventPayloads(1, 100)


def test_target_is_judged_by_ratio_of_medians() -> None:
    found = ratio("group", "name", [10, 30, 20], [1, 2, 3], target=AtLeast(10))
    assert (found.value, found.target, found.is_reached) == (10, "≥ 10 x", True)
    assert ratio("group", "name", [10], [1], target=AtMost(9)).is_reached is False
