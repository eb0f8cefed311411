"""The machine: the split of its cores between server and clients, its limits, and its description in reports."""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("autobahn", "channels", "channels-redis", "daphne", "Django", "msgspec", "redis", "Twisted")


def server_cores() -> set[int]:
    """The last core, reserved for the server under test."""
    return {max(_all_cores)} if _is_split else _all_cores


def client_cores() -> set[int]:
    """All other cores; on a machine with one core, that one."""
    return (_all_cores - server_cores()) or _all_cores


def share_cores() -> None:
    """Turns the split off: all processes use all cores, as in production."""
    global _is_split
    _is_split = False


@contextmanager
def on_cores(cores: set[int] | None) -> Iterator[None]:
    """Processes started inside inherit these cores; None changes nothing."""
    previous = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or previous)
    try:
        yield
    finally:
        os.sched_setaffinity(0, previous)


def raise_file_limit() -> int:
    """Sets the soft limit of open files to the hard limit, for child processes too; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def facts() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": len(_all_cores),
        "server's cores": sorted(server_cores()),
        "clients' cores": sorted(client_cores()),
        "load_before": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


# Read at import, before `on_cores` changes the affinity.
_all_cores = os.sched_getaffinity(0)
_is_split = True
