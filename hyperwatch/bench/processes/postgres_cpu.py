"""The processor's time that PostgreSQL takes, where its processes are on this machine."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.sql.cancellable_sql import CancellableSession

TICK = 1 / os.sysconf("SC_CLK_TCK")
# Who works for all of them.
SHARED = re.compile(rb"walwriter|checkpointer|background writer|autovacuum|logical replication|io worker|stats")


class PostgresCpu(NamedTuple):
    """Seconds: of the backends that serve clients, and of all others (the writers of the log and of the pages)."""

    backends: float
    others: float

    def since(self, before: "PostgresCpu") -> "PostgresCpu":
        return PostgresCpu(self.backends - before.backends, self.others - before.others)


class PostgresCpuReader:
    """Of the cluster behind `session`, whose own backend is left out.

    Backends that end are counted with the others from then on: read it while they are there.
    """

    def __init__(self, session: CancellableSession) -> None:
        self._own = session.value("SELECT pg_backend_pid()")
        if not _command(self._own).startswith(b"postgres"):
            raise CannotMeasureError("PostgreSQL is to run on this machine, where its processes can be seen")
        self._postmaster = int(_fields(self._own)[1])

    def read(self) -> PostgresCpu:
        postmaster = _fields(self._postmaster)
        backends, others = 0.0, sum(map(int, postmaster[11:15])) * TICK
        for pid in _children(self._postmaster) - {self._own}:
            try:
                seconds, command = sum(map(int, _fields(pid)[11:13])) * TICK, _command(pid)
            except OSError:
                continue
            if SHARED.search(command):
                others += seconds
            else:
                backends += seconds
        return PostgresCpu(backends, others)


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def _fields(pid: int) -> list[str]:
    """Of proc(5), stat, from `state` on: the command before it may have any characters."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
