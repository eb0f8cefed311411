"""The machine a benchmark runs on: its cores, who gets which, and what the reader of a figure has to know of it."""

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
    """The last core: the server under test has it to itself."""
    return {max(_all_cores)} if _is_split else _all_cores


def client_cores() -> set[int]:
    """All others. Where there is one core only, it is shared, and the server's time on it counts all the same."""
    return (_all_cores - server_cores()) or _all_cores


def share_cores() -> None:
    """Nobody is held to a core, as where it all runs in earnest."""
    global _is_split
    _is_split = False


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Whoever is started inside runs there and nowhere else."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> int:
    """Lets this process and its children open as many files as they may; returns how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


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


# Before anything is pinned.
_all_cores = os.sched_getaffinity(0)
_is_split = True
