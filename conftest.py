"""Configures all tests: environment, services, skipped tests and order.

The fixtures of the services are in hyperwatch/tests/services.
"""

import os
import shutil
import signal
from typing import Any

import django
import hypothesis
import pytest
from django.conf import settings

from hyperwatch.tests.services import environment

if settings.configured:
    # With DJANGO_SETTINGS_MODULE set, pytest-django has read the settings before the environment was isolated.
    raise pytest.UsageError("DJANGO_SETTINGS_MODULE is set: unset it, because the tests use an isolated environment")
environment.isolate()
django.setup()
# Deadlines would fail on a loaded machine.
hypothesis.settings.register_profile("here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("here")
# PBKDF2 takes 0.5 s for each user that a test creates.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# `serve` creates it at its start.
settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)

pytest_plugins = ["hyperwatch.tests.services.fixtures"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Gives each xdist worker the original environment of the shell, which it isolates itself."""
    for spec in specs:
        spec.env = {**spec.env, "DJANGO_SETTINGS_MODULE": "", **environment.given}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: some tests wait for a process, but each worker imports and collects all tests."""
    return 1 + (os.cpu_count() or 1)


MARKER_OF_FIXTURE = {"redis_server": "redis", "apache_kafka": "kafka", "_redis": "redis", "_kafka": "kafka"}


def pytest_configure() -> None:
    # All three raise KeyboardInterrupt, so that fixtures stop their servers. In a background job of a shell SIGINT is
    # ignored, and processes started by tests would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    if os.environ.get("CI") == "true" and (missing := environment.missing()):
        lacks = "; ".join(f"{marker}: {reason}" for marker, reason in missing.items())
        raise pytest.UsageError(f"with CI=true no test may be skipped; install: {lacks}")


def pytest_unconfigure() -> None:
    shutil.rmtree(environment.DATA_DIR, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_report_header() -> list[str]:
    return environment.header()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = environment.missing()
    for item in items:
        for fixture, marker in MARKER_OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    # Fast layers first; with xdist slow ones first, so that all workers finish at about the same time.
    items.sort(key=layer_index, reverse=hasattr(config, "workerinput"))


LAYERS = ("unit", "db", "server", "fuzz", "faults", "bench", "soak")


def layer_index(item: pytest.Item) -> int:
    """The index of the layer: the folder below `tests`."""
    parts = item.path.parts
    return LAYERS.index(parts[parts.index("tests") + 1])
