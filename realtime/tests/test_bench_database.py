"""The benchmarks of reading and storing work and count right. What they measure is for a quiet machine to say."""

import pytest

from hyperwatch.tests.services.postgres import Database
from hyperwatch.tests.services.redis import RedisServer
from realtime.bench.hot import HOT
from realtime.bench.questions import GROUPS, QUESTIONS
from realtime.tests.benching import bench, left_in


@pytest.mark.slow
def test_every_endpoint_is_asked_at_every_size(fresh_database: Database, redis_server: RedisServer) -> None:
    report = bench("rest", "--only", ",".join(GROUPS), **fresh_database.env, **redis_server.env)
    runs = report["runs"]
    assert {(run["group"], run["question"]) for run in runs} == {(one.group, one.name) for one in QUESTIONS}
    assert len(runs) == 2 * len(QUESTIONS) == 2 * report["checks"]["questions"]
    assert {run["size"] for run in runs} == set(report["parameters"]["sizes"])
    # Whatever is answered was read, and nobody is asked in vain but where it says so.
    assert all(run["read"] >= run["returned"] for run in runs)
    empty = {run["question"] for run in runs if not run["returned"]}
    assert {"nobody of that address", "nothing of that value"} <= empty
    assert left_in(fresh_database) == []


@pytest.mark.slow
def test_hot_answers_are_asked_for_while_the_stream_goes_on(
    fresh_database: Database, redis_server: RedisServer
) -> None:
    words = ("rest", "--only", "hot,filtered")
    report = bench(*words, KAFKA_LIBS="/nowhere", **fresh_database.env, **redis_server.env)
    runs = {(run["server"], run["answer"]): run for run in report["runs"]}
    assert set(runs) == {
        *((server, answer) for server in ("ours", "bare") for answer in HOT),
        *((server, answer) for server in ("ours", "drf") for answer in ("page", "cursor")),
    }
    assert all(run["requests"] for run in report["runs"])
    assert all(runs["bare", answer]["size"] == runs["ours", answer]["size"] for answer in HOT)
    assert report["checks"]["went on"] > 0


@pytest.mark.slow
def test_what_is_offered_is_stored_once_by_every_kind(fresh_database: Database, redis_server: RedisServer) -> None:
    report = bench("ingest", KAFKA_LIBS="/nowhere", **fresh_database.env, **redis_server.env)
    runs = [run for run in report["runs"] if "kind" in run]
    kinds = ["consume", "repeats", "silent", "copy", "consume", "copy", "text", "insert"]
    assert [(run["size"], run["kind"]) for run in runs] == [(5_000, kind) for kind in kinds]
    for run in runs:
        assert run["stored"] == run["new"]
        assert run["rows"] == {"insert": 50, "repeats": 4_000 + run["new"]}.get(run["kind"], 4_000)
        assert run["new"] < 4_000 if run["kind"] == "repeats" else run["new"] == run["rows"]
    assert next(run["before"] for run in runs if run["size"]) == 5_000
    worst, crash = [run for run in report["runs"] if "part" in run]
    assert (worst["part"], worst["rows"], worst["stored"]) == ("worst second", 1_000, 1_000)
    assert (crash["part"], crash["rows"], crash["stored"], crash["complete"]) == ("crash", 200, 200, 20)
    assert report["checks"] == {"rows in = rows stored": True, "complete": True}
    assert left_in(fresh_database) == []


@pytest.mark.slow
def test_filled_databases_are_kept_and_what_is_stored_later_is_not(redis_server: RedisServer, tmp_path: Path) -> None:
    words = ("ingest", "--only", "worst", "--keep", str(tmp_path))
    tmp_path.chmod(0o711)
    given = {"DATABASE_URL": "", "KAFKA_LIBS": "/nowhere", **redis_server.env}
    for _ in range(2):
        (worst,) = bench(*words, **given)["runs"]
        assert worst["stored"] == 1_000
    kept = EmbeddedPostgres(tmp_path)
    try:
        database = Database(kept.start()).beside("bench_filled_5000_1")
        assert database.query("SELECT count(*), max(id) FROM liquidations") == [(5_000, 5_000)]
        names = database.query("SELECT datname FROM pg_database WHERE datname ~ '^bench_' ORDER BY 1")
        assert names == [("bench_filled_0_1",), ("bench_filled_5000_1",)]
    finally:
        kept.remove()
