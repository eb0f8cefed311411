"""CPU time of PostgreSQL, if it runs on this machine."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.sql.cancellable_sql import CancellableSession

SECONDS_PER_TICK = 1 / os.sysconf("SC_CLK_TCK")
# Processes that serve all backends.
SHARED_PROCESSES = re.compile(
    rb"walwriter|checkpointer|background writer|autovacuum|logical replication|io worker|stats"
)


class PostgresCpu(NamedTuple):
    """CPU seconds of the backends, and of all other processes (WAL writer, background writer, checkpointer)."""

    backends: float
    others: float

    def since(self, before: "PostgresCpu") -> "PostgresCpu":
        return PostgresCpu(self.backends - before.backends, self.others - before.others)


class PostgresCpuReader:
    """Reads the cluster of `session` without the backend of that session.

    The postmaster inherits the time of ended backends, which then counts as `others`: read while they run.
    """

    def __init__(self, session: CancellableSession) -> None:
        self._backend_pid = session.value("SELECT pg_backend_pid()")
        if not _command(self._backend_pid).startswith(b"postgres"):
            raise CannotMeasureError(
                "PostgreSQL does not run on this machine, and its CPU time is read from /proc. "
                "Set DATABASE_URL to a local server, or to nothing to start one"
            )
        self._postmaster = int(_fields(self._backend_pid)[1])

    def read(self) -> PostgresCpu:
        postmaster = _fields(self._postmaster)
        backends, others = 0.0, sum(map(int, postmaster[11:15])) * SECONDS_PER_TICK
        for pid in _children(self._postmaster) - {self._backend_pid}:
            try:
                seconds, command = sum(map(int, _fields(pid)[11:13])) * SECONDS_PER_TICK, _command(pid)
            except OSError:
                continue
            if SHARED_PROCESSES.search(command):
                others += seconds
            else:
                backends += seconds
        return PostgresCpu(backends, others)


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def _fields(pid: int) -> list[str]:
    """Fields of proc(5) stat from `state` on; the command before it may contain spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
