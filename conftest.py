"""What holds for every test: its environment, the services it may use, what is left out, and the order.

The services themselves are in hyperwatch/tests/services.
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
    # Set in the shell or in pytest's options, it makes pytest-django read the settings before us.
    raise pytest.UsageError("unset DJANGO_SETTINGS_MODULE: the tests bring an environment of their own")
environment.isolate()
django.setup()
# A machine with much to do is no fault of what is tested.
hypothesis.settings.register_profile("here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("here")
# PBKDF2 takes 0.5 s for each user that a test creates.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# As `serve` makes it.
settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)

pytest_plugins = ["hyperwatch.tests.services.fixtures"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Each process of a divided run has an environment of its own: it is given what the shell gave."""
    for spec in specs:
        spec.env = {**spec.env, "DJANGO_SETTINGS_MODULE": "", **environment.given}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait for a process, but each worker imports and collects everything."""
    return 1 + (os.cpu_count() or 1)


MARKER_OF_FIXTURE = {"redis_server": "redis", "apache_kafka": "kafka", "_redis": "redis", "_kafka": "kafka"}


def pytest_configure() -> None:
    # An ended terminal or a time limit must not leave servers behind: both take the way of Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
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
    # The fast layers first; with xdist the slow ones, so that no worker is left alone with them at the end.
    items.sort(key=layer, reverse=hasattr(config, "workerinput"))


LAYERS = ("unit", "db", "server", "fuzz", "faults", "bench", "soak")


def layer(item: pytest.Item) -> int:
    """The index of the layer: the folder below `tests`."""
    parts = item.path.parts
    return LAYERS.index(parts[parts.index("tests") + 1])
