"""The soak works, and says what it finds. An hour of it is for a person to start."""

import io
import json
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.postgres import Database
from hyperwatch.tests.services.redis import RedisServer


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--minutes=0", "a number above 0"),
        ("--rate=fast", "a number above 0"),
        ("--clients=-1", "a whole number from 0"),
        ("--faults=earthquake,poison", r"knows no earthquake; takes consumer-killed,"),
    ],
)
def test_what_cannot_be_is_refused(option: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("soak", option, stderr=io.StringIO())


@pytest.mark.slow
def test_a_short_soak_with_a_consumer_killed_finds_everything_in_its_place(
    fresh_database: Database, redis_server: RedisServer
) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "soak", "--minutes=0.08", "--clients=2", "--visitors=2"]
    env = {**os.environ, **fresh_database.env, **redis_server.env, "KAFKA_LIBS": "/nowhere"}
    asked = [*command, "--faults=consumer-killed,poison", "--json"]
    done = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert {broken["fault"] for broken in verdict["faults"]} == {"consumer-killed", "poison"}
    assert verdict["reasons"] == [] and verdict["is_whole"]
    judged = {check["name"]: check["holds"] for check in verdict["checks"]}
    assert judged["every row is stored once"] and judged["who stays sees all, once, in order"]
    assert judged["each refused message is a dead letter"] and judged["memory of web is flat"] is None
    assert verdict["figures"]["messages sent"] > 500
