"""The benchmark of storing works and counts right. What it measures is for a quiet machine to say."""

from pathlib import Path

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.bench.bench_command import bench


def test_rows_are_stored_once_and_filled_databases_reused(redis_server: RedisServer, tmp_path: Path) -> None:
    words = ("ingest", "--keep", str(tmp_path), "--only")
    tmp_path.chmod(0o711)
    given = {"DATABASE_URL": "", "KAFKA_LIBS": "/nowhere", **redis_server.env}
    report = bench(*words, "storing", **given)
    runs = report["runs"]
    kinds = ["consume", "repeats", "silent", "copy", "consume", "copy", "text", "insert"]
    assert [(run["size"], run["kind"]) for run in runs] == [(5_000, kind) for kind in kinds]
    for run in runs:
        assert run["stored"] == run["new"]
        assert run["rows"] == {"insert": 50, "repeats": 4_000 + run["new"]}.get(run["kind"], 4_000)
        assert run["new"] < 4_000 if run["kind"] == "repeats" else run["new"] == run["rows"]
    assert runs[0]["before"] == 5_000
    assert report["checks"] == {"rows in = rows stored": True}
    again = bench(*words, "disk", **given)
    assert {figure["group"] for figure in again["figures"]} == {"disk at 5,000 rows"}
    retained = EmbeddedPostgres(tmp_path)
    try:
        database = Database(retained.start()).sibling("bench_filled_5000_1")
        assert database.query("SELECT count(*), max(id) FROM liquidations") == [(5_000, 5_000)]
        names = database.query("SELECT datname FROM pg_database WHERE datname ~ '^bench_' ORDER BY 1")
        assert names == [("bench_filled_5000_1",)]
    finally:
        retained.remove()
