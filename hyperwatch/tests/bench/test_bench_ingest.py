"""The benchmark of storing works and counts right. What it measures is for a quiet machine to say."""

from pathlib import Path

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.bench.bench_command import bench, left_in


def test_what_is_offered_is_stored_once_by_every_kind(fresh_database: Database, redis_server: RedisServer) -> None:
    report = bench("ingest", KAFKA_LIBS="/nowhere", **fresh_database.env, **redis_server.env)
    runs = report["runs"]
    kinds = ["consume", "repeats", "silent", "copy", "consume", "copy", "text", "insert"]
    assert [(run["size"], run["kind"]) for run in runs] == [(5_000, kind) for kind in kinds]
    for run in runs:
        assert run["stored"] == run["new"]
        assert run["rows"] == {"insert": 50, "repeats": 4_000 + run["new"]}.get(run["kind"], 4_000)
        assert run["new"] < 4_000 if run["kind"] == "repeats" else run["new"] == run["rows"]
    assert next(run["before"] for run in runs if run["size"]) == 5_000
    assert report["checks"] == {"rows in = rows stored": True}
    assert left_in(fresh_database) == []


def test_filled_databases_are_reused_without_later_rows(redis_server: RedisServer, tmp_path: Path) -> None:
    words = ("ingest", "--keep", str(tmp_path), "--only")
    tmp_path.chmod(0o711)
    given = {"DATABASE_URL": "", "KAFKA_LIBS": "/nowhere", **redis_server.env}
    first = bench(*words, "storing", **given)
    assert {run["before"] for run in first["runs"]} == {5_000}
    second = bench(*words, "disk", **given)
    assert {figure["group"] for figure in second["figures"]} == {"disk at 5,000 rows"}
    retained = EmbeddedPostgres(tmp_path)
    try:
        database = Database(retained.start()).sibling("bench_filled_5000_1")
        assert database.query("SELECT count(*), max(id) FROM liquidations") == [(5_000, 5_000)]
        names = database.query("SELECT datname FROM pg_database WHERE datname ~ '^bench_' ORDER BY 1")
        assert names == [("bench_filled_5000_1",)]
    finally:
        retained.remove()
