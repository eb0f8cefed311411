"""Short soaks of seconds; an hour-long soak is started by hand (`manage.py soak --minutes 60`)."""

import io
import json
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.environment import ROOT

pytestmark = pytest.mark.timeout(900)

MUST_HOLD = {
    "all messages are acknowledged",
    "every row is stored once",
    "sequences have no holes",
    "roll-ups equal a recount",
    "each invalid message is a dead letter",
    "persistent clients receive all facts once, in order",
    "no process exits unexpectedly",
}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--minutes=0", "a number above 0"),
        ("--rate=fast", "a number above 0"),
        ("--clients=-1", "a whole number from 0"),
        ("--faults=earthquake,duplicates", r"unknown faults earthquake; known: consumer-killed,"),
    ],
)
def test_what_cannot_be_is_refused(option: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("soak", option, stderr=io.StringIO())


def test_short_soak_with_crashes_finds_no_violation(
    redis_server: RedisServer,
) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "soak", "--minutes=0.1", "--clients=2", "--transient-clients=2"]
    env = {**os.environ, **redis_server.env, "KAFKA_LIBS": "/nowhere", "DATABASE_URL": ""}
    params = [*command, "--faults=consumer-killed,postgres-crashed", "--json"]
    done = subprocess.run(params, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert {broken["fault"] for broken in verdict["faults"]} == {"consumer-killed", "postgres-crashed"}
    assert verdict["reasons"] == [] and verdict["is_whole"]
    assert {check["name"] for check in verdict["checks"] if check["holds"]} >= MUST_HOLD
    assert verdict["figures"]["messages sent"] > 800


def test_what_cannot_be_broken_here_is_named(redis_server: RedisServer, fresh_database: Database) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "soak", "--faults=redis-frozen,duplicates"]
    env = {**os.environ, **redis_server.env, **fresh_database.env, "KAFKA_LIBS": "/nowhere"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "faults without a service that the soak started: redis-frozen. Available: consumer-killed" in done.stderr
