"""The benchmark of reading works and counts right. What it measures is for a quiet machine to say."""

from hyperwatch.bench.cached_endpoints import CACHED_URLS
from hyperwatch.bench.data.queries import GROUPS, QUERIES
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.bench.bench_command import bench, left_in


def test_every_endpoint_is_asked_at_every_size(fresh_database: Database, redis_server: RedisServer) -> None:
    report = bench("rest", "--only", ",".join(GROUPS), **fresh_database.env, **redis_server.env)
    runs = report["runs"]
    assert {(run["group"], run["question"]) for run in runs} == {(one.group, one.name) for one in QUERIES}
    assert len(runs) == 2 * len(QUERIES) == 2 * report["checks"]["questions"]
    assert {run["size"] for run in runs} == set(report["parameters"]["sizes"])
    # Every response was read, and cache misses occur only where expected.
    assert all(run["read"] >= run["returned"] for run in runs)
    empty = {run["question"] for run in runs if not run["returned"]}
    assert {"unknown address", "nothing of that value"} <= empty
    assert left_in(fresh_database) == []


def test_cached_endpoints_are_measured_while_stream_advances(
    fresh_database: Database, redis_server: RedisServer
) -> None:
    words = ("rest", "--only", "hot,filtered")
    report = bench(*words, KAFKA_LIBS="/nowhere", **fresh_database.env, **redis_server.env)
    runs = {(run["server"], run["answer"]): run for run in report["runs"]}
    assert set(runs) == {
        *((server, answer) for server in ("ours", "bare") for answer in CACHED_URLS),
        *((server, answer) for server in ("ours", "drf") for answer in ("page", "cursor")),
    }
    assert all(run["requests"] for run in report["runs"])
    assert all(runs["bare", answer]["size"] == runs["ours", answer]["size"] for answer in CACHED_URLS)
    assert report["checks"]["went on"] > 0
