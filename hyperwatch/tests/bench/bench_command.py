"""Benchmarks as a person runs them, small and short."""

import json
import os
import subprocess
import sys
from typing import Any

from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services.environment import ROOT


def bench(*words: str, **env: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "manage.py"), "bench", *words, "--quick", "--json"]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def left_in(database: Database) -> list[tuple[Any, ...]]:
    """The databases that a bench made beside a given one and did not drop."""
    return database.query("SELECT datname FROM pg_database WHERE datname ~ '^bench_'")
